//! Which versions of the peers were run: of the crates from the lock file, of the programs from themselves.

use std::process::Command;

const CRATES: [&str; 7] = ["astral-tokio-tar", "flate2", "miniz_oxide", "oci-image", "oci-unpack", "tar", "zlib-rs"];
const PROGRAMS: [(&str, &str); 6] = [
    ("tar", "--version"),
    ("gzip", "--version"),
    ("igzip", "-V"),
    ("bsdtar", "--version"),
    ("umoci", "--version"),
    ("containerd", "--version"),
];

/// Gives all of them in a sentence each.
pub fn text() -> String {
    let lock = include_str!("../Cargo.lock");
    let crates = CRATES.map(|name| format!("{name} {}", locked(lock, name).unwrap_or("none")));
    let programs = PROGRAMS.map(|(program, word)| format!("{program} {}", told(program, word).unwrap_or_else(|| "none".into())));
    format!("Crates: {}. Programs: {}.\n", crates.join(", "), programs.join(", "))
}

fn locked<'l>(lock: &'l str, name: &str) -> Option<&'l str> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

/// The first word with a digit in front, without what a distribution adds.
fn told(program: &str, word: &str) -> Option<String> {
    let output = Command::new(program).arg(word).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_whitespace().find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()))?;
    version.split(['~', '+']).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_is_in_the_lock_file() {
        assert!(CRATES.iter().all(|name| locked(include_str!("../Cargo.lock"), name).is_some()));
    }
}
