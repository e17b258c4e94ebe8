//! `flatten`: an image on disk as one tar on the standard output, without unpacking it.
//!
//! ```text
//! cargo run --release --example flatten -- layout:latest sha256:… > image.tar
//! ```
//!
//! The digest pins the image. Nothing is written before every layer is verified; where a file changes after that, the status is 1 and
//! the archive has no end.

mod tar_sink;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use safe_layers::image::{Choice, Layout};
use safe_layers::{Digest, Policy, Root, ambient_authority};
use tar_sink::TarSink;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [image, digest] = words.as_slice() else {
        return told("usage: flatten PATH[:NAME] DIGEST > TAR", 2);
    };
    match flatten(image, digest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&error.to_string(), 1),
    }
}

fn told(text: &str, status: u8) -> ExitCode {
    // Whoever closed the output does not hear it.
    let _unheard = writeln!(io::stderr(), "flatten: {text}");
    ExitCode::from(status)
}

fn flatten(image: &str, digest: &str) -> Result<(), Box<dyn Error>> {
    let (path, name) = image.split_once(':').map_or((image, None), |(path, name)| (path, Some(name)));
    let layout = if std::fs::metadata(path)?.is_dir() {
        Layout::open(Root::open_ambient(path, ambient_authority())?)?
    } else {
        Layout::open_archive(File::open(path)?)?
    };
    let choice = Choice::pinned(Digest::parse(digest)?);
    let image = layout.image(&name.map_or_else(|| choice.clone(), |name| choice.clone().reference(name)))?;
    let mut sink = TarSink::new(BufWriter::new(io::stdout().lock()));
    let flattened = image.flatten(&Policy::container(), &mut sink)?;
    sink.finish()?.flush()?;
    let events: u64 = flattened.layers.iter().flat_map(|layer| layer.events.counts().values()).sum();
    told(&format!("{} entries, {events} events", flattened.handed_out.total), 0);
    Ok(())
}
