//! The victim: the unpacker, with either resolver, at various paces, on the same core as the attacker or on another.

use std::io::Read;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use safe_layers::{Devices, Error, Expect, OverlayForm, Policy, Resolver, Root, Unpacker, ambient_authority};

use super::arena::remove;
use super::attacker::Gate;
use super::layers::Layer;
use crate::common::engine::Form;

/// How the bytes of a layer arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Whole,
    /// A block at a time; others may run after each.
    Pieces,
    /// A block at a time; at times a moment passes.
    Sleepy,
}

/// Which cores the two work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    Any,
    One,
    Two,
}

#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub resolver: Resolver,
    pub pace: Pace,
    pub cores: Cores,
    /// How much of the tries it has: where the two wait for each other they are slow.
    pub per_mille: u64,
}

/// The settings of each attack.
pub const SETTINGS: [Setting; 8] = [
    setting(Resolver::Openat2, Pace::Whole, Cores::Two, 300),
    setting(Resolver::Walk, Pace::Whole, Cores::Two, 300),
    setting(Resolver::Openat2, Pace::Pieces, Cores::Two, 190),
    setting(Resolver::Walk, Pace::Pieces, Cores::Two, 190),
    setting(Resolver::Openat2, Pace::Sleepy, Cores::One, 5),
    setting(Resolver::Walk, Pace::Sleepy, Cores::One, 5),
    setting(Resolver::Openat2, Pace::Sleepy, Cores::Any, 5),
    setting(Resolver::Walk, Pace::Sleepy, Cores::Any, 5),
];

const fn setting(resolver: Resolver, pace: Pace, cores: Cores, per_mille: u64) -> Setting {
    Setting { resolver, pace, cores, per_mille }
}

/// What came of one unpack.
#[derive(Default)]
pub struct Tried {
    /// Entries that were applied or refused.
    pub entries: u64,
    /// Unpacks that ended in an error.
    pub refused: u64,
    pub panicked: u64,
}

/// Unpacks the layers into `root`, or staged in it, once.
pub fn unpack(root: &Path, form: Form, layers: &[Layer], setting: Setting, gate: &Gate) -> Tried {
    let mut tried = Tried::default();
    let run = || match form {
        Form::InPlace => apply(Unpacker::in_place(open(root)?, policy(setting))?, layers, setting, &mut tried.entries),
        Form::Rootfs => apply(Unpacker::rootfs(open(root)?, "dest", policy(setting))?, layers, setting, &mut tried.entries),
        Form::Overlay => {
            let unpacker = Unpacker::overlay(open(root)?, "dest", OverlayForm::User, policy(setting))?;
            apply(unpacker, layers, setting, &mut tried.entries)
        }
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => {}
        Ok(Err(_)) => tried.refused = 1,
        Err(_) => tried.panicked = 1,
    }
    if form != Form::InPlace {
        gate.while_at_rest(|| clean(root));
    }
    tried
}

fn open(root: &Path) -> Result<Root, Error> {
    Root::open_ambient(root, ambient_authority())
}

fn policy(setting: Setting) -> Policy {
    let mut policy = Policy::container();
    (policy.resolver, policy.devices) = (setting.resolver, Devices::Create);
    policy
}

fn apply(unpacker: Unpacker, layers: &[Layer], setting: Setting, entries: &mut u64) -> Result<(), Error> {
    let mut unpacker = unpacker.threads(NonZeroUsize::MIN);
    for layer in layers {
        let blob = Paced { bytes: &layer.bytes, pace: setting.pace, reads: 0 };
        match unpacker.apply(&Expect::dangerous_unverified(), blob) {
            Ok(_) => *entries += layer.entries,
            Err(error) => {
                *entries += error.location().entry.map_or(layer.entries, |entry| entry + 1);
                return Err(error);
            }
        }
    }
    unpacker.commit().map(drop)
}

/// Removes what a staged unpack made, and what the attacker kept from it.
pub fn clean(root: &Path) {
    for entry in std::fs::read_dir(root).expect("the root").flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b".dest.") || entry.file_name() == "dest" {
            remove(&entry.path());
        }
    }
    remove(&root.join(".pool/old"));
}

struct Paced<'a> {
    bytes: &'a [u8],
    pace: Pace,
    reads: u64,
}

impl Read for Paced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reads += 1;
        match self.pace {
            Pace::Whole => return self.bytes.read(buffer),
            Pace::Sleepy if self.reads.is_multiple_of(24) => std::thread::sleep(Duration::from_micros(30)),
            Pace::Sleepy => {}
            Pace::Pieces => std::thread::yield_now(),
        }
        let len = buffer.len().min(512);
        self.bytes.read(&mut buffer[..len])
    }
}

/// Puts the calling thread on a core, or back on all that the process began with. Where there is no such core it stays.
pub fn pin(core: Option<usize>) {
    static ALL: OnceLock<Option<CpuSet>> = OnceLock::new();
    let all = ALL.get_or_init(|| sched_getaffinity(None).ok());
    let one = core.map(|core| {
        let mut set = CpuSet::new();
        set.set(core);
        set
    });
    if let Some(set) = one.as_ref().or(all.as_ref()) {
        sched_setaffinity(None, set).unwrap_or_default();
    }
}
