//! SIGKILL at every system call of the real program, and of the run that recovers.

use crate::common::snapshot::Tree;
use crate::evidence::Counts;
use crate::run::Settings;
use crate::sweep::{self, Job, Layers, Place, Point, Reference, Tally, leftovers, points, thin, traced, tree, try_all};

/// Points tried for each job in the short form.
const SHORT: u64 = 70;

pub fn run(settings: &Settings) -> Counts {
    let (layers, mut counts, most) = (Layers::every_call(), Counts::default(), settings.pick(SHORT, u64::MAX));
    for job in jobs() {
        let reference = Reference::of(job, &layers);
        let cases = thin(points(job, &layers, false), most);
        let tally = try_all(&cases, |point, place| killed(job, &layers, &reference, point, place));
        enter(&mut counts, &format!("killed at a call ({})", job.name()), &tally);
        let cases = thin(points_of_recovery(job, &layers), most);
        let tally = try_all(&cases, |point, place| killed_in_recovery(job, &layers, &reference, point, place));
        enter(&mut counts, &format!("killed at a call of the recovery ({})", job.name()), &tally);
    }
    for how in ["straight", "littering"] {
        let job = Job::Naive(how);
        let reference = Reference::of(job, &layers);
        let cases = thin(points(job, &layers, false), most);
        let tally = try_all(&cases, |point, place| killed(job, &layers, &reference, point, place));
        counts.control(format!("killed at a call (naive: {how})"), tally.tried(), tally.violations.len() as u64);
    }
    counts
}

/// What is swept: both forms, both ways to work.
pub fn jobs() -> [Job; 4] {
    let job = |form, threads| Job::Unpack { form, threads, durable: true };
    [job("merged", 1), job("merged", 2), job("overlay-user", 1), job("overlay-user", 2)]
}

fn enter(counts: &mut Counts, what: &str, tally: &Tally) {
    tally.complain(what);
    counts.row(what, tally.tried(), tally.violations.len() as u64);
    counts.note(format!("{what}: {}.", tally.spread()));
}

fn kill(words: Vec<String>, point: &Point, place: &Place) -> sweep::Ran {
    let (trace, inject) = (format!("trace={}", point.call), format!("inject={}:signal=KILL:when={}", point.call, point.number));
    // Not with --seccomp-bpf: strace 6.1 sends no signal then.
    sweep::run(&traced(words, place.scratch(), &["-e", &trace, "-e", &inject]), place.scratch())
}

fn killed(job: Job, layers: &Layers, reference: &Reference, point: &Point, place: &Place) -> Result<&'static str, String> {
    let ran = kill(job.words(layers, &place.dir(), false), point, place);
    judge(job, layers, reference, &ran, place).map_err(|wrong| format!("{point:?}: {wrong}"))
}

fn judge(job: Job, layers: &Layers, reference: &Reference, ran: &sweep::Ran, place: &Place) -> Result<&'static str, String> {
    if !ran.killed() && !ran.succeeded() {
        return Err(format!("neither killed nor done: {ran:?}"));
    }
    let left = if leftovers(&place.dir()).is_empty() { "absent" } else { "absent, a leftover" };
    let outcome = match aftermath(job, layers, reference, place)? {
        Aftermath::Absent => left,
        Aftermath::Complete if ran.killed() => "complete",
        Aftermath::Complete => "not reached",
    };
    match job {
        _ if ran.succeeded() && outcome != "not reached" => Err("success without a tree".to_owned()),
        Job::Unpack { threads: 1, .. } if ran.succeeded() => Err("a call that comes in every run was not reached".to_owned()),
        _ => Ok(outcome),
    }
}

/// How a tree that is not exact is told of.
pub const PARTIAL: &str = "a partial tree under the final name";

/// What stood under the final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    Absent,
    Complete,
}

/// Checks what a run left: nothing or the exact tree under the final name; after another run the exact tree, and nothing beside it.
pub fn aftermath(job: Job, layers: &Layers, reference: &Reference, place: &Place) -> Result<Aftermath, String> {
    let found = tree(&place.dir());
    match &found {
        Some(found) => same(reference, found, PARTIAL)?,
        None => again(job, layers, reference, place)?,
    }
    let left = leftovers(&place.dir());
    if !left.is_empty() {
        return Err(format!("left for ever: {left:?}"));
    }
    Ok(if found.is_some() { Aftermath::Complete } else { Aftermath::Absent })
}

fn again(job: Job, layers: &Layers, reference: &Reference, place: &Place) -> Result<(), String> {
    let ran = sweep::run(&job.words(layers, &place.dir(), true), place.scratch());
    if !ran.succeeded() {
        return Err(format!("the next run fails: {ran:?}"));
    }
    let found = tree(&place.dir()).ok_or("the next run makes no tree")?;
    same(reference, &found, "the next run's tree is another")
}

pub fn same(reference: &Reference, found: &Tree, otherwise: &str) -> Result<(), String> {
    let diff = reference.tree.diff(found);
    if diff.is_empty() { Ok(()) } else { Err(format!("{otherwise}:\n{diff}")) }
}

/// Leaves a whole staged tree: killed when it is to be moved to its name.
fn leave(job: Job, layers: &Layers, place: &Place) {
    let last = Point { call: "renameat2".to_owned(), number: 1 };
    kill(job.words(layers, &place.dir(), false), &last, place);
    assert!(leftovers(&place.dir()).len() == 1 && tree(&place.dir()).is_none(), "nothing to recover");
}

fn points_of_recovery(job: Job, layers: &Layers) -> Vec<Point> {
    let place = Place::new();
    leave(job, layers, &place);
    let ran = sweep::run(&traced(job.words(layers, &place.dir(), true), place.scratch(), &[]), place.scratch());
    assert!(ran.succeeded(), "{ran:?}");
    sweep::points_of(&std::fs::read_to_string(sweep::trace_file(place.scratch())).expect("a trace"), false)
}

fn killed_in_recovery(job: Job, layers: &Layers, reference: &Reference, point: &Point, place: &Place) -> Result<&'static str, String> {
    leave(job, layers, place);
    let ran = kill(job.words(layers, &place.dir(), true), point, place);
    judge(job, layers, reference, &ran, place).map_err(|wrong| format!("{point:?}: {wrong}"))
}
