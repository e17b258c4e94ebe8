//! What the rows of the suite are written with: policies, layers, expected trees, and the helpers that run a case in every way.

mod child;
mod dump;
mod flat;
pub mod overlay;
pub mod overlay_engine;
mod places;
mod run;
mod want;
mod ways;

use std::path::Path;

use safe_layers::{Ownership, Policy, Root};

pub use child::{User, child_dir, done, in_a_child};
pub use places::{Mounted, Place, places};
pub use run::{Applied, At, apply, gives, gives_in_place, gives_of_blobs, refuses, run, run_in_place};
pub use want::{Want, tree};
pub use ways::{Way, ways};

pub use crate::common::builder::{Entry, Source, Tar, tar};
pub use crate::common::canary::World;
pub use crate::common::snapshot::{Data, Kind, Node, Tree, assert_same};

/// The time that the builder gives an entry.
pub const TIME: i64 = 1_700_000_000;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the test may go on, which needs root; says why where it does not.
pub fn needs_root(why: &str) -> bool {
    if !is_root() {
        eprintln!("skipped: {why} needs root");
    }
    is_root()
}

/// The ids of the process.
pub fn me() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

pub fn strict() -> Policy {
    Policy::strict()
}

/// The policy for images that this user may run: an ordinary one cannot give files away.
pub fn container() -> Policy {
    if is_root() { Policy::container() } else { Policy::rootless() }
}

/// Both, where a rule is the same for both.
pub fn both() -> [Policy; 2] {
    [strict(), container()]
}

pub fn with(mut policy: Policy, change: impl FnOnce(&mut Policy)) -> Policy {
    change(&mut policy);
    policy
}

/// As `policy`, all owned by the caller.
pub fn mine(policy: Policy) -> Policy {
    with(policy, |policy| policy.ownership = Ownership::SquashToCaller)
}

pub fn open_root(path: &Path) -> Root {
    Root::open_ambient(path, cap_std::ambient_authority()).unwrap()
}

/// A POSIX ACL as the kernel stores it (version 2): tag and permissions of entries without an id.
pub fn acl(entries: &[(u16, u16)]) -> Vec<u8> {
    let entries =
        entries.iter().flat_map(|(tag, permissions)| [tag.to_le_bytes(), permissions.to_le_bytes(), [0xff; 2], [0xff; 2]].concat());
    2_u32.to_le_bytes().into_iter().chain(entries).collect()
}

/// As [`acl`], each entry with its id.
pub fn named_acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(tag, permissions, id)| {
        [tag.to_le_bytes().to_vec(), permissions.to_le_bytes().to_vec(), id.to_le_bytes().to_vec()].concat()
    });
    2_u32.to_le_bytes().into_iter().chain(entries).collect()
}
