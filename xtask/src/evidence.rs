//! Counts of what was tried, and docs/EVIDENCE.md, which is made of them.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::run::{Extent, Settings, repository};

/// One part of the torture.
pub struct Section {
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub title: &'static str,
    /// The guarantees of SECURITY.md that it is evidence for.
    pub guarantees: &'static str,
    pub run: fn(&Settings) -> Counts,
}

/// What a part counted.
#[derive(Default)]
pub struct Counts {
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    what: String,
    tried: u64,
    violations: u64,
    /// A planted fault that has to be seen: the other way round.
    control: bool,
}

impl Counts {
    /// Enters cases that were tried and the violations among them.
    pub fn row(&mut self, what: impl Into<String>, tried: u64, violations: u64) {
        self.rows.push(Row { what: what.into(), tried, violations, control: false });
    }

    /// Enters a control: faults that were planted, and how many were seen.
    pub fn control(&mut self, what: impl Into<String>, planted: u64, seen: u64) {
        self.rows.push(Row { what: what.into(), tried: planted, violations: seen, control: true });
    }

    /// Enters something that is said beside the counts: a spread, a part left out and why.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Whether there was a violation, a control that was silent, or nothing tried at all.
    pub fn failed(&self) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row.tried == 0 || row.control == (row.violations == 0))
    }

    pub fn lines(&self) -> String {
        let rows = self.rows.iter().map(|row| match row.control {
            true => format!("control: {}: {} planted, {} seen\n", row.what, row.tried, row.violations),
            false => format!("{}: {} tried, {} violations\n", row.what, row.tried, row.violations),
        });
        rows.chain(self.notes.iter().map(|note| format!("note: {note}\n"))).collect()
    }

    fn table(&self) -> String {
        let rows = self.rows.iter().map(|row| match row.control {
            true => format!("| control: {} | {} planted | {} seen |\n", row.what, row.tried, row.violations),
            false => format!("| {} | {} | {} |\n", row.what, row.tried, row.violations),
        });
        let notes = self.notes.iter().map(|note| format!("\n{note}\n"));
        format!("| what | tried | violations |\n|---|---|---|\n{}{}", rows.collect::<String>(), notes.collect::<String>())
    }
}

const PREFACE: &str = "\
# Evidence

What was run, on which machine, when, and what was counted. Written by `cargo xtask torture --write`, a section by each part of it;
the guarantees are those of SECURITY.md. A control is a planted fault that the method has to see.
";

/// Puts the section of a part in the place of its last one.
pub fn write(section: &Section, extent: Extent, counts: &Counts, took: Duration) {
    let file = repository().join("docs/EVIDENCE.md");
    let old = std::fs::read_to_string(&file).unwrap_or_default();
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    for text in old.split("\n## ").skip(1) {
        let name = text.lines().next().unwrap_or_default().to_owned();
        sections.insert(name, text.trim_end().to_owned());
    }
    let short = if extent == Extent::Short { " --short" } else { "" };
    let text = format!(
        "{}\n\n{} ({})\n\n`cargo xtask torture{short} {}`, {}, commit {}, {}, {} s\n\n{}",
        section.name,
        section.title,
        section.guarantees,
        section.name,
        date(),
        commit(),
        machine(),
        took.as_secs(),
        counts.table().trim_end()
    );
    sections.insert(section.name.to_owned(), text);
    let body: String = sections.values().map(|text| format!("\n## {text}\n")).collect();
    std::fs::create_dir_all(repository().join("docs")).expect("docs");
    std::fs::write(file, format!("{PREFACE}{body}")).expect("docs/EVIDENCE.md");
}

fn date() -> String {
    said(Command::new("date").args(["-u", "+%Y-%m-%d"]))
}

/// What was run: the commit that is checked out, with a `+` where the sources differ from it.
fn commit() -> String {
    let git = |words: &[&str]| said(Command::new("git").current_dir(repository()).args(words));
    let changed = if git(&["status", "--porcelain", "--", "src", "examples", "xtask", "tests"]).is_empty() { "" } else { "+" };
    git(&["rev-parse", "--short", "HEAD"]) + changed
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo").lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m.to_owned()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores of {}, Linux {}",
        model.unwrap_or_else(|| "an unnamed processor".into()),
        read("/proc/sys/kernel/osrelease").trim()
    )
}
