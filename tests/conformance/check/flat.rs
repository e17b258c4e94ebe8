//! The stream of the merged tree holds what the merged tree is: written as a tar and unpacked, it is that tree.

use safe_layers::{Error, ErrorKind, IdMap, Ownership, Policy, Unmapped};

use super::{Applied, Source, World, assert_same, is_root};
use crate::common::engine::SMALL_BLOB;
use crate::common::flat::{flatten, image, told, unpack};

/// What only a filesystem, or the privilege of a caller, refuses.
const OF_THE_DISK: [ErrorKind; 2] = [ErrorKind::Io, ErrorKind::XattrUnsupported];

/// Flattens an image of the layers and compares with their merged tree and its reports, or the errors.
#[track_caller]
pub fn agrees(policy: &Policy, blobs: &[Source], merged: &Result<Applied, Error>) {
    // To others all belongs to them, and what belonged to root has lost its special bits.
    let Some(layers) = blobs.iter().map(|blob| blob.bytes_up_to(SMALL_BLOB)).collect::<Option<Vec<_>>>().filter(|_| is_root()) else {
        return;
    };
    if layers.iter().any(|layer| is_compressed(layer)) {
        return;
    }
    let image = image(layers);
    match (merged, flatten(&image, policy)) {
        (Ok(merged), Ok((flattened, recorder))) => {
            let reports = |reports: &[_]| reports.iter().map(told).collect::<Vec<_>>();
            assert_eq!(reports(&merged.reports), reports(&flattened.layers), "the reports, merged and flattened");
            if !records(&policy.ownership) {
                let world = World::new();
                assert_same(&merged.tree, &unpack(&recorder.tar(), policy, world.parent()), "merged and flattened");
            }
        }
        (Err(merged), Err(error)) => {
            let place = |error: &Error| (error.kind(), error.layer(), error.location().clone());
            assert!(OF_THE_DISK.contains(&merged.kind()) || place(merged) == place(&error), "merged {merged}, flattened {error}");
        }
        (Ok(_), Err(error)) => panic!("flattened it is refused, and merged it is not: {error}"),
        (Err(error), Ok(_)) if OF_THE_DISK.contains(&error.kind()) => {}
        (Err(error), Ok(_)) => panic!("flattened it is accepted, and merged it is refused: {error}"),
    }
}

fn is_compressed(blob: &[u8]) -> bool {
    matches!(blob, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Whether owners are recorded in an attribute, which no archive may bring.
fn records(ownership: &Ownership) -> bool {
    matches!(ownership, Ownership::RecordXattr | Ownership::Map(IdMap { unmapped: Unmapped::Record, .. }))
}
