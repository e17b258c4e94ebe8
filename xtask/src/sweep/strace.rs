//! Runs of a program, below strace where calls are to be counted or to fail.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Job, Layers, Place};

/// Beyond that a run hangs: a few milliseconds are usual, and a busy machine stands still for seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// What a run says and how it ends.
#[derive(Debug)]
pub struct Ran {
    /// None where it had to be ended.
    pub status: Option<ExitStatus>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Whether a signal ended it, in itself or below strace.
    pub fn killed(&self) -> bool {
        self.status.is_some_and(|status| status.signal().is_some())
    }
}

/// Runs `words`; what it says goes through files in `scratch`.
pub fn run(words: &[String], scratch: &Path) -> Ran {
    run_for(LONGEST, words, scratch)
}

/// As [`run`], ended after a time of its own.
pub fn run_for(longest: Duration, words: &[String], scratch: &Path) -> Ran {
    let (out, err) = (scratch.join("out"), scratch.join("err"));
    let mut command = Command::new(&words[0]);
    command
        .env_remove("RUST_BACKTRACE")
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(File::create(&out).expect("a file"))
        .stderr(File::create(&err).expect("a file"));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break Some(status);
        }
        if began.elapsed() > longest {
            end(&child);
            child.wait().expect("a child");
            break None;
        }
        std::thread::sleep(Duration::from_micros(if began.elapsed().as_millis() < 100 { 300 } else { 5000 }));
    };
    let read = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    Ran { status, out: read(&out), err: read(&err) }
}

/// Ends what strace runs, so that strace ends after it: a program that is still dying holds its locks.
fn end(child: &Child) {
    let id = child.id();
    let below = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let mut pids: Vec<i32> = below.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    if pids.is_empty() {
        pids.extend(i32::try_from(id));
    }
    for pid in pids.into_iter().filter_map(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
    }
}

/// Puts strace before the words; the trace goes to a file in `scratch`.
pub fn traced(words: Vec<String>, scratch: &Path, options: &[&str]) -> Vec<String> {
    let mut line = ["strace", "-f", "-qq", "-o"].map(str::to_owned).to_vec();
    line.push(trace_file(scratch).to_str().expect("a path").to_owned());
    line.extend(options.iter().map(|option| (*option).to_owned()));
    line.extend(words);
    line
}

pub fn trace_file(scratch: &Path) -> PathBuf {
    scratch.join("trace")
}

/// Calls that cannot fail, or not in the way that strace feigns: a kernel that loses a `futex` wake-up is no kernel.
const NEVER_FAIL: [&str; 13] = [
    "execve",
    "exit",
    "exit_group",
    "brk",
    "futex",
    "geteuid",
    "getegid",
    "getuid",
    "getgid",
    "gettid",
    "getpid",
    "set_tid_address",
    "rt_sigreturn",
];

/// A system call of a run: its name, and its number among those of that name on one thread, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub call: String,
    pub number: u64,
}

/// The calls that the job makes when nothing fails. On threads that differ, the one with the most counts.
pub fn points(job: Job, layers: &Layers, may_fail_only: bool) -> Vec<Point> {
    let place = Place::new();
    let ran = run(&traced(job.words(layers, &place.dir(), false), place.scratch(), &[]), place.scratch());
    assert!(ran.succeeded(), "{job:?}: {ran:?}");
    points_of(&std::fs::read_to_string(trace_file(place.scratch())).expect("a trace"), may_fail_only)
}

pub fn points_of(trace: &str, may_fail_only: bool) -> Vec<Point> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && call != "execve" {
            *counts.entry((call, thread)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for ((call, _), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    let wanted = most.into_iter().filter(|(call, _)| !may_fail_only || !NEVER_FAIL.contains(call));
    wanted.flat_map(|(call, count)| (1..=count).map(|number| Point { call: call.to_owned(), number })).collect()
}
