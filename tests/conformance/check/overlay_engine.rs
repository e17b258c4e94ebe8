//! The only file that knows how the engine is asked for the overlay form.

use std::ffi::OsString;

use safe_layers::{Error, Expect, LayerReport, OverlayForm, Policy, Unpacker};

use super::{Source, Way, World, open_root};

/// The layers of an overlay, at their final place.
#[derive(Debug)]
pub struct Layers {
    pub reports: Vec<LayerReport>,
    /// What the mount option wants.
    pub lowerdir: OsString,
    /// The names of the directories in it, top first.
    pub visible: Vec<String>,
}

/// Applies the layers as an overlay below `dest` and commits.
pub fn run(world: &World, policy: &Policy, blobs: &[Source], way: Way, form: OverlayForm) -> Result<Layers, Error> {
    let mut unpacker = Unpacker::overlay(open_root(world.parent()), "dest", form, way.policy(policy))?.threads(way.threads());
    for blob in blobs {
        unpacker.apply(&Expect::dangerous_unverified(), blob.open())?;
    }
    let unpacked = unpacker.commit()?;
    let lowerdir = unpacked.lowerdir(world.dest_path()).unwrap();
    Ok(Layers { visible: unpacked.visible_layers(), lowerdir, reports: unpacked.layers })
}
