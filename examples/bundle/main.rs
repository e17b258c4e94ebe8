//! `bundle`: makes a runnable OCI bundle (OCI runtime-spec `bundle.md`) of an image on disk: its root filesystem and a `config.json`.
//!
//! ```text
//! cargo run --release --example bundle -- layout:latest sha256:… BUNDLE            # what the image runs
//! cargo run --release --example bundle -- layout:latest sha256:… BUNDLE sh -c id   # something else
//! sudo runc run --bundle BUNDLE NAME
//! ```
//!
//! The digest pins the image: of its manifest, of an index above it, or of a docker-archive's configuration. Nothing is made where one
//! byte of the image is not what hangs from it. Read [`bundle`] first: the rest is the translation of the image's configuration.

mod spec;
mod user;

use std::error::Error;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use cap_std::fs::Dir;
use safe_layers::image::{Choice, Layout};
use safe_layers::{Digest, Policy, Root, Unpacker, ambient_authority};

const USAGE: &str = "usage: bundle PATH[:NAME] DIGEST BUNDLE [COMMAND...]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [image, digest, to, command @ ..] = words.as_slice() else {
        return told(USAGE, 2);
    };
    match bundle(image, digest, Path::new(to), command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&error.to_string(), 1),
    }
}

fn told(text: &str, status: u8) -> ExitCode {
    // Whoever closed the output does not hear it.
    let _unheard = writeln!(io::stderr(), "bundle: {text}");
    ExitCode::from(status)
}

/// Makes the bundle `to`, which must not be there.
fn bundle(image: &str, digest: &str, to: &Path, command: &[String]) -> Result<(), Box<dyn Error>> {
    let (path, name) = image.split_once(':').map_or((image, None), |(path, name)| (path, Some(name)));
    let layout = if std::fs::metadata(path)?.is_dir() {
        Layout::open(Root::open_ambient(path, ambient_authority())?)?
    } else {
        Layout::open_archive(File::open(path)?)?
    };
    let choice = Choice::pinned(Digest::parse(digest)?);
    let image = layout.image(&name.map_or_else(|| choice.clone(), |name| choice.clone().reference(name)))?;
    let root = rustix::process::geteuid().is_root();
    let policy = if root { Policy::container() } else { Policy::rootless() };

    std::fs::create_dir(to)?;
    let made = Root::open_ambient(to, ambient_authority())
        .map_err(Box::from)
        .and_then(|parent| Ok(image.unpack(Unpacker::rootfs(parent, "rootfs", policy)?)?))
        .and_then(|_| configure(to, image.config().run(), command));
    if made.is_err() {
        std::fs::remove_dir_all(to)?;
    }
    made
}

/// Writes `config.json`, beside the tree that is there and verified.
fn configure(to: &Path, run: &safe_layers::image::RunConfig, command: &[String]) -> Result<(), Box<dyn Error>> {
    let bundle = Dir::open_ambient_dir(to, ambient_authority())?;
    let user = user::of(run.user.as_deref().unwrap_or_default(), &bundle.open_dir("rootfs")?)?;
    let spec = spec::of(run, &user, command)?;
    let mut file = bundle.create("config.json")?;
    serde_json::to_writer_pretty(&mut file, &spec)?;
    Ok(file.write_all(b"\n")?)
}
