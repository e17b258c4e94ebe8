//! What was measured, as Markdown, and the file it goes into.

use std::path::Path;
use std::process::Command;

use crate::bench::Plan;
use crate::case::{Case, Results};
use crate::programs::{OURS, OURS_ALONE, Program, Role};
use crate::stats::Median;
use crate::targets::{bound, bound_ratio, ratio, rows, shown};

/// Gives the section of a case.
pub fn section(plan: &Plan, case: &Case, results: &Results, cores: usize) -> String {
    let stored = std::fs::metadata(case.blob()).map_or(0, |data| data.len());
    let claims = &case.claims;
    let mut text = format!(
        "### {}\n\n{} entries, {} MB of tar, {} MB stored; {}. {}\n\n",
        case.title(),
        claims.entries,
        claims.bytes / 1_000_000,
        stored / 1_000_000,
        rounds(results.rounds.len()),
        circumstances(cores),
    );
    let calls = if results.calls.is_empty() { ("", "") } else { (" calls an entry |", "---:|") };
    text += &format!("| program | verifies | wall, s (least–most) | CPU, s | peak, MiB | {OURS} / it | {OURS_ALONE} / it |{}\n", calls.0);
    text += &format!("|---|---|---:|---:|---:|---:|---:|{}\n", calls.1);
    for program in &plan.programs {
        text += &row(program, case, results).unwrap_or_default();
    }
    text += &bound_row(results, cores).unwrap_or_default();
    text += &targets(case, results, cores);
    text + &notes(results)
}

fn row(program: &Program, case: &Case, results: &Results) -> Option<String> {
    let wall = results.each(program.name, |measured| measured.wall);
    let cpu = Median::of(results.each(program.name, |measured| measured.cpu))?;
    let peak = results.each(program.name, |measured| measured.peak as f64).into_iter().fold(0.0, f64::max) / 1024.0;
    let (name, checks) = match program.role {
        Role::Ours => (format!("**{}**", program.name), program.checks.name()),
        Role::Peer => (program.name.to_owned(), program.checks.name()),
        Role::Floor => (format!("*{}*", program.name), "–"),
    };
    // A floor holds its whole input.
    let peak = if program.role == Role::Floor { "–".to_owned() } else { format!("{peak:.1}") };
    let than =
        |ours| if ours == program.name { Some("1".to_owned()) } else { ratio(results, ours, program.name).map(|ratio| shown(&ratio)) };
    let mut row = format!(
        "| {name} | {checks} | {} | {:.2} | {peak} | {} | {} |",
        spread(wall)?,
        cpu.value,
        than(OURS).unwrap_or_default(),
        than(OURS_ALONE).unwrap_or_default(),
    );
    if !results.calls.is_empty() {
        let calls = results.calls.get(program.name).map(|calls| *calls as f64 / case.claims.entries as f64);
        row += &calls.map_or(" – |".to_owned(), |calls| format!(" {calls:.2} |"));
    }
    Some(row + "\n")
}

fn spread(wall: Vec<f64>) -> Option<String> {
    let (least, most) = (wall.iter().copied().reduce(f64::min)?, wall.iter().copied().reduce(f64::max)?);
    Some(format!("{:.3} ({least:.3}–{most:.3})", Median::of(wall)?.value))
}

fn bound_row(results: &Results, cores: usize) -> Option<String> {
    let wall: Vec<f64> = (0..results.rounds.len()).filter_map(|round| bound(results, round, cores)).collect();
    let than = |ours| bound_ratio(results, ours, cores).map(|ratio| shown(&ratio)).unwrap_or_default();
    let calls = if results.calls.is_empty() { "" } else { " – |" };
    Some(format!("| *the bound* | – | {} | – | – | {} | {} |{calls}\n", spread(wall)?, than(OURS), than(OURS_ALONE)))
}

fn targets(case: &Case, results: &Results, cores: usize) -> String {
    let rows = rows(case, results, cores);
    // The short form has no target.
    if rows.is_empty() || case.workload == "small" {
        return String::new();
    }
    let rows: String = rows.into_iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
    format!("\n| target | at most | measured | |\n|---|---:|---:|---|\n{rows}")
}

fn notes(results: &Results) -> String {
    let missing = results.missing.iter().map(|(name, reason)| format!("- {name} did not run: `{}`\n", reason.replace('`', "'")));
    let paths = results.paths.iter().map(|(name, beyond)| format!("- The tree of {name} has {beyond:+} names.\n"));
    let notes: String = missing.chain(paths).collect();
    if notes.is_empty() { notes } else { format!("\n{notes}") }
}

fn rounds(count: usize) -> String {
    format!("{count} round{}", if count == 1 { "" } else { "s" })
}

/// When, on what, and by which words.
fn circumstances(cores: usize) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, model)| model));
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.contains('/')).collect();
    format!(
        "{}, commit {}, {cores} cores of {}, Linux {}, `cargo peers {}`.",
        said(Command::new("date").args(["-u", "+%Y-%m-%d"])),
        commit(),
        model.unwrap_or("an unnamed processor"),
        read("/proc/sys/kernel/osrelease").trim().split('-').next().unwrap_or_default(),
        words.join(" "),
    )
}

/// The commit that is checked out, with a `+` where what is measured differs from it.
fn commit() -> String {
    let git = |words: &[&str]| said(Command::new("git").arg("-C").arg(repository()).args(words));
    let changed = if git(&["status", "--porcelain", "--", "src", "Cargo.toml", "benches/peers"]).is_empty() { "" } else { "+" };
    git(&["rev-parse", "--short", "HEAD"]) + changed
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Puts a section in the place of its last one, between its marks; at the end, where there is none yet.
pub fn write(title: &str, section: &str) {
    let file = repository().join("docs/BENCHMARKS.md");
    let old = std::fs::read_to_string(&file).expect("docs/BENCHMARKS.md");
    std::fs::write(file, replaced(&old, title, section)).expect("docs/BENCHMARKS.md");
}

fn replaced(old: &str, title: &str, section: &str) -> String {
    let (begin, end) = (format!("<!-- cargo peers --write: {title} -->"), format!("<!-- end: {title} -->"));
    let new = format!("{begin}\n{}\n{end}", section.trim_end());
    let found = old.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    match found {
        Some((before, after)) => format!("{before}{new}{after}"),
        None => format!("{}\n\n{new}\n", old.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_its_last_one_and_of_no_other() {
        let once = replaced("# Text\n", "a", "1");
        let twice = replaced(&replaced(&once, "b", "2"), "a", "3");
        let part = |title, text| format!("<!-- cargo peers --write: {title} -->\n{text}\n<!-- end: {title} -->");
        assert_eq!(twice, format!("# Text\n\n{}\n\n{}\n", part("a", "3"), part("b", "2")));
    }
}
