//! The job itself: open the destination's parent, apply each layer, commit; or have an image do so.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use safe_layers::{Error, Expect, Policy, Root, Unpacked, Unpacker, recover};

use super::args::{self, Leftovers, Preset, Request};
use super::claims::Layer;
use super::failure::Failure;
use super::image::{self, Summary};
use super::progress;
use super::target::{Form, Target};

/// What was unpacked; of an image, what is told of it.
pub(crate) struct Done {
    pub(crate) unpacked: Unpacked,
    pub(crate) image: Option<Summary>,
}

/// Unpacks what was asked for. Until it returns `Ok`, DEST does not exist (but for `--in-place`).
pub(crate) fn unpack(request: &Request) -> Result<Done, Failure> {
    match &request.source {
        args::Source::Layers(layers) => {
            let layers = open_layers(layers, request.preset)?;
            let mut unpacker = prepared(request, layers.iter().map(|(_, source)| source.size()).collect())?;
            for (layer, (expect, source)) in (0..).zip(layers) {
                apply(&mut unpacker, &expect, source, layer, &request.target)?;
            }
            Ok(Done { unpacked: unpacker.commit()?, image: None })
        }
        args::Source::Image(wanted) => {
            let image = image::open(wanted)?;
            let unpacker = prepared(request, image.layers().iter().map(|layer| Some(layer.size())).collect())?;
            Ok(Done { unpacked: image.unpack(unpacker)?, image: Some(Summary::of(&image)) })
        }
    }
}

/// Gives the unpacker, with everything set. `sizes` are those of the layers.
fn prepared(request: &Request, sizes: Vec<Option<u64>>) -> Result<Unpacker, Error> {
    let mut unpacker = unpacker(request)?.durability(request.durability);
    if let Some(threads) = request.threads {
        unpacker = unpacker.threads(threads);
    }
    match progress::Bar::for_terminal(sizes) {
        Some(bar) => Ok(unpacker.observer(Box::new(bar))),
        None => Ok(unpacker),
    }
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
fn open_layers(wanted: &[Layer], preset: Preset) -> Result<Vec<(Expect, Source)>, Failure> {
    let mut layers = Vec::with_capacity(wanted.len());
    for (index, layer) in (0..).zip(wanted) {
        let expect = layer.expect(preset).map_err(|error| Failure::Library { error, layer: Some(index) })?;
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
    Failure::Open { layer: Some(layer), file: file.to_owned(), error, partially_applied }
}
