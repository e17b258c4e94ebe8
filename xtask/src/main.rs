//! What is too long, too privileged or too destructive for `cargo test`.
//!
//! ```text
//! cargo xtask torture                 everything, in full; as root; hours
//! cargo xtask torture --short         a part of each, minutes: what CI runs
//! cargo xtask torture races kills     some of it
//! cargo xtask torture --write         enters the counts in docs/EVIDENCE.md
//! ```
//!
//! Each part counts its cases and the violations it saw, and has controls: a planted fault that it must see. A violation, or a
//! control that does not fire, is a failure.

mod bits;
mod cases;
mod cost;
mod evidence;
mod faults;
mod kernels;
mod kills;
mod naive;
mod oracles;
mod power;
mod races;
mod resources;
mod run;
mod soak;
mod sweep;

#[allow(dead_code)]
#[path = "../../tests/common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../../tests/attacks/corpus.rs"]
mod corpus;
#[allow(dead_code)]
#[path = "../../tests/attacks/harness.rs"]
mod harness;

use std::process::ExitCode;

use evidence::{Counts, Section};
use run::{Extent, Settings};

/// The parts, in the order they run.
const SECTIONS: &[Section] = &[
    oracles::SECTION,
    kernels::SECTION,
    races::SECTION,
    Section {
        name: "faults",
        title: "Whatever system call fails, in whatever way: an error and no tree, or the exact tree; the next run is exact.",
        guarantees: "G4, G6, G10, G13",
        run: faults::run,
    },
    Section {
        name: "kills",
        title: "Killed at any system call, a run leaves no tree or the exact one; the next run is exact and nothing stays behind.",
        guarantees: "G4, G6, G13",
        run: kills::run,
    },
    Section {
        name: "power",
        title: "Power lost at any system call of a durable run leaves no tree or the exact one; once acknowledged it is there.",
        guarantees: "G4, G5, G6",
        run: power::run_all,
    },
    Section {
        name: "bits",
        title: "No layer appears that differs in a bit, a byte, its length or its order of bytes from what was claimed.",
        guarantees: "G3",
        run: bits::run,
    },
    Section {
        name: "resources",
        title: "Too little of anything: an error and no tree, or the exact tree; work in proportion; nothing kept.",
        guarantees: "G4, G6, G7, G13",
        run: resources::run,
    },
];

fn main() -> ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    // What the parts start as their own children.
    match words.split_first() {
        Some((word, rest)) if word == oracles::sealed::WORD => panic!("{}", oracles::sealed::enter(rest)),
        Some((word, rest)) if word == oracles::escape::WORD => {
            oracles::escape::act(rest).expect("the escape");
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let words: Vec<String> = words.into_iter().filter_map(|word| word.into_string().ok()).collect();
    match words.split_first() {
        Some((command, rest)) if command == "torture" => torture(rest),
        Some((command, rest)) if command == soak::WORD => soak::main(rest),
        // For the controls of the sweeps.
        Some((command, rest)) if command == "naive" => naive::main(rest),
        _ => {
            eprintln!("usage: cargo xtask torture [--short] [--write] [PART...]; parts: {}", names());
            ExitCode::from(2)
        }
    }
}

fn names() -> String {
    SECTIONS.iter().map(|section| section.name).collect::<Vec<_>>().join(" ")
}

fn torture(words: &[String]) -> ExitCode {
    let (options, parts): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.starts_with("--"));
    let unknown = options.iter().find(|option| !["--short", "--write"].contains(&option.as_str()));
    let missing = parts.iter().find(|part| !SECTIONS.iter().any(|section| section.name == ***part));
    if let Some(word) = unknown.or(missing) {
        eprintln!("no such option or part: {word}; parts: {}", names());
        return ExitCode::from(2);
    }
    let extent = if options.iter().any(|option| *option == "--short") { Extent::Short } else { Extent::Full };
    run::leave_mount_namespace();
    let mut failed = Vec::new();
    for section in SECTIONS.iter().filter(|section| parts.is_empty() || parts.iter().any(|part| *part == section.name)) {
        println!("==== {}: {}", section.name, section.title);
        let began = std::time::Instant::now();
        let counts: Counts = (section.run)(&Settings { extent });
        print!("{}", counts.lines());
        println!("---- {} s", began.elapsed().as_secs());
        if counts.failed() {
            failed.push(section.name);
        }
        if options.iter().any(|option| *option == "--write") {
            evidence::write(section, extent, &counts, began.elapsed());
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("FAILED: {}", failed.join(" "));
    ExitCode::FAILURE
}
