//! Every system call of the real program fails in turn, once and for ever; and every call on the tree inside the library.

use std::process::Command;
use std::time::Duration;

use crate::common::snapshot::Tree;
use crate::evidence::Counts;
use crate::kills::{Aftermath, aftermath, jobs, same};
use crate::run::{Extent, Settings, repository};
use crate::sweep::{self, Job, Layers, Place, Point, Reference, leftovers, points, thin, traced, tree, try_all};

const ERRORS: [&str; 9] = ["ENOSPC", "EIO", "EDQUOT", "EMFILE", "EACCES", "EINTR", "ENOMEM", "ENOSYS", "EAGAIN"];
/// Cases tried for each job in the short form.
const SHORT: u64 = 120;
/// Where EINTR for ever may be met by trying for ever.
const A_WHILE: Duration = Duration::from_secs(1);
/// Places of panics that a program meets before `main` and where a thread begins, and where there is no randomness.
const STD_GIVES_UP: [&str; 2] = ["library/std/src/sys/pal/unix/stack_overflow.rs", "library/std/src/sys/random/"];

/// A call that fails.
#[derive(Debug)]
struct Case {
    point: Point,
    error: &'static str,
    for_ever: bool,
}

pub fn run(settings: &Settings) -> Counts {
    let (layers, mut counts) = (Layers::every_call(), Counts::default());
    for job in jobs() {
        let reference = Reference::of(job, &layers);
        let cases = thin(cases(job, &layers), settings.pick(SHORT, u64::MAX));
        let tally = try_all(&cases, |case, place| failed(job, &layers, &reference, case, place));
        let what = format!("a call fails ({})", job.name());
        tally.complain(&what);
        counts.row(&what, tally.tried(), tally.violations.len() as u64);
        counts.note(format!("{what}: {}.", tally.spread()));
    }
    for how in ["straight", "careless", "littering"] {
        let job = Job::Naive(how);
        let reference = Reference::of(job, &layers);
        let cases = thin(cases(job, &layers), settings.pick(SHORT / 3, u64::MAX));
        let tally = try_all(&cases, |case, place| failed(job, &layers, &reference, case, place));
        counts.control(format!("a call fails (naive: {how})"), tally.tried(), tally.violations.len() as u64);
    }
    match settings.extent {
        Extent::Full => in_crate(&mut counts),
        Extent::Short => counts.note("Calls inside the library: `tests/faults.rs`, by `cargo test`."),
    }
    counts
}

fn cases(job: Job, layers: &Layers) -> Vec<Case> {
    let mut cases = Vec::new();
    for point in points(job, layers, true) {
        for error in ERRORS {
            cases.extend([false, true].map(|for_ever| Case { point: point.clone(), error, for_ever }));
        }
    }
    cases
}

fn failed(job: Job, layers: &Layers, reference: &Reference, case: &Case, place: &Place) -> Result<&'static str, String> {
    let Case { point, error, for_ever } = case;
    let (trace, when) = (format!("trace={}", point.call), if *for_ever { "+" } else { "" });
    let inject = format!("inject={}:error={error}:when={}{when}", point.call, point.number);
    let words = traced(job.words(layers, &place.dir(), false), place.scratch(), &["--seccomp-bpf", "-e", &trace, "-e", &inject]);
    let ran = match (*error, for_ever) {
        ("EINTR", true) => sweep::run_for(A_WHILE, &words, place.scratch()),
        _ => sweep::run(&words, place.scratch()),
    };
    judge(job, layers, reference, case, &ran, place).map_err(|wrong| format!("{case:?}: {wrong}"))
}

fn judge(job: Job, layers: &Layers, reference: &Reference, case: &Case, ran: &sweep::Ran, place: &Place) -> Result<&'static str, String> {
    let panicked = ran.err.contains("panicked");
    if panicked && !STD_GIVES_UP.iter().any(|place| ran.err.contains(place)) {
        return Err(format!("a panic: {}", ran.err));
    }
    let reached = std::fs::read_to_string(sweep::trace_file(place.scratch())).is_ok_and(|trace| trace.contains("(INJECTED)"));
    if !reached && matches!(job, Job::Unpack { threads: 1, .. }) {
        return Err("a call that comes in every run was not reached".to_owned());
    }
    if ran.succeeded() {
        let found = tree(&place.dir()).ok_or("success without a tree")?;
        let outcome = exact_or_told(reference, &found, &ran.out)?;
        let outcome = if reached { outcome } else { "not reached" };
        return if leftovers(&place.dir()).is_empty() { Ok(outcome) } else { Err("success and a leftover".to_owned()) };
    }
    // Whoever cannot write cannot say so.
    if ran.status.is_some() && !ran.killed() && ran.out.is_empty() && ran.err.is_empty() && case.point.call != "write" {
        return Err("an error that says nothing".to_owned());
    }
    let left = !leftovers(&place.dir()).is_empty();
    match (aftermath(job, layers, reference, place)?, ran.status) {
        // To try again is right, and the kernel never does so for ever.
        (_, None) if case.error == "EINTR" && case.for_ever => Ok("interrupted for ever, tried for ever"),
        (_, None) => Err(format!("hangs: {ran:?}")),
        (Aftermath::Complete, _) => Ok("an error after the exact tree was there"),
        (Aftermath::Absent, _) if panicked => Ok("given up by the standard library"),
        (Aftermath::Absent, _) if ran.killed() => Ok("ended by a signal"),
        (Aftermath::Absent, _) if left && case.for_ever => Ok("an error for ever, a leftover to recover"),
        (Aftermath::Absent, _) if left => Ok("an error once, a leftover to recover"),
        (Aftermath::Absent, _) => Ok("an error"),
    }
}

/// The tree of a success is exact, or lacks attributes that an event tells of.
fn exact_or_told(reference: &Reference, found: &Tree, report: &str) -> Result<&'static str, String> {
    let mut events = sweep::events(report);
    if events == reference.events {
        return same(reference, found, "a wrong tree, and success").map(|()| "exact");
    }
    events.remove("XattrUnsupported");
    if events != reference.events {
        return Err(format!("success with other events: {events:?}"));
    }
    let bare = |tree: &Tree| {
        let mut tree = tree.clone();
        tree.nodes.values_mut().for_each(|node| node.xattrs.retain(|name, _| !name.starts_with(b"user.")));
        tree
    };
    let diff = bare(&reference.tree).diff(&bare(found));
    if diff.is_empty() { Ok("without an attribute, and told") } else { Err(format!("a wrong tree, and told of attributes alone:\n{diff}")) }
}

/// The sweep through the gate inside the library, which reaches each of its calls thousands of times a minute.
fn in_crate(counts: &mut Counts) {
    let mut test = Command::new(env!("CARGO"));
    test.args(["test", "--release", "--all-features", "--test", "faults", "--", "--nocapture"]).env("SAFE_LAYERS_TORTURE", "full");
    let output = test.current_dir(repository()).output().expect("cargo");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find_map(|line| line.split_once("faults: ").map(|(_, rest)| rest.to_owned())).unwrap_or_default();
    let runs = line.split(' ').next().and_then(|runs| runs.parse().ok()).unwrap_or_default();
    if !output.status.success() {
        eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    counts.row("a call on the tree fails (tests/faults.rs)", runs, u64::from(!output.status.success()));
    counts.note(format!("tests/faults.rs: {line}."));
}
