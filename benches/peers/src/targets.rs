//! What the crate sets out to reach, against what was measured. A figure holds where the lower end of the interval does not exceed it.

use crate::case::{Case, Results};
use crate::fresh::Filesystem;
use crate::programs::{Checks, OURS, OURS_ALONE, PROGRAMS, Role};
use crate::stats::Median;

/// What the wall time is divided by.
#[derive(Clone, Copy, Debug)]
enum Against {
    Program(&'static str),
    Fastest(fn(&crate::programs::Program) -> bool, &'static str),
    Bound,
}

#[derive(Debug)]
struct Target {
    /// None: every one.
    workload: Option<&'static str>,
    formats: &'static [&'static str],
    filesystem: Option<Filesystem>,
    ours: &'static str,
    against: Against,
    most: f64,
}

const UNVERIFIED: Against = Against::Fastest(|p| p.role == Role::Peer && p.checks == Checks::Nothing, "the fastest that verifies nothing");
const VERIFIED: Against = Against::Fastest(|p| p.role == Role::Peer && p.checks != Checks::Nothing, "the fastest that verifies");
const PEER: Against = Against::Fastest(|p| p.role == Role::Peer, "the fastest peer");
const TAR_CRATE: Against = Against::Fastest(|p| p.name.starts_with("tar-"), "the tar crate, without any digest");
const ALL: &[&str] = &["gzip", "zstd", "plain"];

const fn target(workload: Option<&'static str>, formats: &'static [&'static str], against: Against, most: f64) -> Target {
    Target { workload, formats, filesystem: None, ours: OURS, against, most }
}

const fn on_ext4(target: Target) -> Target {
    Target { filesystem: Some(Filesystem::Ext4), ..target }
}

const TARGETS: &[Target] = &[
    on_ext4(target(Some("rootfs"), &["gzip"], Against::Program("decode"), 1.06)),
    on_ext4(target(Some("rootfs"), &["gzip"], Against::Program("gnu-tar"), 0.30)),
    on_ext4(target(Some("rootfs"), &["gzip"], UNVERIFIED, 0.85)),
    on_ext4(target(Some("rootfs"), &["gzip"], VERIFIED, 0.50)),
    on_ext4(target(Some("rootfs"), &["gzip"], Against::Program("containerd"), 0.20)),
    target(Some("many"), &["gzip"], UNVERIFIED, 0.75),
    target(Some("large"), &["gzip"], Against::Program("decode"), 1.10),
    target(Some("large"), &["gzip"], PEER, 1.00),
    target(Some("rootfs"), &["zstd", "plain"], PEER, 0.95),
    target(None, ALL, Against::Bound, 1.15),
    Target { ours: OURS_ALONE, ..target(None, ALL, TAR_CRATE, 1.00) },
];

/// Most memory of the default on gzip and plain layers, in KiB.
const MOST_MEMORY: f64 = 32.0 * 1024.0;

/// Gives a row for each target of this case: what, at most, measured, whether it holds.
pub fn rows(case: &Case, results: &Results, cores: usize) -> Vec<[String; 4]> {
    let mut rows: Vec<_> = TARGETS.iter().filter_map(|target| target.row(case, results, cores)).collect();
    let peak = results.each(OURS, |measured| measured.peak as f64).into_iter().reduce(f64::max);
    if let Some(peak) = peak.filter(|_| case.format != "zstd") {
        rows.push([
            format!("peak memory of {OURS}"),
            format!("{:.0} MiB", MOST_MEMORY / 1024.0),
            format!("{:.1} MiB", peak / 1024.0),
            holds(peak <= MOST_MEMORY),
        ]);
    }
    rows
}

fn holds(it: bool) -> String {
    if it { "holds" } else { "**missed**" }.to_owned()
}

impl Target {
    fn row(&self, case: &Case, results: &Results, cores: usize) -> Option<[String; 4]> {
        let here = self.workload.is_none_or(|workload| workload == case.workload)
            && self.formats.contains(&case.format.as_str())
            && self.filesystem.is_none_or(|filesystem| filesystem == case.filesystem);
        if !here {
            return None;
        }
        let (name, ratio) = match self.against {
            Against::Program(name) => (name.to_owned(), ratio(results, self.ours, name)?),
            Against::Fastest(which, what) => {
                let name = fastest(results, which)?;
                (format!("{what} ({name})"), ratio(results, self.ours, name)?)
            }
            Against::Bound => ("the bound".to_owned(), bound_ratio(results, self.ours, cores)?),
        };
        let verdict = match ratio.interval {
            Some((low, _)) => holds(low <= self.most),
            None => "too few rounds".to_owned(),
        };
        Some([format!("{} / {name}", self.ours), format!("{:.2}", self.most), shown(&ratio), verdict])
    }
}

fn fastest(results: &Results, which: fn(&crate::programs::Program) -> bool) -> Option<&'static str> {
    let times = PROGRAMS.iter().filter(|program| which(program)).filter_map(|program| {
        let wall = Median::of(results.each(program.name, |measured| measured.wall))?;
        Some((program.name, wall.value))
    });
    times.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(name, _)| name)
}

/// The median of the ratios of the wall times of each round.
pub fn ratio(results: &Results, ours: &str, theirs: &str) -> Option<Median> {
    Median::of(results.rounds.iter().filter_map(|round| Some(round.get(ours)?.wall / round.get(theirs)?.wall)))
}

pub fn bound_ratio(results: &Results, ours: &str, cores: usize) -> Option<Median> {
    Median::of((0..results.rounds.len()).filter_map(|round| Some(results.rounds[round].get(ours)?.wall / bound(results, round, cores)?)))
}

/// What nobody can beat who decodes, verifies and writes side by side: the longest part alone, or the processor time of all parts spread
/// over the cores. The system calls alone count as the faster of one and two threads. None where a part is missing.
pub fn bound(results: &Results, round: usize, cores: usize) -> Option<f64> {
    let round = &results.rounds[round];
    let (hash, one, two) = (round.get("hash-tar")?, round.get("calls-1")?, round.get("calls-2")?);
    let longest = hash.wall.max(one.wall.min(two.wall));
    let cpu = hash.cpu + one.cpu;
    // A plain layer is not decoded, and its two digests are one.
    let (longest, cpu) = match (round.get("decode"), round.get("hash-blob")) {
        (Some(decode), Some(blob)) => (longest.max(decode.wall), cpu + decode.cpu + blob.cpu),
        _ => (longest, cpu),
    };
    Some(longest.max(cpu / cores as f64))
}

/// A ratio with its interval.
pub fn shown(ratio: &Median) -> String {
    match ratio.interval {
        Some((low, high)) => format!("{:.3} [{low:.3}, {high:.3}]", ratio.value),
        None => format!("{:.3}", ratio.value),
    }
}
