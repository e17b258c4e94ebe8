//! Where the layers of an unpacker go: one staged tree, a directory of the caller's, or a directory for each layer.

use std::sync::Arc;

use super::Unpacked;
use crate::apply::{Applier, Awaited, Ground, Lower, Lowers, OverlayForm, TreeComplete};
use crate::blob::Stop;
use crate::error::{Error, ErrorKind};
use crate::observe::{LayerReport, Log};
use crate::policy::Policy;
use crate::root::Root;
use crate::stage::{Durability, LayerVerified, StagedTree};

/// The layers below those that an unpacker is to unpack in overlay form.
#[derive(Debug)]
#[non_exhaustive]
pub enum LowerLayers {
    /// Their directories, top first, in the same overlay form; the caller can read all that is in them, and nothing in them is
    /// changed. None for a whole image.
    Known(Vec<Root>),
    /// They are elsewhere. The result is approximate where it depends on them, each time with an event: directories without an
    /// entry get the attributes of new ones, every whiteout is made, and a hardlink to a lower layer is refused
    /// ([`ErrorKind::LowerRequired`]). The layers of the same unpacker do not see each other either.
    Unknown,
}

/// Where the layers go. The applier is taken out while a layer is applied: of a layer that failed none is left.
#[derive(Debug)]
pub(super) enum Target {
    // Handles are dropped before the staged tree that they lead into.
    Rootfs { applier: Option<Applier>, staged: StagedTree },
    InPlace { applier: Option<Applier> },
    Overlay(Stack),
}

/// The layers of an overlay, each in a directory of its own.
#[derive(Debug)]
pub(super) struct Stack {
    layers: Vec<Arc<Awaited>>,
    lowers: Lowers,
    form: OverlayForm,
    staged: StagedTree,
}

impl Target {
    pub(super) fn rootfs(parent: Root, name: &str, policy: &Policy) -> Result<Self, Error> {
        let staged = StagedTree::new(parent, name)?;
        let applier = Applier::new(staged.root()?, policy.clone(), Ground::Staged)?;
        Ok(Self::Rootfs { applier: Some(applier), staged })
    }

    pub(super) fn in_place(dir: Root, policy: &Policy) -> Result<Self, Error> {
        Applier::new(dir, policy.clone(), Ground::InPlace).map(|applier| Self::InPlace { applier: Some(applier) })
    }

    pub(super) fn overlay(parent: Root, name: &str, form: OverlayForm, below: LowerLayers) -> Result<Self, Error> {
        let staged = StagedTree::new(parent, name)?;
        form.probe(staged.root()?.top())?;
        let lowers = match below {
            LowerLayers::Known(roots) => Lowers::known(roots.into_iter().map(|root| Lower::Given(Arc::new(root), form)).collect()),
            LowerLayers::Unknown => Lowers::unknown(),
        };
        Ok(Self::Overlay(Stack { layers: Vec::new(), lowers, form, staged }))
    }

    /// Gives what applies the next layer.
    pub(super) fn begin_layer(&mut self, policy: &Policy) -> Result<Applier, Error> {
        match self {
            Self::Rootfs { applier, .. } | Self::InPlace { applier } => {
                applier.take().ok_or_else(|| Error::new(ErrorKind::Cancelled, "an earlier layer was abandoned"))
            }
            Self::Overlay(stack) => stack.begin(stack.layers.len(), &[], policy),
        }
    }

    /// Takes it back after a layer that is whole.
    pub(super) fn end_layer(&mut self, whole: Applier) {
        match self {
            Self::Rootfs { applier, .. } | Self::InPlace { applier } => *applier = Some(whole),
            Self::Overlay(stack) => {
                let layer = Arc::new(Awaited::default());
                layer.end(Some(whole));
                stack.push(layer);
            }
        }
    }

    /// Makes the directories whole and moves what is staged to its final name. What the final attributes bring is told in the
    /// report of the layer; in one tree, where they belong to no layer, in that of the last.
    pub(super) fn commit(
        self,
        (verified, mut reports): (&[LayerVerified], Vec<LayerReport>),
        durability: Durability,
        stop: &Stop<'_>,
        log: &mut Log,
    ) -> Result<Unpacked, Error> {
        let mut complete = |applier: &Applier, layer: usize| -> Result<TreeComplete, Error> {
            let number = crate::convert::len_u64(layer);
            log.begin(number);
            let complete = applier.complete(stop, log).map_err(|error| error.in_layer(number))?;
            if let Some(report) = reports.get_mut(layer) {
                report.events.append(log.end(), log.cap());
            }
            Ok(complete)
        };
        let form = match self {
            Self::InPlace { applier } => {
                if durability == Durability::Tree {
                    applier.iter().try_for_each(Applier::sync).map_err(Error::after_partial_apply)?;
                }
                None
            }
            Self::Rootfs { applier, staged } => {
                let last = verified.len().saturating_sub(1);
                let whole = applier.iter().map(|applier| complete(applier, last)).collect::<Result<Vec<_>, _>>()?;
                staged.commit(verified, whole, durability)?;
                None
            }
            Self::Overlay(Stack { layers, staged, form, .. }) => {
                let layers: Vec<&Applier> = layers.iter().filter_map(|layer| layer.complete()).collect();
                // While the directories of all are still open to their owner.
                for (number, layer) in (0..).zip(&layers) {
                    layer.take_root_over().map_err(|error| error.in_layer(number))?;
                }
                let whole = (0..).zip(layers).map(|(layer, applier)| complete(applier, layer)).collect::<Result<Vec<_>, _>>()?;
                staged.commit(verified, whole, durability)?;
                Some(form)
            }
        };
        Ok(Unpacked { layers: reports, form })
    }
}

impl Stack {
    /// Makes the directory of a layer, counted from 0, and gives what applies it, on top of those that are there and of `beside`, bottom
    /// first, which are not yet.
    pub(super) fn begin(&self, layer: usize, beside: &[Arc<Awaited>], policy: &Policy) -> Result<Applier, Error> {
        Applier::overlay(self.staged.layer_root(layer)?, policy.clone(), self.form, self.lowers.with(beside))
    }

    /// Puts a layer that is complete on top.
    pub(super) fn push(&mut self, layer: Arc<Awaited>) {
        self.layers.push(Arc::clone(&layer));
        self.lowers.push(layer);
    }
}
