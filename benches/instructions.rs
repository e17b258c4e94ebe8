//! Instructions that an entry takes in the parser, counted by valgrind: the same on every machine, however busy.
//!
//! ```text
//! cargo bench --bench instructions
//! ```
//!
//! The difference of two runs, one with twice the entries, so that what a process takes anyway does not count. Every byte is hashed,
//! by the code for processors without SHA instructions, which valgrind does not know: what that takes for the same bytes is
//! counted alone and taken off.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

mod common;

use std::hint::black_box;
use std::process::{Command, ExitCode};

use common::{SHAPES, archive, read};
use safe_layers::{Algorithm, Hasher};

/// Entries of the shorter run.
const ENTRIES: u64 = 2_000;
/// What the runs under valgrind are told by.
const CHILD: &str = "SAFE_LAYERS_BENCH_CHILD";

fn main() -> ExitCode {
    if let Ok(work) = std::env::var(CHILD) {
        let (shape, entries) = work.rsplit_once(' ').unwrap();
        child(shape, entries.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("no valgrind: nothing is counted");
        return ExitCode::FAILURE;
    }
    println!("| entry | instructions to parse and judge it | to hash it |\n|---|---|---|");
    let entries = i64::try_from(ENTRIES).unwrap();
    for shape in SHAPES {
        let each = |shape: &str| (count(shape, 2 * ENTRIES) - count(shape, ENTRIES)) / entries;
        // Both make the archive, which goes off with the hash.
        let (all, hash) = (each(shape), each(&format!("hash:{shape}")));
        println!("| {shape} | {} | {} |", all - hash, hash - each(&format!("make:{shape}")));
    }
    ExitCode::SUCCESS
}

fn child(work: &str, entries: u64) {
    let (part, shape) = work.split_once(':').unwrap_or(("read", work));
    let blob = archive(shape, entries).bytes();
    match part {
        "read" => assert_eq!(read(&blob), entries),
        "hash" => {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&blob);
            black_box(hasher.finish());
        }
        _ => {
            black_box(blob);
        }
    }
}

/// Instructions of a run of this program.
fn count(shape: &str, entries: u64) -> i64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().unwrap());
    let output = command.env(CHILD, format!("{shape} {entries}")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let count = said.lines().find_map(|line| line.split_once("Collected : ").and_then(|(_, count)| count.trim().parse().ok()));
    count.unwrap_or_else(|| panic!("callgrind says no count: {said}"))
}
