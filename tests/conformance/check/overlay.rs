//! The overlay form against the merged one: the same layers, mounted, are the same tree.
//!
//! Left out, for overlayfs has its own: link counts, inode numbers, size and link count of a directory, atime and ctime.
//! Hardlinks are compared in the directory of each layer.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::mount::{MountFlags, UnmountFlags};
use safe_layers::{Error, LayerReport, OverlayForm, Policy, Reason, Resolver};
use tempfile::TempDir;

use super::overlay_engine::{self, Layers, Order};
use super::places::missing;
use super::{Applied, Place, Source, Tree, Way, assert_same, is_root, places};
pub use crate::common::overlaid::loose;
use crate::common::overlaid::{assert_groups, overlaid};

/// Events that one form has and the other has no use for.
const BY_NATURE: &[Reason] = &[
    // A hardlink to a file of a lower layer brings a copy of it into its own.
    Reason::CopiedUp,
];

/// The ways that a case is mounted in.
fn mounted_ways() -> [(OverlayForm, Way); 2] {
    [(OverlayForm::Trusted, Way::of(Resolver::Openat2, 4, 0)), (OverlayForm::User, Way::of(Resolver::Walk, 1, 1))]
}

/// The ways in which layers are side by side: threads, and whether the bytes of the lower ones come late.
const BESIDE: [(usize, Order); 3] = [(2, Order::SideBySide), (4, Order::UpperFirst), (8, Order::SideBySide)];

/// Applies the layers in both overlay forms, mounts them and compares with what the merged form gave; and side by side, which must be
/// what they are one after the other.
#[track_caller]
pub fn agrees(policy: &Policy, blobs: &[Source], merged: &Result<Applied, Error>) {
    // An ordinary user may make the layers of one form, and nobody can mount them for him.
    let ways = mounted_ways().into_iter().filter(|(form, _)| can_mount() || *form == OverlayForm::User);
    for (form, way) in ways {
        let what = format!("overlay {form:?} {way:?}");
        let world = way.world();
        let result = overlay_engine::run(&world, policy, blobs, way, form);
        world.assert_outside_untouched(&what);
        world.assert_nothing_taken(&what);
        match (merged, result) {
            (Ok(merged), Ok(built)) => {
                let layers = layer_trees(&world.dest_path(), &built.visible);
                let shown = if can_mount() { mounted(form, way.place, &built.lowerdir) } else { overlaid(&layers) };
                assert_same(&loose(&merged.tree), &loose(&shown), &what);
                assert_groups(&merged.tree, &layers, &what);
                assert_reports(&merged.reports, &built, &what);
            }
            (Err(merged), Err(error)) => {
                world.assert_not_exposed(&what);
                let place = |error: &Error| (error.kind(), error.layer(), error.location().clone());
                assert_eq!(place(merged), place(&error), "{what}: {merged} and {error}");
            }
            (Ok(_), Err(error)) => panic!("{what}: refused, and merged it is not: {error}"),
            (Err(error), Ok(_)) => panic!("{what}: accepted, and merged it is refused: {error}"),
        }
    }
    side_by_side(policy, blobs);
}

/// The layers side by side are what they are one after the other: each directory, each report, what an observer hears of each layer,
/// or the same error.
#[track_caller]
fn side_by_side(policy: &Policy, blobs: &[Source]) {
    if blobs.len() < 2 {
        return;
    }
    let run = |threads: usize, order: Order| {
        let way = Way::of(Resolver::Openat2, threads, 1);
        let world = way.world();
        let what = format!("{order:?} {way:?}");
        let (result, mut heard) = overlay_engine::run_in_order(&world, policy, blobs, way, OverlayForm::User, order);
        world.assert_outside_untouched(&what);
        world.assert_nothing_taken(&what);
        let result = result.map(|built| {
            let layers: Vec<Tree> =
                (0..blobs.len()).map(|layer| Tree::take(&world.dest_path().join(layer.to_string()), |_| false)).collect();
            (layers, built.reports, built.visible)
        });
        if let Err(error) = &result {
            world.assert_not_exposed(&what);
            // Those above one that failed may be heard or not.
            heard.retain(|layer, _| Some(*layer) <= error.layer());
        }
        (result, heard)
    };
    let (wanted, events) = run(1, Order::OneAfterTheOther);
    for (threads, order) in BESIDE {
        let what = format!("{order:?} on {threads} threads");
        let (found, heard) = run(threads, order);
        match (&wanted, &found) {
            (Ok((wanted, reports, visible)), Ok((found, found_reports, found_visible))) => {
                for (layer, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                    assert_same(wanted, found, &format!("{what}, layer {layer}"));
                }
                assert_eq!((reports, visible), (found_reports, found_visible), "{what}");
            }
            (wanted, found) => assert_eq!(wanted.as_ref().err(), found.as_ref().err(), "{what}"),
        }
        assert_eq!(events, heard, "{what}");
    }
}

/// The tree that the mounted layers show.
#[track_caller]
pub fn mounted(form: OverlayForm, place: &Place, lowerdir: &OsStr) -> Tree {
    let overlay = Overlay::mount(form, place.dir(), lowerdir);
    Tree::take(&overlay.path(), |_| false)
}

/// A snapshot of the directory of each layer that shows, bottom first.
fn layer_trees(dest: &Path, visible: &[String]) -> Vec<Tree> {
    visible.iter().rev().map(|layer| Tree::take(&dest.join(layer), |_| false)).collect()
}

/// The reports agree but where the forms differ by nature.
#[track_caller]
fn assert_reports(merged: &[LayerReport], overlay: &Layers, what: &str) {
    let by_nature = |reason: &Reason| BY_NATURE.contains(reason);
    let told = |report: &LayerReport| {
        let counts: BTreeMap<_, _> = report.events.counts().iter().filter(|(reason, _)| !by_nature(reason)).collect();
        let events: Vec<_> = report.events.first().iter().filter(|event| !by_nature(&event.reason)).collect();
        format!("{:#?}", (report.diff_id, report.decoded_bytes, report.entries, report.file_bytes, counts, events))
    };
    for (layer, (merged, overlay)) in merged.iter().zip(&overlay.reports).enumerate() {
        assert_eq!(told(merged), told(overlay), "{what}: the report of layer {layer}");
    }
    assert_eq!(merged.len(), overlay.reports.len(), "{what}");
}

/// A mounted overlay, gone with the value.
pub struct Overlay {
    dir: TempDir,
}

impl Overlay {
    /// Mounts the layers of `lowerdir` and an empty one below them, for a mount wants two.
    #[track_caller]
    pub fn mount(form: OverlayForm, place: &Path, lowerdir: &OsStr) -> Self {
        Self::try_mount(form, place, lowerdir).unwrap_or_else(|errno| panic!("mounting {}: {errno}", lowerdir.display()))
    }

    fn try_mount(form: OverlayForm, place: &Path, lowerdir: &OsStr) -> rustix::io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("safe-layers-mnt-").tempdir_in(place).unwrap();
        let empty = dir.path().join("empty");
        for made in [&empty, &dir.path().join("at")] {
            std::fs::create_dir(made).unwrap();
        }
        let suffix = if form == OverlayForm::User { ",userxattr" } else { "" };
        let option = [b"lowerdir=", lowerdir.as_bytes(), b":", empty.as_os_str().as_bytes(), suffix.as_bytes()].concat();
        let option = CString::new(option).unwrap();
        rustix::mount::mount("overlay", dir.path().join("at"), "overlay", MountFlags::RDONLY, option.as_c_str())?;
        Ok(Self { dir })
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("at")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        rustix::mount::unmount(self.path(), UnmountFlags::DETACH).unwrap();
    }
}

/// Whether this process may mount an overlay: known once, told if not.
pub fn can_mount() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let lower = tempfile::tempdir_in(places()[0].dir()).unwrap();
        let can = is_root() && Overlay::try_mount(OverlayForm::Trusted, places()[0].dir(), lower.path().as_os_str()).is_ok();
        if !can {
            missing("mounting overlays, which needs root and a kernel with overlayfs: what they would show is worked out in memory");
        }
        can
    })
}
