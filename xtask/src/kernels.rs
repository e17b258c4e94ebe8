//! Kernels and sandboxes that refuse calls: the same result, or a typed refusal, and never a weaker check.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use crate::cases::{Job, Place, Ran, Stored};
use crate::common::builder::{Entry, tar};
use crate::common::engine::Form;
use crate::corpus::CLASSES;
use crate::evidence::{Counts, Section};
use crate::harness::{Attack, Case, Column, Outcome, layers};
use crate::run::{Extent, Settings};

pub const SECTION: Section = Section {
    name: "kernels",
    title: "The attack corpus and an image of two layers through the program examples/unpack, on a kernel that refuses calls (strace, \
            every call of the name): the same report or error and the same tree as undisturbed, or a typed refusal where that is said.",
    guarantees: "G1, G2, G4, G14",
    run,
};

/// What may come of a refused call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Same,
    /// Where the layer was accepted: an error of the operating system. The run asks for a durable tree.
    Refused,
    /// The same; or a tree without the attributes, and an event that says so; or an error of the operating system.
    WithoutXattrs,
}

/// Calls as strace names them, the error, and what may come of it.
type Fault = (&'static str, &'static str, Allowed);

const FAULTS: &[Fault] = &[
    ("openat2", "ENOSYS", Allowed::Same),
    ("openat2", "EPERM", Allowed::Same),
    ("renameat2", "ENOSYS", Allowed::Same),
    ("renameat2", "EPERM", Allowed::Same),
    ("renameat2", "EINVAL", Allowed::Same),
    ("statx", "ENOSYS", Allowed::Same),
    ("statx", "EPERM", Allowed::Same),
    ("openat2,statx,renameat2", "ENOSYS", Allowed::Same),
    ("syncfs", "ENOSYS", Allowed::Refused),
    ("syncfs", "EPERM", Allowed::Refused),
    ("/xattr", "ENOSYS", Allowed::WithoutXattrs),
    ("/xattr", "EPERM", Allowed::WithoutXattrs),
    ("/xattr", "EOPNOTSUPP", Allowed::WithoutXattrs),
    ("/setxattr", "ENOSYS", Allowed::WithoutXattrs),
    ("/setxattr", "EPERM", Allowed::WithoutXattrs),
    ("/setxattr", "EOPNOTSUPP", Allowed::WithoutXattrs),
];

/// All that [`FAULTS`] name.
const REFUSED: &str = "openat2,renameat2,statx,syncfs,/xattr";

/// Faults that no unpacker can hide.
const PLANTED: &[Fault] = &[("openat", "EACCES", Allowed::Same), ("mkdirat", "EPERM", Allowed::Same), ("fchown", "ENOSYS", Allowed::Same)];

/// What a base image and a layer over it have: modes, owners, attributes, links, markers; nothing that strict refuses.
const IMAGE: Attack =
    Attack { name: "an_image", title: "", ids: "", strict: Outcome::Contain, container: Outcome::Accept, case: |_| image() };

fn image() -> Case {
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let base = tar()
        .dir("usr")
        .dir("usr/bin")
        .each(0..60, |i| Entry::file(format!("usr/bin/tool{i}"), vec![b'x'; 700 * i as usize]).mode(0o755))
        .add(Entry::file("usr/bin/su", "su").mode(0o4755))
        .add(Entry::file("usr/bin/ping", "ping").mode(0o755).pax("SCHILY.xattr.security.capability", capability))
        .hardlink("usr/bin/tool", "usr/bin/tool7")
        .symlink("bin", "usr/bin")
        .add(Entry::dir("tmp").mode(0o1777))
        .add(Entry::dir("home/guest").uid(1000).gid(1000).mode(0o700).pax("SCHILY.xattr.user.note", "n"))
        .add(Entry::file("home/guest/note", "note").uid(1000).gid(1000).mtime(1_600_000_000).pax("SCHILY.xattr.user.note", "n"))
        .each(0..40, |i| Entry::file(format!("var/lib/dpkg/info/{i}.list"), "list"))
        .gzip();
    let upper = tar().file("usr/bin/.wh.tool3", "").file("var/lib/dpkg/.wh..wh..opq", "").file("usr/bin/tool4", "new").zstd();
    layers([base, upper])
}

/// The faults of one attack in a short run: every so manyth.
const FAULT_GROUPS: usize = 3;

/// How much is done of an attack.
#[derive(Clone, Copy)]
struct Plan {
    short: bool,
    /// With one thread and with two, not by turns.
    both: bool,
    number: usize,
}

/// Runs jobs and counts.
struct Runner<'p> {
    place: &'p Place,
    counted: BTreeMap<(&'static str, &'static str), [u64; 3]>,
    outside: [u64; 2],
    unaffected: u64,
    /// What came of refused attributes, and how often.
    ends: BTreeMap<String, u64>,
}

fn run(settings: &Settings) -> Counts {
    let mut counts = Counts::default();
    let place = Place::new();
    let mut runner = Runner { place: &place, counted: BTreeMap::new(), outside: [0; 2], unaffected: 0, ends: BTreeMap::new() };
    runner.controls(&mut counts);
    runner.attack(&IMAGE, Plan { short: false, both: true, number: 0 });
    for (number, attack) in CLASSES.iter().copied().flatten().enumerate() {
        runner.attack(attack, Plan { short: settings.extent == Extent::Short, both: false, number });
    }
    for (calls, error, allowed) in FAULTS {
        let [tried, wrong, refused] = runner.counted.get(&(*calls, *error)).copied().unwrap_or_default();
        let meant = match allowed {
            Allowed::Same => "the same",
            Allowed::Refused => "a durable tree is refused, typed",
            Allowed::WithoutXattrs => "the same, or without attributes and told, or refused, typed",
        };
        counts.row(format!("{calls} {error} ({refused} calls refused): {meant}"), tried, wrong);
    }
    counts.row("snapshots of all outside the destination, before and after", runner.outside[0], runner.outside[1]);
    counts.note(format!("{} runs in which no such call is made were left out, and the race.", runner.unaffected));
    let ends: Vec<String> = runner.ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
    counts.note(format!("What came of refused attributes: {}.", ends.join(", ")));
    counts.note(match settings.extent {
        Extent::Short => "Of each attack one policy and form and a third of the faults; without those of very many entries.",
        Extent::Full => {
            "Every policy and form; one thread and two by turns, for the image both. Those of very many entries as a tree only."
        }
    });
    counts
}

impl Runner<'_> {
    /// Runs an attack under every policy and in every form, or in the one way that falls to its number.
    fn attack(&mut self, attack: &Attack, plan: Plan) {
        let stored = Stored::new(attack, self.place);
        if stored.is_race() || plan.short && stored.is_slow() {
            return;
        }
        let jobs = stored.jobs();
        for (at, job) in jobs.iter().enumerate() {
            let as_a_tree = job.form == Form::Rootfs && job.column == Column::Container;
            let chosen = if plan.short { plan.number / FAULT_GROUPS % jobs.len() == at } else { as_a_tree || !stored.is_slow() };
            if chosen {
                self.job(job, Plan { number: plan.number + at, ..plan }, plan.number);
            }
        }
    }

    fn job(&mut self, job: &Job<'_>, plan: Plan, group: usize) {
        let (base, called) = self.undisturbed(job, &self.words(job, 1, Allowed::Same));
        let accepted = base.status == Some(0);
        let (durable, syncs) = match accepted {
            true => self.undisturbed(job, &self.words(job, 1, Allowed::Refused)),
            false => (base.clone(), BTreeSet::new()),
        };
        for (at, fault) in FAULTS.iter().enumerate().filter(|(at, _)| !plan.short || group % FAULT_GROUPS == at % FAULT_GROUPS) {
            let (base, called) = if fault.2 == Allowed::Refused { (&durable, &syncs) } else { (&base, &called) };
            if !matches(called, fault.0) {
                self.unaffected += 1;
                continue;
            }
            let numbers = [1, 2].into_iter().filter(|threads| plan.both || (plan.number + at) % 2 + 1 == *threads);
            numbers.for_each(|threads| self.fault(job, threads as u32, fault, base));
        }
    }

    fn fault(&mut self, job: &Job<'_>, threads: u32, fault: &Fault, base: &Ran) {
        let (calls, error, allowed) = *fault;
        let what = format!("{}, {threads} threads, {calls} {error}", job.what());
        let words = self.words(job, threads, allowed);
        let (ran, refused) = self.disturbed(job, &words, fault, &what);
        let mut wrong = verdict(allowed, base, &ran, job.form);
        if refused == 0 {
            wrong = Some("no call was refused".into());
        }
        if allowed == Allowed::WithoutXattrs {
            *self.ends.entry(end(base, &ran)).or_default() += 1;
        }
        if let Some(wrong) = &wrong {
            eprintln!("{what}: {wrong}");
        }
        let counted = self.counted.entry((calls, error)).or_default();
        let added = [1, u64::from(wrong.is_some()), refused];
        counted.iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
    }

    fn words(&self, job: &Job<'_>, threads: u32, allowed: Allowed) -> Vec<OsString> {
        let mut words = job.words(self.place, threads);
        if allowed == Allowed::Refused {
            words.insert(1, "--durable".into());
        }
        words
    }

    /// The run without a fault, and which of the calls it makes.
    fn undisturbed(&self, job: &Job<'_>, words: &[OsString]) -> (Ran, BTreeSet<String>) {
        let (ran, trace) = self.strace(job, words, &[&format!("trace={REFUSED}")]);
        let called = trace.lines().filter_map(|line| line.trim_start().split_once(' ')?.1.trim_start().split_once('('));
        (ran, called.map(|(name, _)| name.to_owned()).collect())
    }

    /// A run with a fault, and how many calls were refused.
    fn disturbed(&mut self, job: &Job<'_>, words: &[OsString], fault: &Fault, what: &str) -> (Ran, u64) {
        let (calls, error, _) = fault;
        let before = self.place.outside(Some(job.case()));
        let (ran, trace) = self.strace(job, words, &[&format!("trace={calls}"), &format!("inject={calls}:error={error}:when=1+")]);
        let after = self.place.outside(Some(job.case()));
        let taken = job.taken(self.place, &ran);
        self.outside[0] += 1;
        if let Some(escaped) = before.difference(&after).or(taken) {
            eprintln!("{what}: {escaped}");
            self.outside[1] += 1;
        }
        (ran, trace.matches("(INJECTED)").count() as u64)
    }

    fn strace(&self, job: &Job<'_>, words: &[OsString], expressions: &[&str]) -> (Ran, String) {
        job.prepare(self.place);
        let trace = self.place.files.path().join("trace");
        let mut all: Vec<OsString> = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none"].map(OsString::from).to_vec();
        all.extend(expressions.iter().flat_map(|expression| ["-e".into(), expression.into()]));
        all.extend(["-o".into(), trace.clone().into(), "--".into()]);
        all.extend_from_slice(words);
        let ran = job.run(self.place, &all, None);
        (ran, String::from_utf8_lossy(&std::fs::read(&trace).unwrap_or_default()).into_owned())
    }

    /// Faults that must show, and results that must not pass.
    fn controls(&mut self, counts: &mut Counts) {
        let stored = Stored::new(&IMAGE, self.place);
        let jobs = stored.jobs();
        let job = jobs.iter().find(|job| job.column == Column::Container && job.form == Form::Rootfs).expect("the image as a tree");
        let words = job.words(self.place, 1);
        let base = self.undisturbed(job, &words).0;
        assert!(base.status == Some(0), "the image is refused: {}", base.told());
        let shown = PLANTED.iter().filter(|fault| verdict(fault.2, &base, &self.disturbed(job, &words, fault, "").0, job.form).is_some());
        let shown = shown.count() as u64;
        counts.control("calls that cannot be done without: openat, mkdirat, fchown", PLANTED.len() as u64, shown);
        assert!(shown == PLANTED.len() as u64, "a fault that was planted does not show");

        let mut silent = base.clone();
        silent.tree.iter_mut().flat_map(|tree| tree.nodes.values_mut()).for_each(|node| node.xattrs.clear());
        let mut partial = base.clone();
        (partial.status, partial.said) = (Some(1), serde_json::json!({ "error": { "kind": "Io" } }));
        let mut refused = partial.clone();
        refused.tree = None;
        let wrong = [
            verdict(Allowed::WithoutXattrs, &base, &silent, job.form),
            verdict(Allowed::WithoutXattrs, &base, &partial, job.form),
            verdict(Allowed::WithoutXattrs, &refused, &base, job.form),
            verdict(Allowed::Refused, &base, &base, job.form),
            verdict(Allowed::Refused, &refused, &base, job.form),
            verdict(Allowed::Same, &base, &refused, job.form),
        ];
        let seen = wrong.iter().flatten().count();
        counts.control(
            "results that must not pass: silent loss, a tree after an error, success without a sync",
            wrong.len() as u64,
            seen as u64,
        );
        assert!(seen == wrong.len(), "a wrong result passes: {wrong:?}");
    }
}

/// Whether one of the calls that were made is one that strace would refuse.
fn matches(called: &BTreeSet<String>, calls: &str) -> bool {
    calls.split(',').any(|call| match call.strip_prefix('/') {
        Some(part) => called.iter().any(|name| name.contains(part)),
        None => called.contains(call),
    })
}

/// Says what is wrong with a disturbed run, if anything is.
fn verdict(allowed: Allowed, base: &Ran, ran: &Ran, form: Form) -> Option<String> {
    let difference = base.difference(ran);
    let exposed = form != Form::InPlace && ran.tree.is_some();
    let typed = |kinds: &[&str]| ran.status == Some(1) && kinds.contains(&ran.kind()) && !exposed;
    match allowed {
        Allowed::Same => difference,
        Allowed::Refused if base.status == Some(0) => (!typed(&["Io"])).then(|| format!("a typed refusal was due: {}", ran.told())),
        Allowed::Refused => difference,
        Allowed::WithoutXattrs if difference.is_none() || typed(&["Io", "XattrUnsupported"]) => None,
        Allowed::WithoutXattrs if base.status == Some(0) && ran.status == Some(0) && is_told(ran) => {
            let (base, ran) = (without_xattrs(base)?, without_xattrs(ran)?);
            let diff = base.diff(&ran);
            (!diff.is_empty()).then_some(diff)
        }
        Allowed::WithoutXattrs => difference,
    }
}

/// Whether a report has an event for attributes that the filesystem refused.
fn is_told(ran: &Ran) -> bool {
    ran.said["layers"].as_array().into_iter().flatten().any(|layer| layer["events"]["counts"]["XattrUnsupported"].as_u64() > Some(0))
}

fn without_xattrs(ran: &Ran) -> Option<crate::common::snapshot::Tree> {
    let mut tree = ran.tree.clone()?;
    tree.nodes.values_mut().for_each(|node| node.xattrs.clear());
    Some(tree)
}

fn end(base: &Ran, ran: &Ran) -> String {
    match (base.difference(ran), ran.status) {
        (None, Some(0)) => "accepted as before".into(),
        (None, _) => "refused as before".into(),
        (Some(_), Some(0)) => "accepted without".into(),
        (Some(_), _) => format!("refused as {}", ran.kind()),
    }
}
