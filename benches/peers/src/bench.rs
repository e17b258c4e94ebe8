//! Runs a case: rounds in which every program has its turn, in another order each, on a filesystem of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::{Case, Results};
use crate::child::{Measured, timed};
use crate::containerd::{self, Daemon};
use crate::fresh::Fresh;
use crate::programs::{How, Program, Role};

#[derive(Debug)]
pub struct Plan {
    pub programs: Vec<&'static Program>,
    pub rounds: usize,
    /// Whether system calls are counted, in a run that is not measured.
    pub count: bool,
    /// Where images of filesystems are made.
    pub images: PathBuf,
}

impl Plan {
    pub fn run(&self, case: &Case) -> Results {
        let mut results = Results::default();
        let programs: Vec<_> = self.programs.iter().copied().filter(|program| program.formats.contains(&case.format.as_str())).collect();
        case.warm().expect("the data");
        if self.count {
            self.counted(case, &programs, &mut results);
        }
        for round in 0..self.rounds {
            eprintln!("{}: round {} of {}", case.title(), round + 1, self.rounds);
            results.rounds.push(Default::default());
            for index in order(programs.len(), round) {
                let program = programs[index];
                if results.missing.contains_key(program.name) {
                    continue;
                }
                match self.one(case, program, &mut results) {
                    Ok(measured) => _ = results.rounds[round].insert(program.name, measured),
                    Err(reason) => self.gave_up(program, reason, &mut results),
                }
            }
        }
        results
    }

    fn gave_up(&self, program: &Program, reason: String, results: &mut Results) {
        eprintln!("  {}: {reason}", program.name);
        results.missing.insert(program.name, reason);
        for round in &mut results.rounds {
            round.remove(program.name);
        }
    }

    fn one(&self, case: &Case, program: &Program, results: &mut Results) -> Result<Measured, String> {
        let place = Place::new(self, case);
        let daemon = place.daemon(program)?;
        let mut command = program.command(case, &place.fresh.path(), daemon.as_ref().map(Daemon::ctr));
        rustix::fs::sync();
        let measured = timed(&mut command, &place.log()).map_err(|reason| place.anonymous(&reason))?;
        let measured = daemon.as_ref().map_or(measured, |daemon| daemon.add_to(measured));
        drop(daemon);
        eprintln!("  {:<18} {:>8.3} s {:>8.3} s of CPU {:>8} KiB", program.name, measured.wall, measured.cpu, measured.peak);
        if let Some(tree) = program.tree(case, &place.fresh.path())
            && results.rounds.len() == 1
        {
            // A tree that is nearly empty was not unpacked, whatever the exit status says.
            let beyond = paths_in(&tree)? as i64 - case.claims.paths as i64;
            if beyond.unsigned_abs() > case.claims.paths / 100 || program.role == Role::Floor && beyond != 0 {
                return Err(format!("the tree has {beyond:+} names"));
            }
            if beyond != 0 {
                results.paths.insert(program.name, beyond);
            }
        }
        Ok(measured)
    }

    /// Counts by strace. Where a daemon does the work there is nothing to see.
    fn counted(&self, case: &Case, programs: &[&'static Program], results: &mut Results) {
        for program in programs.iter().filter(|program| !program.has_daemon()) {
            let place = Place::new(self, case);
            let command = program.command(case, &place.fresh.path(), None);
            let counts = place.work.path().join("counts");
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-c", "-e", "trace=%file,%desc", "-o"]).arg(&counts).arg("--");
            strace.arg(command.get_program()).args(command.get_args());
            match timed(&mut strace, &place.log()) {
                Ok(_) => _ = results.calls.insert(program.name, sum(&std::fs::read_to_string(counts).unwrap_or_default())),
                Err(reason) => eprintln!("  {} is not counted: {}", program.name, place.anonymous(&reason)),
            }
        }
    }
}

/// A filesystem for the tree, and a directory for all else.
struct Place<'c> {
    fresh: Fresh,
    work: tempfile::TempDir,
    case: &'c Case,
}

impl<'c> Place<'c> {
    fn new(plan: &Plan, case: &'c Case) -> Self {
        let work = tempfile::Builder::new().prefix("peers-").tempdir().expect("a temporary directory");
        Self { fresh: Fresh::new(case.filesystem, &plan.images), work, case }
    }

    fn log(&self) -> PathBuf {
        self.work.path().join("log")
    }

    /// A containerd for a program that needs one; with the image, where only unpacking is measured.
    fn daemon(&self, program: &Program) -> Result<Option<Daemon>, String> {
        if !program.has_daemon() {
            return Ok(None);
        }
        let daemon = Daemon::start(&self.fresh.path(), self.work.path())?;
        if program.how == How::ContainerdUnpack {
            let mut import = daemon.ctr();
            import.args(containerd::IMPORT).arg("--no-unpack").arg(self.case.import());
            timed(&mut import, &self.log()).map_err(|reason| self.anonymous(&reason))?;
        }
        Ok(Some(daemon))
    }

    /// What a program said, in one line and without names of this machine.
    fn anonymous(&self, said: &str) -> String {
        let mut said = said.to_owned();
        let fresh = self.fresh.path();
        for (path, name) in
            [(fresh.as_path(), "DEST"), (&self.case.layout(), "LAYOUT"), (&self.case.blob(), "BLOB"), (self.work.path(), "WORK")]
        {
            said = said.replace(&*path.to_string_lossy(), name);
        }
        said.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(200).collect()
    }
}

/// Another order for each round, the same in every run: a shuffle with a fixed seed.
fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = round as u64 + 1;
    for last in (1..count).rev() {
        // The multiplier and increment of Knuth's MMIX.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
    order
}

fn paths_in(tree: &Path) -> Result<u64, String> {
    let mut count = 0;
    let mut directories = vec![tree.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).map_err(|error| format!("no tree: {error}"))? {
            let entry = entry.map_err(|error| error.to_string())?;
            count += 1;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(entry.path());
            }
        }
    }
    Ok(count)
}

/// The calls of a summary by strace, without those of its classes that touch no file.
fn sum(summary: &str) -> u64 {
    let others = BTreeSet::from(["mmap", "epoll_wait", "epoll_pwait", "epoll_ctl", "epoll_create1", "poll", "ppoll", "eventfd2", "total"]);
    let rows = summary.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let name = fields.last().filter(|name| !others.contains(*name))?;
        (!name.is_empty()).then_some(())?;
        fields.get(3)?.parse::<u64>().ok()
    });
    rows.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_each_program_once_and_two_rounds_differ() {
        let mut first = order(12, 0);
        assert_ne!(first, order(12, 1));
        first.sort_unstable();
        assert_eq!(first, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn a_summary_is_summed_without_what_touches_no_file() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.000100          10        10         2 openat
 25.00    0.000050          10         5           write
 25.00    0.000050          10         5           mmap
------ ----------- ----------- --------- --------- ----------------
100.00    0.000200          10        20         2 total
";
        assert_eq!(sum(summary), 15);
    }
}
