//! One call on the tree fails, or all from one on: an error or the exact tree, and the same unpack succeeds once the cause is gone.
//!
//! ```text
//! input: flags, call (two bytes), error number, operations as of the target `unpack`
//! flags: 1 strict · 2 all calls after it fail too · 4 overlay form · 8 durable · 16 without openat2
//! ```

use std::fs;
use std::num::NonZeroUsize;

use safe_layers::fault::{Fault, inject};
use safe_layers::{Durability, Error, OverlayForm, Ownership, Policy, Resolver, Unpacked, Unpacker, UnsupportedXattrs, recover};

use super::Accepted;
use super::pass::limited;
use super::unpack::Program;
use super::world::{World, apply_all};
use crate::common::snapshot::{Tree, assert_same};

/// EPERM, EINTR, EIO, EAGAIN, ENOMEM, EACCES, EEXIST, EMFILE, ENOSPC, ENOSYS, EDQUOT.
const ERRNOS: [i32; 11] = [1, 4, 5, 11, 12, 13, 17, 24, 28, 38, 122];

struct Case {
    world: World,
    layers: Vec<Vec<u8>>,
    policy: Policy,
    overlay: bool,
    durability: Durability,
}

pub fn fault(input: &[u8]) -> Accepted {
    let [flags, high, low, errno, program @ ..] = input else { return Accepted::default() };
    let world = World::new();
    let program = Program::read(program, &world.canary());
    let mut policy = limited(if flags & 1 != 0 { Policy::strict() } else { Policy::container() });
    policy.ownership = Ownership::SquashToCaller;
    policy.unsupported_xattrs = UnsupportedXattrs::Event;
    policy.resolver = if flags & 16 != 0 { Resolver::Walk } else { Resolver::Auto };
    let durability = if flags & 8 != 0 { Durability::Tree } else { Durability::None };
    let case = Case { world, layers: program.layers, policy, overlay: flags & 4 != 0, durability };

    let (reference, calls) = inject(Fault::Never, || case.unpack());
    let tree = case.tree();
    case.world.clear();
    let at = u64::from(u16::from_be_bytes([*high, *low])) % (calls.count + 1);
    let errno = ERRNOS[usize::from(*errno) % ERRNOS.len()];
    let fault = if flags & 2 != 0 { Fault::ForEver(at, errno) } else { Fault::Once(at, errno) };
    let (result, calls) = inject(fault, || case.unpack());
    let what = format!("{fault:?} at {:?}", calls.failed);
    case.world.assert_canary();
    match (&reference, &result) {
        (Ok(wanted), Ok(found)) => case.check_success(wanted, found, tree.as_ref().unwrap(), &what),
        (Ok(_), Err(_)) => case.check_refusal(tree.as_ref().unwrap(), flags & 2 == 0, &what),
        (Err(error), Ok(_)) => panic!("{what}: accepted, and without a fault refused: {error}"),
        (Err(_), Err(_)) => assert!(case.tree().is_none(), "{what}: a tree in spite of the error"),
    }
    match reference {
        Ok(unpacked) => Accepted { xattrs: program.xattrs, ..Accepted::of(&unpacked.layers) },
        Err(_) => Accepted::default(),
    }
}

impl Case {
    fn unpack(&self) -> Result<Unpacked, Error> {
        let policy = self.policy.clone();
        let unpacker = if self.overlay {
            Unpacker::overlay(self.world.root()?, "dest", OverlayForm::User, policy)?
        } else {
            Unpacker::rootfs(self.world.root()?, "dest", policy)?
        };
        let unpacker = unpacker.threads(NonZeroUsize::MIN).durability(self.durability);
        apply_all(unpacker, self.layers.iter().map(Vec::as_slice))
    }

    fn tree(&self) -> Option<Tree> {
        let dest = self.world.dest();
        dest.symlink_metadata().ok()?;
        let mut tree = Tree::take(&dest, |_| false);
        if self.overlay {
            // The time of the run.
            tree.nodes.get_mut(&b""[..]).unwrap().mtime = (0, 0);
        }
        Some(tree)
    }

    /// Exact, or with an event for each attribute that is missing.
    fn check_success(&self, wanted: &Unpacked, found: &Unpacked, tree: &Tree, what: &str) {
        let mut now = self.tree().unwrap_or_else(|| panic!("{what}: success without a tree"));
        let events = |unpacked: &Unpacked| unpacked.layers.iter().map(|layer| layer.events.clone()).collect::<Vec<_>>();
        let mut tree = tree.clone();
        if events(wanted) != events(found) {
            for node in tree.nodes.values_mut().chain(now.nodes.values_mut()) {
                node.xattrs.retain(|name, _| name != b"user.x");
            }
        }
        assert_same(&tree, &now, what);
        assert_eq!(self.world.beside(), ["dest"], "{what}");
    }

    /// The name is there only if the tree is: what failed came after it.
    fn check_refusal(&self, tree: &Tree, once: bool, what: &str) {
        if let Some(now) = self.tree() {
            assert_same(tree, &now, what);
            fs::remove_dir_all(self.world.dest()).unwrap();
        }
        let left = self.world.beside().len();
        let recovered = recover(&self.world.root().unwrap()).unwrap();
        assert_eq!(left, recovered.len(), "{what}: recovered {recovered:?}");
        assert!(!once || left <= 1, "{what}: {left} directories left");
        let again = self.unpack();
        assert!(again.is_ok(), "{what}: again: {again:?}");
        assert_same(tree, &self.tree().unwrap(), &format!("{what}: again"));
    }
}
