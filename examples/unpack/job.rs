//! The job itself: open the destination's parent, apply each layer, commit.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use safe_layers::{Error, Expect, Policy, Root, Unpacked, Unpacker, recover};

use super::args::{Form, Leftovers, Preset, Request, Target};
use super::claims::Layer;
use super::failure::Failure;
use super::progress;

/// Unpacks what was asked for. Until it returns `Ok`, DEST does not exist (but for `--in-place`).
pub(crate) fn unpack(request: &Request) -> Result<Unpacked, Failure> {
    let layers = open_layers(request)?;
    let sizes = layers.iter().map(|(_, source)| source.size()).collect();
    let mut unpacker = unpacker(request)?.durability(request.durability);
    if let Some(threads) = request.threads {
        unpacker = unpacker.threads(threads);
    }
    if let Some(bar) = progress::Bar::for_terminal(sizes) {
        unpacker = unpacker.observer(Box::new(bar));
    }
    for (layer, (expect, source)) in (0..).zip(layers) {
        apply(&mut unpacker, &expect, source, layer, &request.target)?;
    }
    Ok(unpacker.commit()?)
}

fn unpacker(request: &Request) -> Result<Unpacker, Error> {
    let policy = policy(request.preset, &request.limits)?;
    match &request.target {
        Target::New { parent, name, form } => {
            let parent = Root::open_ambient(parent, ambient_authority())?;
            if request.leftovers == Leftovers::Go {
                recover(&parent)?;
            }
            match form {
                Form::Merged => Unpacker::rootfs(parent, name, policy),
                Form::Overlay(form) => Unpacker::overlay(parent, name, *form, policy),
            }
        }
        Target::InPlace => Unpacker::in_place(Root::open_ambient(Path::new(&request.dest), ambient_authority())?, policy),
    }
}

fn policy(preset: Preset, limits: &[(String, String)]) -> Result<Policy, Error> {
    let mut policy = preset.policy();
    for (name, value) in limits {
        policy.limits.set(name, value)?;
    }
    Ok(policy)
}

/// Where a layer's bytes come from.
enum Source {
    /// A regular file, with its size: hashed before a decoder sees it.
    File(File, u64),
    /// A FIFO or the like, opened when its turn comes: its writer may wait for the layer before.
    Stream(OsString),
    Stdin,
}

impl Source {
    fn size(&self) -> Option<u64> {
        match self {
            Self::File(_, size) => Some(*size),
            Self::Stream(_) | Self::Stdin => None,
        }
    }
}

/// Makes the claims and opens the files, so that what is missing is known before anything is written.
fn open_layers(request: &Request) -> Result<Vec<(Expect, Source)>, Failure> {
    let mut layers = Vec::with_capacity(request.layers.len());
    for (index, layer) in (0..).zip(&request.layers) {
        let expect = layer.expect(request.preset).map_err(|error| Failure::Library { error, layer: Some(index) })?;
        let source = open(layer).map_err(|error| not_opened(index, &layer.file, error, &Target::InPlace))?;
        layers.push((expect, source));
    }
    Ok(layers)
}

fn open(layer: &Layer) -> io::Result<Source> {
    if layer.file == "-" {
        return Ok(Source::Stdin);
    }
    if !std::fs::metadata(&layer.file)?.is_file() {
        return Ok(Source::Stream(layer.file.clone()));
    }
    let file = File::open(&layer.file)?;
    let size = file.metadata()?.len();
    Ok(Source::File(file, size))
}

fn apply(unpacker: &mut Unpacker, expect: &Expect, source: Source, layer: u64, target: &Target) -> Result<(), Failure> {
    match source {
        Source::File(file, _) => unpacker.apply_file(expect, &file)?,
        Source::Stdin => unpacker.apply(expect, io::stdin())?,
        Source::Stream(file) => {
            let stream = File::open(&file).map_err(|error| not_opened(layer, &file, error, target))?;
            unpacker.apply(expect, stream)?
        }
    };
    Ok(())
}

fn not_opened(layer: u64, file: &OsStr, error: io::Error, target: &Target) -> Failure {
    let partially_applied = layer > 0 && *target == Target::InPlace;
    Failure::Open { layer, file: file.to_owned(), error, partially_applied }
}
