//! Too little disk, inodes, handles, file size, memory or threads; what the work costs; whether anything is kept.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::builder::{Entry, tar};
use crate::evidence::Counts;
use crate::kills::{Aftermath, aftermath};
use crate::run::{Mounted, Settings, done};
use crate::sweep::{self, Job, Layers, Place, Reference, Tally, leftovers};

const MIB: u64 = 1 << 20;

pub fn run(settings: &Settings) -> Counts {
    let (layers, mut counts) = (layers(), Counts::default());
    let disk = Mounted::new("tmpfs", 64);
    for job in jobs() {
        let reference = Reference::of(job, &layers);
        let mut swept = |what: &str, tally: &Tally| enter(&mut counts, &format!("{what} ({})", job.name()), tally);
        swept("a small disk", &small_disks(&disk, job, &layers, &reference, settings));
        swept("few inodes", &few_inodes(&disk, job, &layers, &reference, settings));
        for (what, option, values) in process_limits(settings) {
            swept(what, &limited(option, &values, job, &layers, &reference));
        }
        match Cgroup::new(&MEMORY) {
            Some(group) => swept("little memory (cgroup)", &little_memory(&group, job, &layers, &reference, settings)),
            None => counts.note("No memory cgroup: none can be made here."),
        }
    }
    match Cgroup::new(&THREADS) {
        Some(group) => few_threads(&group, &layers, &mut counts),
        None => counts.note("No cgroup that bounds threads: none can be made here."),
    }
    let careless = Job::Naive("careless");
    let tally = small_disks(&disk, careless, &layers, &Reference::of(careless, &layers), settings);
    counts.control("a small disk (naive: careless)", tally.tried(), tally.violations.len() as u64);
    crate::cost::run(settings, &mut counts);
    crate::soak::run(settings, &mut counts);
    counts
}

fn jobs() -> [Job; 2] {
    [1, 2].map(|threads| Job::Unpack { form: "merged", threads, durable: true })
}

/// About 300 KiB in 60 objects.
fn layers() -> Layers {
    let lower = tar().each(0..40, |i| Entry::file(format!("d{}/f{i}", i % 7), vec![b'x'; 200 * i as usize])).hardlink("h", "d0/f0");
    let upper = tar().file("d1/.wh.f1", "").add(Entry::file("big", vec![7; 150_000])).symlink("s", "big");
    Layers::of(&[("0.tar.gz", lower.gzip()), ("1.tar", upper.source())])
}

fn enter(counts: &mut Counts, what: &str, tally: &Tally) {
    tally.complain(what);
    counts.row(what, tally.tried(), tally.violations.len() as u64);
    counts.note(format!("{what}: {}.", tally.spread()));
}

fn remount(disk: &Mounted, options: &str) {
    done(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(disk.path()));
}

fn small_disks(disk: &Mounted, job: Job, layers: &Layers, reference: &Reference, settings: &Settings) -> Tally {
    let mut tally = Tally::default();
    for pages in (2..150).step_by(settings.pick(7, 1) as usize) {
        tally.add(on_disk(disk, &format!("size={}k", 4 * pages), job, layers, reference));
    }
    tally
}

fn few_inodes(disk: &Mounted, job: Job, layers: &Layers, reference: &Reference, settings: &Settings) -> Tally {
    let mut tally = Tally::default();
    for inodes in (4..70).step_by(settings.pick(5, 1) as usize) {
        tally.add(on_disk(disk, &format!("nr_inodes={inodes}"), job, layers, reference));
    }
    tally
}

fn on_disk(disk: &Mounted, options: &str, job: Job, layers: &Layers, reference: &Reference) -> Result<&'static str, String> {
    let place = Place::within(&disk.path());
    remount(disk, options);
    let ran = sweep::run(&job.words(layers, &place.dir(), false), place.scratch());
    let left = leftovers(&place.dir());
    remount(disk, "size=64m,nr_inodes=10000");
    let outcome = judge(job, layers, reference, &ran, &place).map_err(|wrong| format!("{options}: {wrong}"))?;
    std::fs::remove_dir_all(place.dir()).expect("the tree");
    if left.is_empty() || outcome != "an error" { Ok(outcome) } else { Err(format!("{options}: an error, and left: {left:?}")) }
}

/// What a limited run did; then one without the limit is exact and leaves nothing.
fn judge(job: Job, layers: &Layers, reference: &Reference, ran: &sweep::Ran, place: &Place) -> Result<&'static str, String> {
    if ran.status.is_none() {
        return Err("hangs".to_owned());
    }
    match aftermath(job, layers, reference, place)? {
        Aftermath::Complete if ran.succeeded() => Ok("exact"),
        Aftermath::Complete => Ok("an error after the exact tree was there"),
        Aftermath::Absent if ran.succeeded() => Err("success without a tree".to_owned()),
        Aftermath::Absent if ran.killed() => Ok("ended by a signal"),
        Aftermath::Absent if ran.err.is_empty() && ran.out.is_empty() => Err("an error that says nothing".to_owned()),
        Aftermath::Absent => Ok("an error"),
    }
}

/// Limits of the process: what, the option of prlimit(1), values.
fn process_limits(settings: &Settings) -> [(&'static str, &'static str, Vec<u64>); 3] {
    // Not 0: what the program says goes to a file.
    let sizes = [1, 100, 511, 512, 4095, 4096, 7799, 7800, 149_999, 150_000, 150_001, MIB];
    let step = settings.pick(4, 1) as usize;
    [
        ("few handles", "--nofile", (0..40).step_by(step).collect()),
        ("small files", "--fsize", sizes.into_iter().step_by(step).collect()),
        ("little address space", "--as", (1..100).step_by(step).map(|mib| mib * MIB).collect()),
    ]
}

fn limited(option: &str, values: &[u64], job: Job, layers: &Layers, reference: &Reference) -> Tally {
    let mut tally = Tally::default();
    for value in values {
        // A process that ignores the signal gets EFBIG; the other is killed.
        for ignore in ["", "trap '' XFSZ;"] {
            let place = Place::new();
            let script = format!("{ignore} exec prlimit {option}={value}:{value} \"$@\"");
            let ran = sweep::run(&shell(&script, job.words(layers, &place.dir(), false)), place.scratch());
            let outcome = judge(job, layers, reference, &ran, &place);
            tally.add(outcome.map_err(|wrong| format!("{option}={value}: {wrong}")));
        }
    }
    tally
}

fn shell(script: &str, words: Vec<String>) -> Vec<String> {
    ["sh", "-c", script, "sh"].into_iter().map(str::to_owned).chain(words).collect()
}

/// Where a resource can be bounded: hierarchies of version 1 or 2, with the file of the bound.
type Hierarchies = [(&'static str, &'static str); 2];

const MEMORY: Hierarchies = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
const THREADS: Hierarchies = [("/sys/fs/cgroup/pids", "pids.max"), ("/sys/fs/cgroup", "pids.max")];

/// A cgroup of its own, gone with the value.
struct Cgroup {
    dir: PathBuf,
    limit: &'static str,
}

impl Cgroup {
    /// In the first hierarchy where one can be made that bounds, most first.
    fn new(hierarchies: &Hierarchies) -> Option<Self> {
        let name = format!("safe-layers-torture-{}", std::process::id());
        hierarchies.iter().find_map(|(hierarchy, limit)| {
            let dir = Path::new(hierarchy).join(&name);
            std::fs::create_dir(&dir).ok()?;
            let group = Self { dir, limit };
            group.set("max").or_else(|_| group.set("-1")).ok().map(|()| group)
        })
    }

    /// Where the directory is in no hierarchy, it has no such file.
    fn set(&self, most: &str) -> std::io::Result<()> {
        File::options().write(true).open(self.dir.join(self.limit))?.write_all(most.as_bytes())
    }

    /// The words that run others in it.
    fn within(&self, words: Vec<String>) -> Vec<String> {
        shell(&format!("echo $$ > {}/cgroup.procs; exec \"$@\"", self.dir.display()), words)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.dir).ok();
    }
}

/// On a disk: what stands in memory counts too.
fn little_memory(group: &Cgroup, job: Job, layers: &Layers, reference: &Reference, settings: &Settings) -> Tally {
    let disk = Mounted::new("ext4", 64);
    let mut tally = Tally::default();
    for quarters in (1..48).step_by(settings.pick(6, 1) as usize) {
        let place = Place::within(&disk.path());
        if let Err(error) = group.set(&(quarters * MIB / 4).to_string()) {
            tally.add(Err(format!("no limit of {quarters}/4 MiB could be set: {error}")));
            continue;
        }
        let ran = sweep::run(&group.within(job.words(layers, &place.dir(), false)), place.scratch());
        tally.add(judge(job, layers, reference, &ran, &place).map_err(|wrong| format!("{quarters}/4 MiB: {wrong}")));
        std::fs::remove_dir_all(place.dir()).expect("the tree");
    }
    tally
}

/// Where threads cannot be started, those that run do the work.
fn few_threads(group: &Cgroup, layers: &Layers, counts: &mut Counts) {
    let run = |most: u32, words, place: &Place| {
        group.set(&most.to_string()).expect("a bound");
        sweep::run(&group.within(words), place.scratch())
    };
    let ran = run(1, shell("true & wait $!", Vec::new()), &Place::new());
    counts.control("few threads: a program that cannot do without another", 1, (!ran.succeeded()).into());
    for (form, threads) in [("merged", 2), ("merged", 4), ("overlay-user", 4)] {
        let job = Job::Unpack { form, threads, durable: false };
        let reference = Reference::of(job, layers);
        let mut tally = Tally::default();
        for most in 1..=threads {
            let place = Place::new();
            let ran = run(most, job.words(layers, &place.dir(), false), &place);
            let outcome = judge(job, layers, &reference, &ran, &place);
            tally.add(match outcome {
                Ok(outcome) if outcome != "exact" => Err(format!("at most {most} threads: {outcome}: {}", ran.err)),
                outcome => outcome.map_err(|wrong| format!("at most {most} threads: {wrong}")),
            });
        }
        enter(counts, &format!("few threads (cgroup) ({})", job.name()), &tally);
    }
}
