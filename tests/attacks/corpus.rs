//! All attacks, class by class, and where the catalogue they are from is overruled.

mod bombs;
mod compression;
mod control_must_accept;
mod end_of_archive;
mod hardlink_escape;
mod header_differential;
mod metadata_smuggling;
mod names;
mod numbers;
mod path_traversal;
mod pax_differential;
mod resource_limits;
mod root_and_type_swap;
mod sparse;
mod special_files;
mod symlink_escape;
mod transaction_and_race;
mod whiteout;

use safe_layers::ErrorKind;
use safe_layers::ErrorKind::{SymlinkEscape, SymlinkInPath};

use crate::harness::{Attack, Column, Disagreement, Outcome};

pub const CLASSES: &[&[Attack]] = &[
    bombs::ATTACKS,
    compression::ATTACKS,
    control_must_accept::ATTACKS,
    end_of_archive::ATTACKS,
    hardlink_escape::ATTACKS,
    header_differential::ATTACKS,
    metadata_smuggling::ATTACKS,
    names::ATTACKS,
    numbers::ATTACKS,
    path_traversal::ATTACKS,
    pax_differential::ATTACKS,
    resource_limits::ATTACKS,
    root_and_type_swap::ATTACKS,
    sparse::ATTACKS,
    special_files::ATTACKS,
    symlink_escape::ATTACKS,
    transaction_and_race::ATTACKS,
    whiteout::ATTACKS,
];

const fn strict(id: &'static str, kind: ErrorKind, why: &'static str) -> Disagreement {
    Disagreement { id, column: Column::Strict, outcome: Outcome::Reject(kind), why }
}

pub const DISAGREEMENTS: &[Disagreement] = &[
    // The catalogue expects the fault of a later entry, but strict refuses an earlier one.
    strict("wh-through-symlink", SymlinkEscape, "the lower layer holds an absolute symlink"),
    strict("wh-opq-through-symlink", SymlinkEscape, "the lower layer holds an absolute symlink"),
    strict("sym-dotdot-after-dirlink", SymlinkEscape, "the entry before the `..` is an absolute symlink"),
    // Its parents are symlinks, which strict refuses before it looks at the entry; none of them leads out of the root.
    strict("sym-path-max-realpath", SymlinkInPath, "sixteen `..` from a link that is sixteen levels deep end at the root"),
];
