//! Many unpacks in one process, good and bad ones: memory, handles and threads stay what they were.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use safe_layers::{Digest, Expect, OverlayForm, Policy, Root, Unpacker};

use crate::common::builder::{Entry, tar};
use crate::evidence::Counts;
use crate::run::Settings;
use crate::sweep::{Place, leftovers, sha256};

/// What memory may grow by between the first tenth and the end, in KiB: what an allocator holds back moves by some hundreds,
/// and the smallest control, 900 unpacks that keep 4 KiB each, grows by 3,600.
const SLACK: u64 = 2048;

/// What the process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// In KiB.
    memory: u64,
    handles: u64,
    threads: u64,
}

impl Held {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("proc");
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let handles = std::fs::read_dir("/proc/self/fd").expect("proc").count() as u64;
        Self { memory: number("VmRSS:"), handles, threads: number("Threads:") }
    }

    /// How many of the three are more than they were.
    fn grown_since(self, before: Self) -> u64 {
        let grown = [self.memory > before.memory + SLACK, self.handles != before.handles, self.threads != before.threads];
        grown.into_iter().filter(|grown| *grown).count() as u64
    }
}

/// What this program is started with for one soak: memory that an earlier part freed would hide what this one keeps.
pub const WORD: &str = "soak";

/// What each unpack leaves behind on purpose, for the controls.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Nothing,
    Handle,
    Memory,
}

impl Kept {
    const ALL: [(&str, Self); 3] = [("nothing", Self::Nothing), ("handle", Self::Handle), ("memory", Self::Memory)];

    fn leave(self) {
        match self {
            Self::Nothing => {}
            Self::Handle => std::mem::forget(std::fs::File::open("/dev/null")),
            Self::Memory => std::mem::forget(std::hint::black_box(vec![1_u8; 4096])),
        }
    }
}

pub fn run(settings: &Settings, counts: &mut Counts) {
    let rounds = settings.pick(10_000, 1_000_000);
    let (violations, note) = in_a_process(rounds, "nothing");
    counts.row("unpacks in one process", rounds, violations);
    counts.note(note);
    counts.control("a handle is kept at each unpack", 1, in_a_process(1000, "handle").0);
    counts.control("4 KiB are kept at each unpack", 1, in_a_process(1000, "memory").0);
}

/// Gives the violations, and what the process held.
fn in_a_process(rounds: u64, kept: &str) -> (u64, String) {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args([WORD, &rounds.to_string(), kept]).stderr(Stdio::inherit()).output().expect("a soak");
    let said = String::from_utf8(output.stdout).expect("text");
    let (violations, note) = said.trim_end().split_once('\n').expect("two lines");
    (violations.parse().expect("a number"), note.to_owned())
}

/// The process of one soak: says the violations and what it held.
pub fn main(words: &[String]) -> ExitCode {
    let [rounds, kept] = words else { return ExitCode::from(2) };
    let kept = Kept::ALL.iter().find(|(name, _)| name == kept).expect("what is kept").1;
    let (violations, before, after) = soak(rounds.parse().expect("a number"), kept);
    println!("{violations}\nThe process after a tenth of them: {before:?}; after all: {after:?} (memory in KiB).");
    ExitCode::SUCCESS
}

/// Gives what has grown, or went otherwise than it has to, and what was held after a tenth and at the end.
fn soak(rounds: u64, kept: Kept) -> (u64, Held, Held) {
    let place = Place::new();
    let (mut wrong, mut before) = (0, Held::now());
    for round in 0..rounds {
        if round == rounds / 10 {
            before = Held::now();
        }
        wrong += u64::from(!unpack_one(round, &place.dir()));
        kept.leave();
    }
    let after = Held::now();
    wrong += u64::from(!leftovers(&place.dir()).is_empty());
    (wrong + after.grown_since(before), before, after)
}

/// Whether it went as it has to: of eight one does not match its claim, one is cut, one in overlay form, one given up.
fn unpack_one(round: u64, place: &Path) -> bool {
    let layer = tar().dir("d").add(Entry::file("d/f", "content")).symlink("s", "d").hardlink("h", "d/f");
    let bytes = if round.is_multiple_of(2) { layer.bytes() } else { layer.gzip().bytes() };
    let claimed = if round % 8 == 1 { sha256(b"another") } else { sha256(&bytes) };
    let cut = if round % 8 == 2 { bytes.len() / 2 } else { bytes.len() };
    let unpack = || {
        let parent = Root::open_ambient(place, safe_layers::ambient_authority())?;
        let policy = Policy::container();
        let unpacker = match round % 8 {
            3 => Unpacker::overlay(parent, "dest", OverlayForm::User, policy)?,
            _ => Unpacker::rootfs(parent, "dest", policy)?,
        };
        let mut unpacker = unpacker.threads(NonZeroUsize::MIN.saturating_add((round / 8 % 2) as usize));
        unpacker.apply(&Expect::blob(Digest::parse(claimed)?), &bytes[..cut])?;
        if round % 8 == 4 {
            return Ok(());
        }
        unpacker.commit().map(drop)
    };
    let result: Result<(), safe_layers::Error> = unpack();
    let there = std::fs::remove_dir_all(place.join("dest")).is_ok();
    result.is_ok() != matches!(round % 8, 1 | 2) && there != matches!(round % 8, 1 | 2 | 4)
}
