//! How an unpack is asked for: every knob of a policy, small limits, every form, and what stands there before.
//!
//! ```text
//! setting: six bytes
//! form:    7 rootfs, in place, overlay of users, overlay of the superuser, on given layers, on unknown ones, rootfs, in place
//!          8 strict · 16 durable · 32 without openat2 · 64 four threads · 128 openat2 or nothing
//! links:   1 symlinked parents · 2 parents that are no directory · 4 what a hardlink may name: as it is, within the layer, within
//!          the root, nothing (12) · 48 missing parents: as it is, made, made and told, refused · 64 duplicates · 128 no whiteouts
//! kinds:   3 devices: as it is, refused, skipped, made · 4 FIFOs · 8 unknown types are skipped · 48 symlinks: as it is, kept, those
//!          that lead out refused, refused · 64 other attributes · 128 absolute names
//! owners:  7 see [`ownership`] · 8 special bits · 48 times: of the archive, fixed, at most · 192 attributes that are not held
//! limits:  1 depth · 2 entries · 4 names of a file · 8 hardlinks that wait · 16 what is kept in mind · 32 bytes · 64 lengths of paths
//!          and targets · 128 bytes of a file
//! ground:  1 oddities · 2 odd markers · 4 data after the end · 8 a default ACL · 16 setgid · 32 closed · 64 things in it
//! ```
//!
//! A bit turns what the policy has to the other choice there is.

use std::fs::{self, Permissions};
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, XattrFlags, mkfifoat, setxattr, utimensat};
use safe_layers::{
    AbsoluteNames, Devices, Duplicates, Durability, Error, Fifos, Hardlinks, IdMap, IdRange, ImplicitParents, LowerLayers,
    NonDirectoryParents, Oddities, OtherXattrs, OverlayForm, Ownership, Policy, Resolver, Root, SpecialBits, SymlinkedParents, Symlinks,
    Times, Timestamp, TrailingData, UnknownTypes, Unmapped, Unpacked, Unpacker, UnsupportedXattrs, Whiteouts,
};

use super::pass::limited;
use super::tar::acl;
use super::world::{World, apply_all};

/// Where the layers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Rootfs,
    InPlace,
    Overlay(OverlayForm),
    /// The last layer alone, on directories that the others made.
    OnGiven,
    OnUnknown,
}

pub struct Setting {
    pub form: Form,
    pub policy: Policy,
    pub durability: Durability,
    pub threads: usize,
    ground: u8,
}

const FORMS: [Form; 8] = [
    Form::Rootfs,
    Form::InPlace,
    Form::Overlay(OverlayForm::User),
    Form::Overlay(OverlayForm::Trusted),
    Form::OnGiven,
    Form::OnUnknown,
    Form::Rootfs,
    Form::InPlace,
];

impl Setting {
    /// Reads a setting; gives the rest.
    pub fn read(input: &[u8]) -> Option<(Self, &[u8])> {
        let ([form, links, kinds, owners, limits, ground], rest) = input.split_first_chunk()?;
        let base = if form & 8 != 0 { Policy::strict() } else { Policy::container() };
        let mut policy = limited(base);
        read_links(*links, &mut policy);
        read_kinds(*kinds, &mut policy);
        read_owners(*owners, &mut policy);
        read_limits(*limits, &mut policy);
        let swap = |bit: u8, now| if (ground & bit != 0) == (now == Oddities::Refuse) { Oddities::Tolerate } else { Oddities::Refuse };
        policy.oddities = swap(1, policy.oddities);
        policy.odd_markers = swap(2, policy.odd_markers);
        policy.trailing_data = if ground & 4 != 0 { TrailingData::Ignore } else { TrailingData::Reject };
        policy.resolver = match form {
            _ if form & 32 != 0 => Resolver::Walk,
            _ if form & 128 != 0 => Resolver::Openat2,
            _ => Resolver::Auto,
        };
        let durability = if form & 16 != 0 { Durability::Tree } else { Durability::None };
        let threads = if form & 64 != 0 { 4 } else { 1 };
        Some((Self { form: FORMS[usize::from(form & 7)], policy, durability, threads, ground: *ground }, rest))
    }

    /// Whether device nodes may be made: those of an archive, or those that overlayfs takes for whiteouts.
    pub fn makes_devices(&self) -> bool {
        self.policy.devices == Devices::Create || !matches!(self.form, Form::Rootfs | Form::InPlace)
    }

    /// Makes what must be there before an unpack.
    pub fn prepare(&self, world: &World) {
        if self.form != Form::InPlace {
            return;
        }
        let dest = world.dest();
        fs::create_dir(&dest).unwrap();
        if self.ground & 64 != 0 {
            things(&dest);
        }
        for dir in [dest.join("a"), dest.clone()].iter().filter(|dir| dir.is_dir()) {
            if self.ground & 8 != 0 {
                // Not every filesystem holds one.
                let _refused = setxattr(dir, "system.posix_acl_default", &acl(), XattrFlags::empty());
            }
            let mode = if self.ground & 32 != 0 { 0o500 } else { 0o755 };
            let mode = if self.ground & 16 != 0 { mode | 0o2000 } else { mode };
            fs::set_permissions(dir, Permissions::from_mode(mode)).unwrap();
        }
        // Not the time of the run.
        let time = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        for path in ["a/b", "a", "b", "c", ""].map(|path| dest.join(path)).iter().filter(|path| path.symlink_metadata().is_ok()) {
            utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }

    pub fn unpack(&self, world: &World, layers: &[Vec<u8>]) -> Result<Unpacked, Error> {
        let (parent, policy) = (world.root()?, self.policy.clone());
        let (unpacker, layers) = match self.form {
            Form::Rootfs => (Unpacker::rootfs(parent, "dest", policy)?, layers),
            Form::InPlace => (Unpacker::in_place(root_of(&world.dest())?, policy)?, layers),
            Form::Overlay(form) => (Unpacker::overlay(parent, "dest", form, policy)?, layers),
            Form::OnUnknown => (Unpacker::overlay_on(parent, "dest", OverlayForm::User, LowerLayers::Unknown, policy)?, layers),
            Form::OnGiven => {
                let (last, below) = layers.split_last().unwrap();
                let lower = world.lower();
                if !lower.is_dir() && !below.is_empty() {
                    let unpacker = Unpacker::overlay(world.root()?, "lower", OverlayForm::User, policy.clone())?;
                    apply_all(unpacker, below.iter().map(Vec::as_slice))?;
                }
                let given = (0..below.len()).rev().map(|layer| root_of(&lower.join(layer.to_string()))).collect::<Result<_, _>>()?;
                let unpacker = Unpacker::overlay_on(parent, "dest", OverlayForm::User, LowerLayers::Known(given), policy)?;
                (unpacker, std::slice::from_ref(last))
            }
        };
        let unpacker = unpacker.threads(NonZeroUsize::new(self.threads).unwrap()).durability(self.durability);
        apply_all(unpacker, layers.iter().map(Vec::as_slice))
    }
}

fn root_of(dir: &Path) -> Result<Root, Error> {
    Root::open_ambient(dir, safe_layers::ambient_authority())
}

/// Of names that archives use: a directory with a file in it, a link to the canary, a FIFO.
fn things(dest: &Path) {
    fs::create_dir(dest.join("a")).unwrap();
    fs::write(dest.join("a/b"), b"before").unwrap();
    symlink("../canary", dest.join("b")).unwrap();
    mkfifoat(CWD, dest.join("c"), Mode::from_raw_mode(0o644)).unwrap();
}

fn read_links(bits: u8, policy: &mut Policy) {
    if bits & 1 != 0 {
        policy.symlinked_parents = match policy.symlinked_parents {
            SymlinkedParents::Resolve => SymlinkedParents::Reject,
            _ => SymlinkedParents::Resolve,
        };
    }
    if bits & 2 != 0 {
        policy.non_directory_parents = match policy.non_directory_parents {
            NonDirectoryParents::Replace => NonDirectoryParents::Reject,
            _ => NonDirectoryParents::Replace,
        };
    }
    policy.hardlinks = [policy.hardlinks, Hardlinks::InLayer, Hardlinks::InRoot, Hardlinks::Reject][usize::from(bits >> 2 & 3)];
    let parents = [policy.implicit_parents, ImplicitParents::Create, ImplicitParents::CreateWithEvent, ImplicitParents::Error];
    policy.implicit_parents = parents[usize::from(bits >> 4 & 3)];
    if bits & 64 != 0 {
        policy.duplicates = match policy.duplicates {
            Duplicates::Replace => Duplicates::Reject,
            _ => Duplicates::Replace,
        };
    }
    if bits & 128 != 0 {
        policy.whiteouts = Whiteouts::Reject;
    }
}

fn read_kinds(bits: u8, policy: &mut Policy) {
    policy.devices = [policy.devices, Devices::Reject, Devices::Skip, Devices::Create][usize::from(bits & 3)];
    if bits & 4 != 0 {
        policy.fifos = match policy.fifos {
            Fifos::Create => Fifos::Reject,
            _ => Fifos::Create,
        };
    }
    if bits & 8 != 0 {
        policy.unknown_types = UnknownTypes::Skip;
    }
    policy.symlinks = [policy.symlinks, Symlinks::Keep, Symlinks::RejectEscaping, Symlinks::Reject][usize::from(bits >> 4 & 3)];
    if bits & 64 != 0 {
        policy.other_xattrs = match policy.other_xattrs {
            OtherXattrs::Drop => OtherXattrs::Reject,
            _ => OtherXattrs::Drop,
        };
    }
    if bits & 128 != 0 {
        policy.absolute_names = match policy.absolute_names {
            AbsoluteNames::Strip => AbsoluteNames::Reject,
            _ => AbsoluteNames::Strip,
        };
    }
}

fn read_owners(bits: u8, policy: &mut Policy) {
    policy.ownership = ownership(bits & 7);
    if bits & 8 != 0 {
        policy.special_bits = match policy.special_bits {
            SpecialBits::Keep => SpecialBits::Strip,
            _ => SpecialBits::Keep,
        };
    }
    let time = Timestamp::new(1_000_000_000, 5).unwrap();
    policy.times = [Times::Archive, Times::Fixed(time), Times::Clamp(time), Times::Archive][usize::from(bits >> 4 & 3)];
    let refused = [UnsupportedXattrs::Event, UnsupportedXattrs::Error, UnsupportedXattrs::EventForUser, UnsupportedXattrs::Event];
    policy.unsupported_xattrs = refused[usize::from(bits >> 6)];
}

/// Archives name the owners 0, 7, 1000 and 70000.
fn ownership(choice: u8) -> Ownership {
    let map = |unmapped| {
        let range = |container, host, count| IdRange { container, host, count };
        let ranges = vec![range(0, 0, 1), range(7, 3007, 1)];
        Ownership::Map(IdMap { uids: ranges.clone(), gids: ranges, unmapped })
    };
    match choice {
        0 => Ownership::SquashToCaller,
        1 => Ownership::Preserve,
        2 => Ownership::Ignore,
        3 => Ownership::Squash { uid: 5, gid: 6 },
        4 => Ownership::RecordXattr,
        5 => map(Unmapped::Error),
        6 => map(Unmapped::Squash { uid: 5, gid: 6 }),
        _ => map(Unmapped::Record),
    }
}

fn read_limits(bits: u8, policy: &mut Policy) {
    let limits = &mut policy.limits;
    let small: [(u8, &mut u64, u64); 8] = [
        (1, &mut limits.depth, 2),
        (2, &mut limits.entries, 4),
        (4, &mut limits.links, 2),
        (8, &mut limits.deferred_links, 1),
        (16, &mut limits.deferred_bytes, 300),
        (32, &mut limits.total_bytes, 1000),
        (64, &mut limits.path_bytes, 8),
        (128, &mut limits.file_bytes, 3),
    ];
    for (_, limit, small) in small.into_iter().filter(|(bit, ..)| bits & bit != 0) {
        *limit = small;
    }
    if bits & 64 != 0 {
        limits.link_bytes = 8;
    }
}
