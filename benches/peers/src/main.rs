//! This crate and its peers side by side, in one run, with a table of ratios.
//!
//! ```text
//! cargo peers                    everything that has a target, 11 rounds; as root; hours
//! cargo peers --short            a small layer, two rounds: that everything still runs; minutes
//! cargo peers --write            enters the tables in docs/BENCHMARKS.md
//! cargo peers --count            also counts system calls, in one more run of each that is not measured
//! cargo peers --list             names the programs
//!
//! --workload W  rootfs, many, large or small          each of these can be given more than once,
//! --format F    gzip, zstd or plain                   and then nothing else is run
//! --fs F        ext4 or tmpfs
//! --program P   always with safe-layers
//! --rounds N    at least 6 for an interval
//! --data DIR    where the layers are, or are made (benches/peers/target/data)
//! --images DIR  where the images of filesystems are made (/dev/shm)
//! --cores N     on how many processors all of it runs (2)
//! ```
//!
//! `data.sh` makes the layers, from Debian packages, where they are not there yet. The peers that are no crates come from Debian too:
//! `apt-get install tar gzip isal libarchive-tools umoci containerd`, and `e2fsprogs mmdebstrap strace xz-utils zstd` to measure.
//!
//! In each round every program has one turn, in another order each time, on a filesystem that was made for it; the layer is in the
//! page cache, and nothing waits for the disk. A ratio is that of the wall times of one round; the median of these ratios stands in the
//! table, with the interval that holds the true one in 95 % of the cases (order statistics).

mod bench;
mod case;
mod child;
mod containerd;
mod fresh;
mod programs;
mod registry;
mod stats;
mod table;
mod targets;
mod versions;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use bench::Plan;
use case::{Case, FORMATS, Results, WORKLOADS};
use fresh::Filesystem;
use programs::{OURS, PROGRAMS};

const USAGE: &str = "usage: cargo peers [--short] [--write] [--count] [--list] [--workload W] [--format F] [--fs F] [--program P] \
    [--rounds N] [--data DIR] [--images DIR] [--cores N]";

#[derive(Debug)]
struct Options {
    short: bool,
    write: bool,
    count: bool,
    workloads: Vec<String>,
    formats: Vec<String>,
    filesystems: Vec<Filesystem>,
    programs: Vec<String>,
    rounds: Option<usize>,
    data: PathBuf,
    images: PathBuf,
    cores: usize,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        PROGRAMS.iter().for_each(|program| println!("{}", program.name));
        return ExitCode::SUCCESS;
    }
    match options(words) {
        Ok(options) => run(&options),
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn options(words: Vec<String>) -> Result<Options, String> {
    let shm = Path::new("/dev/shm");
    let mut options = Options {
        short: false,
        write: false,
        count: false,
        workloads: Vec::new(),
        formats: Vec::new(),
        filesystems: Vec::new(),
        programs: Vec::new(),
        rounds: None,
        data: Path::new(env!("CARGO_MANIFEST_DIR")).join("target/data"),
        images: if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() },
        cores: 2,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |value: String| value.parse().ok().filter(|number| *number > 0).ok_or(format!("no number: {value}"));
        match word.as_str() {
            "--short" => options.short = true,
            "--write" => options.write = true,
            "--count" => options.count = true,
            "--workload" => options.workloads.push(known(value()?, &WORKLOADS)?),
            "--format" => options.formats.push(known(value()?, &FORMATS)?),
            "--fs" => {
                let name = known(value()?, &Filesystem::ALL.map(Filesystem::name))?;
                options.filesystems.extend(Filesystem::ALL.into_iter().filter(|filesystem| filesystem.name() == name));
            }
            "--program" => options.programs.push(known(value()?, &PROGRAMS.iter().map(|program| program.name).collect::<Vec<_>>())?),
            "--rounds" => options.rounds = Some(number(value()?)?),
            "--cores" => options.cores = number(value()?)?,
            "--data" => options.data = value()?.into(),
            "--images" => options.images = value()?.into(),
            _ => return Err(format!("what is {word}?")),
        }
    }
    options.fill();
    Ok(options)
}

fn known(value: String, names: &[&str]) -> Result<String, String> {
    if names.contains(&value.as_str()) { Ok(value) } else { Err(format!("{value} is none of {}", names.join(", "))) }
}

impl Options {
    /// Puts in what was not said.
    fn fill(&mut self) {
        if self.workloads.is_empty() {
            let workloads: &[&str] = if self.short { &["small"] } else { &["rootfs", "many", "large"] };
            self.workloads.extend(workloads.iter().map(|name| (*name).to_owned()));
        }
        if self.formats.is_empty() {
            self.formats.extend(FORMATS.map(str::to_owned));
        }
        if self.filesystems.is_empty() {
            self.filesystems.extend(if self.short { &Filesystem::ALL[1..] } else { &Filesystem::ALL });
        }
        if !self.programs.is_empty() && !self.programs.iter().any(|name| name == OURS) {
            self.programs.push(OURS.to_owned());
        }
    }

    fn plan(&self) -> Plan {
        let chosen = |name: &str| self.programs.is_empty() || self.programs.iter().any(|program| program == name);
        Plan {
            programs: PROGRAMS.iter().filter(|program| chosen(program.name)).collect(),
            rounds: self.rounds.unwrap_or(if self.short { 2 } else { 11 }),
            count: self.count,
            images: self.images.clone(),
        }
    }

    fn cases(&self) -> impl Iterator<Item = (&String, &String, Filesystem)> {
        let on = |workload, format| self.filesystems.iter().map(move |filesystem| (workload, format, *filesystem));
        self.workloads.iter().flat_map(move |workload| self.formats.iter().flat_map(move |format| on(workload, format)))
    }
}

fn run(options: &Options) -> ExitCode {
    build();
    make_data(options);
    fresh::leave_mount_namespace();
    let cores = stay_on(options.cores);
    let plan = options.plan();
    let mut failed = Vec::new();
    for (workload, format, filesystem) in options.cases() {
        let case = Case::new(&options.data, workload, format, filesystem).expect("the data");
        let results = plan.run(&case);
        let section = table::section(&plan, &case, &results, cores);
        println!("{section}");
        if options.write {
            table::write(&case.title(), &section);
        }
        failed.extend(failures(&case, &results));
    }
    let versions = versions::text();
    println!("{versions}");
    if options.write {
        table::write("versions", &versions);
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("FAILED: {}", failed.join("; "));
    ExitCode::FAILURE
}

fn failures(case: &Case, results: &Results) -> Vec<String> {
    let may = |name: &str| programs::find(name).is_some_and(|program| program.may_fail.contains(&case.format.as_str()));
    results.missing.keys().filter(|name| !may(name)).map(|name| format!("{name} on {}", case.title())).collect()
}

/// Builds the packages beside this one, each by itself, to where this program stands.
fn build() {
    for package in ["peers-ours", "peers-zlib-rs", "peers-miniz"] {
        let target = std::env::current_exe().expect("this program").parent().and_then(Path::parent).expect("a target directory").to_owned();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--release", "--package", package, "--target-dir"]).arg(target);
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo");
        assert!(status.success(), "{package} does not build");
    }
}

fn make_data(options: &Options) {
    let mut script = Command::new("bash");
    script.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("data.sh")).arg(&options.data).args(&options.workloads);
    assert!(script.status().expect("bash").success(), "the layers cannot be made");
}

/// Takes this process and its children to the first so many processors it may use; gives how many these are.
fn stay_on(cores: usize) -> usize {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let may = sched_getaffinity(None).expect("the processors");
    let mut set = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|cpu| may.is_set(*cpu)).take(cores).for_each(|cpu| set.set(cpu));
    sched_setaffinity(None, &set).expect("the processors");
    set.count() as usize
}
