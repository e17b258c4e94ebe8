//! Programs that do it wrong, for the controls of the sweeps: each wrong is one that a sweep has to see.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

const FILES: u64 = 8;

/// Makes a tree at `dest` in one of these ways.
pub fn main(words: &[String]) -> ExitCode {
    let [how, dest] = words else { return ExitCode::from(2) };
    let dest = Path::new(dest);
    let make = match how.as_str() {
        "straight" => straight,
        "careless" => careless,
        "littering" => littering,
        _ => return ExitCode::from(2),
    };
    match make(dest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("naive: {error}");
            ExitCode::FAILURE
        }
    }
}

fn file(dest: &Path, number: u64) -> io::Result<()> {
    let mut file = File::create(dest.join(number.to_string()))?;
    file.write_all(&[b'x'; 5000])?;
    file.set_modified(SystemTime::UNIX_EPOCH)
}

/// Gives a tree the same time in every run.
fn finish(dest: &Path) -> io::Result<()> {
    File::open(dest)?.set_modified(SystemTime::UNIX_EPOCH)
}

/// Writes to the final name.
fn straight(dest: &Path) -> io::Result<()> {
    fs::create_dir(dest)?;
    (0..FILES).try_for_each(|number| file(dest, number))?;
    finish(dest)
}

/// Does not look whether a file was written.
fn careless(dest: &Path) -> io::Result<()> {
    fs::create_dir(dest)?;
    (0..FILES).for_each(|number| file(dest, number).unwrap_or_default());
    finish(dest)
}

/// Stages, and leaves behind what it staged when it fails.
fn littering(dest: &Path) -> io::Result<()> {
    let staged = dest.with_file_name(format!("staged-{}", std::process::id()));
    fs::create_dir(&staged)?;
    (0..FILES).try_for_each(|number| file(&staged, number))?;
    finish(&staged)?;
    fs::rename(staged, dest)
}
