//! `manifest`: says what a tree holds, one line for each path, and how two such lists differ.
//!
//! ```text
//! manifest list DIR
//! manifest diff PEER ARCHIVE ENTRIES ALLOWED OURS THEIRS
//! ```
//!
//! The scripts in `tests/real` hold `examples/unpack` to other unpackers with it. It reads trees by path, as a tool for people
//! may who own the tree; the library never does.

mod diff;
mod list;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = run(&words, &mut out).and_then(|code| out.flush().map(|()| code));
    done.unwrap_or_else(|error| {
        writeln!(io::stderr(), "manifest: {error}").unwrap_or_default();
        ExitCode::from(2)
    })
}

fn run(words: &[OsString], out: &mut dyn Write) -> io::Result<ExitCode> {
    match words {
        [verb, dir] if verb == "list" => list::list(dir.as_ref(), out).map(|()| ExitCode::SUCCESS),
        [verb, peer, archive, entries, allowed, ours, theirs] if verb == "diff" => {
            let read = |path: &OsString| std::fs::read_to_string(path);
            let about = diff::About { peer: &peer.to_string_lossy(), archive: &archive.to_string_lossy() };
            let allowed = diff::parse_allowed(&read(allowed)?)?;
            let entries = list::clean_names(&std::fs::read(entries)?);
            diff::diff(&about, &entries, &allowed, [&read(ours)?, &read(theirs)?], out)
        }
        _ => Err(io::Error::other("usage: manifest list DIR | manifest diff PEER ARCHIVE ENTRIES ALLOWED OURS THEIRS")),
    }
}
