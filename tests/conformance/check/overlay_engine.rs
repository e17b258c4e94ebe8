//! The only file that knows how the engine is asked for the overlay form.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use safe_layers::{Error, Event, Expect, LayerReport, Observer, OverlayForm, Policy, Unpacker};

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

/// Which layers are at work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    OneAfterTheOther,
    SideBySide,
    /// And the lower a layer is, the later its bytes come.
    UpperFirst,
}

/// What an observer heard of each layer.
pub type Heard = BTreeMap<u64, Vec<Event>>;

/// Applies the layers as an overlay below `dest` and commits.
pub fn run(world: &World, policy: &Policy, blobs: &[Source], way: Way, form: OverlayForm) -> Result<Layers, Error> {
    run_in_order(world, policy, blobs, way, form, Order::OneAfterTheOther).0
}

/// As [`run`], in some order; gives what an observer heard too.
pub fn run_in_order(
    world: &World,
    policy: &Policy,
    blobs: &[Source],
    way: Way,
    form: OverlayForm,
    order: Order,
) -> (Result<Layers, Error>, Heard) {
    let heard = Arc::new(Mutex::new(Heard::new()));
    let run = || {
        let unpacker = Unpacker::overlay(open_root(world.parent()), "dest", form, way.policy(policy))?;
        let mut unpacker = unpacker.threads(way.threads()).observer(Box::new(Ear(Arc::clone(&heard))));
        let layers = blobs.iter().zip((0..blobs.len() as u32).rev()).map(|(blob, above)| {
            let delay = if order == Order::UpperFirst { Duration::from_micros(500) * above } else { Duration::ZERO };
            (Expect::dangerous_unverified(), Late(blob.open(), delay))
        });
        if order == Order::OneAfterTheOther {
            layers.into_iter().try_for_each(|(expect, blob)| unpacker.apply(&expect, blob).map(drop))?;
        } else {
            unpacker.apply_all(layers)?;
        }
        let unpacked = unpacker.commit()?;
        let lowerdir = unpacked.lowerdir(world.dest_path()).unwrap();
        Ok(Layers { visible: unpacked.visible_layers(), lowerdir, reports: unpacked.layers })
    };
    let result = run();
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    (result, heard)
}

struct Ear(Arc<Mutex<Heard>>);

impl Observer for Ear {
    fn event(&mut self, layer: u64, event: &Event) {
        self.0.lock().unwrap().entry(layer).or_default().push(event.clone());
    }
}

/// A reader whose first bytes come late.
struct Late<R>(R, Duration);

impl<R: Read> Read for Late<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let delay = std::mem::take(&mut self.1);
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        self.0.read(buffer)
    }
}
