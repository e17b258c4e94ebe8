//! The attack corpus through the real program, under four oracles at once.
//!
//! Each job runs in the open world, in a sealed one and traced; snapshots of the outside and the events of the filesystem are
//! looked at in all three.

pub mod escape;
pub mod sealed;
mod trace;
mod watch;

use std::ffi::OsString;

use crate::cases::{Job, Place, Ran, Stored, run as run_child};
use crate::corpus::CLASSES;
use crate::evidence::{Counts, Section};
use crate::harness::{Attack, Plant};
use crate::run::{Extent, Settings};
use escape::{ESCAPES, Escape, INNOCENT};
use trace::Allowed;
use watch::{Known, Seen, Watch};

pub const SECTION: Section = Section {
    name: "oracles",
    title: "The attack corpus through the program examples/unpack, as a tree, in place and in overlay form, under strict and container, \
            with four oracles: a snapshot of all outside, fanotify over the whole filesystem, a read-only world, strace.",
    guarantees: "G1, G2, G4, G8",
    run,
};

/// Whether a name is that of a staging directory of the destination.
fn is_staging(name: &str) -> bool {
    let digits = name.strip_prefix(".dest.safe-layers-").unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Things that were tried and those that went wrong.
#[derive(Default)]
struct Tally {
    tried: u64,
    wrong: u64,
}

impl Tally {
    fn add(&mut self, what: &str, oracle: &str, fault: Option<String>) {
        self.many(what, oracle, 1, fault.into_iter().collect());
    }

    fn many(&mut self, what: &str, oracle: &str, tried: u64, faults: Vec<String>) {
        self.tried += tried;
        self.wrong += faults.len() as u64;
        for fault in faults.iter().take(5) {
            eprintln!("{what}: {oracle}: {fault}");
        }
    }
}

#[derive(Default)]
struct Tallies {
    attacks: u64,
    outcomes: Tally,
    snapshots: Tally,
    taken: Tally,
    events: Tally,
    sealed: Tally,
    calls: Tally,
    traced: Tally,
}

fn run(settings: &Settings) -> Counts {
    let mut counts = Counts::default();
    controls(&mut counts);
    let place = Place::new();
    let watch = Watch::new(&place.mounted.path());
    let mut tallies = Tallies::default();
    for (number, attack) in CLASSES.iter().copied().flatten().enumerate() {
        each(&place, &watch, attack, (number, settings.extent), &mut tallies);
    }
    let Tallies { attacks, outcomes, snapshots, taken, events, sealed, calls, traced } = tallies;
    for (what, tally) in [
        ("runs with a policy and a form, outcome as the corpus has it", outcomes),
        ("snapshots of all outside the destination (type, content, mode, owner, time, xattrs, links), before and after", snapshots),
        ("trees that hold an inode or bytes of the outside", taken),
        ("fanotify: events (create, delete, move, modify, attributes, open, read) of the children", events),
        ("read-only world: the same report and the same tree", sealed),
        ("strace: calls that take a name, change, move or reach something", calls),
        ("strace: the same report and the same tree", traced),
    ] {
        counts.row(what, tally.tried, tally.wrong);
    }
    counts.note(format!("{attacks} attacks; 1 thread in the read-only world, 2 else."));
    counts.note(match settings.extent {
        Extent::Short => "Of each attack one policy and form; without those of very many entries and the race.",
        Extent::Full => {
            "Every attack is traced, bombs too; only reports and trees of the race, which differ from run to run, are not compared."
        }
    });
    counts
}

fn each(place: &Place, watch: &Watch, attack: &Attack, (number, extent): (usize, Extent), tallies: &mut Tallies) {
    let stored = Stored::new(attack, place);
    let jobs = stored.jobs();
    let short = extent == Extent::Short;
    if short && stored.is_slow() {
        return;
    }
    tallies.attacks += 1;
    let one = number % jobs.len();
    for (_, job) in jobs.iter().enumerate().filter(|(at, _)| !short || *at == one) {
        three_worlds(place, watch, job, tallies);
    }
}

/// Runs a job in the open world, in the sealed one and traced.
fn three_worlds(place: &Place, watch: &Watch, job: &Job<'_>, tallies: &mut Tallies) {
    let what = job.what();
    let open = watched(place, watch, job, &job.words(place, 2), &what, tallies);
    tallies.outcomes.add(&what, "outcome", job.fault(&open));

    let sealed = watched(place, watch, job, &sealed::words(place, &job.words(place, 1)), &format!("{what}, sealed"), tallies);
    let trace = place.files.path().join("trace");
    let traced = watched(place, watch, job, &trace::words(&trace, &job.words(place, 2)), &format!("{what}, traced"), tallies);
    let text = String::from_utf8_lossy(&std::fs::read(&trace).expect("a trace")).into_owned();
    let (calls, wrong) = trace::judge(&text, &Allowed::of(place, job.stored.blobs()));
    tallies.calls.many(&what, "strace", calls, wrong);
    if job.stored.is_race() {
        return;
    }
    tallies.sealed.add(&what, "read-only world", open.difference(&sealed));
    tallies.traced.add(&what, "traced", open.difference(&traced));
}

/// Runs words under the two oracles that look from outside.
fn watched(place: &Place, watch: &Watch, job: &Job<'_>, words: &[OsString], what: &str, tallies: &mut Tallies) -> Ran {
    job.prepare(place);
    let known = Known::of(place, job.case().plants.iter().find_map(Plant::outside));
    let before = place.outside(Some(job.case()));
    watch.drain(&known, &mut Seen::default());
    let mut seen = Seen::default();
    let ran = job.run(place, words, Some((watch.fd(), &mut || watch.drain(&known, &mut seen))));
    tallies.events.many(what, "fanotify", seen.events, seen.outside);
    job.recover(place);
    tallies.snapshots.add(what, "snapshot", before.difference(&place.outside(Some(job.case()))));
    tallies.taken.add(what, "taken", job.taken(place, &ran));
    ran
}

/// What the oracles said of one child.
type Alarms = [bool; 5];

/// The letters of [`ESCAPES`].
const ORACLES: [(char, &str); 5] =
    [('S', "snapshot"), ('F', "fanotify"), ('R', "read-only world"), ('T', "strace"), ('I', "inodes and bytes of the outside")];

fn controls(counts: &mut Counts) {
    let mut place = Place::new();
    let watch = Watch::new(&place.mounted.path());
    let all: Vec<(&Escape, Alarms)> = ESCAPES.iter().map(|escape| (escape, alarms(&mut place, &watch, escape.0))).collect();
    for (oracle, (letter, name)) in ORACLES.iter().enumerate() {
        let planted: Vec<_> = all.iter().filter(|((_, _, seen_by), _)| seen_by.contains(*letter)).collect();
        let missed: Vec<_> = planted.iter().filter(|(_, alarms)| !alarms[oracle]).map(|((name, ..), _)| *name).collect();
        counts.control(format!("{name}: planted escapes"), planted.len() as u64, (planted.len() - missed.len()) as u64);
        assert!(missed.is_empty(), "{name} has not seen: {missed:?}");
    }
    let missed: Vec<_> = trace::PLANTED.iter().filter(|call| !trace::is_violation(call)).collect();
    counts.control("strace: single calls", trace::PLANTED.len() as u64, (trace::PLANTED.len() - missed.len()) as u64);
    assert!(missed.is_empty(), "strace has not seen: {missed:#?}");
    let innocent = alarms(&mut place, &watch, INNOCENT).iter().filter(|alarm| **alarm).count();
    let harmless = trace::HARMLESS.iter().filter(|call| trace::is_violation(call)).count();
    let tried = ORACLES.len() + trace::HARMLESS.len();
    counts.row("oracles and single calls that are an alarm without an escape", tried as u64, (innocent + harmless) as u64);
}

/// Runs a child that escapes, in each of the three worlds.
fn alarms(place: &mut Place, watch: &Watch, name: &str) -> Alarms {
    place.renew();
    let known = Known::of(place, None);
    let before = place.outside(None);
    let mut seen = Seen::default();
    watch.drain(&known, &mut Seen::default());
    let open = run_child(place, &escape::words(place, name), Some((watch.fd(), &mut || watch.drain(&known, &mut seen))));
    assert!(open.status == Some(0), "{name}: the planted escape does not work: {}", open.told());
    let snapshot = before.difference(&place.outside(None)).is_some();
    let taken = open.tree.as_ref().and_then(|tree| place.world.taken(tree)).is_some();

    place.renew();
    let sealed = run_child(place, &sealed::words(place, &escape::words(place, name)), None);

    place.renew();
    let trace = place.files.path().join("trace");
    run_child(place, &trace::words(&trace, &escape::words(place, name)), None);
    let text = String::from_utf8_lossy(&std::fs::read(&trace).expect("a trace")).into_owned();
    let (_, wrong) = trace::judge(&text, &Allowed::of(place, &[]));
    [snapshot, !seen.outside.is_empty(), sealed.status != Some(0), !wrong.is_empty(), taken]
}
