//! `unpack`: unpacks container layers that nobody trusts into one root filesystem.
//!
//! ```text
//! cargo run --release --example unpack                                   # a demonstration, changes nothing but a new temporary directory
//! cargo run --release --example unpack -- --blob DIGEST LAYER... DEST    # the job
//! cargo run --release --example unpack -- --image LAYOUT --pin DIGEST DEST
//! cargo run --release --example unpack -- --help
//! ```
//!
//! Read [`job`] first: it is the whole use of the library. The rest is the command line around it.

mod args;
mod claims;
mod demo;
mod failure;
pub(crate) mod hello;
mod image;
mod job;
mod progress;
mod report;
mod target;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use args::{Command, Output};
use failure::Failure;

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).collect();
    ExitCode::from(run(words, &mut io::stdout().lock(), &mut io::stderr()))
}

/// Does what the words after the program's name ask for and gives the exit status.
///
/// `err` is not locked: the progress bar writes there too.
pub(crate) fn run(words: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let output = args::output(&words);
    match args::parse(words).and_then(|command| obey(command, output, out)) {
        Ok(()) => 0,
        Err(failure) => failure.tell(output, out, err),
    }
}

fn obey(command: Command, output: Output, out: &mut dyn Write) -> Result<(), Failure> {
    let text = match command {
        Command::Help => args::HELP.to_owned(),
        Command::Demo => demo::run()?,
        Command::Unpack(request) => {
            let done = job::unpack(&request)?;
            match output {
                Output::Json => report::json(&done, &request.dest)?,
                Output::Text => report::told(&done, &request.dest),
            }
        }
    };
    report::print(out, &text)
}
