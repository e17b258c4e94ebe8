//! Entries as of the target `unpack`, with every knob of a policy, in every form and onto what stands there before.
//!
//! ```text
//! input: a setting, operations as of the target `unpack`
//! ```
//!
//! Nothing outside changes, `openat2` and the walk come to the same, a refusal leaves nothing (in place: says so), and what a policy
//! refuses is not in the tree.

use rustix::process::{getegid, geteuid};
use safe_layers::{Devices, Error, Fifos, Hardlinks, Ownership, Policy, Resolver, SpecialBits, Symlinks, Unpacked};

use super::Accepted;
use super::setting::{Form, Setting};
use super::unpack::Program;
use super::world::World;
use crate::common::snapshot::{Kind, Tree, assert_same};

pub fn policies(input: &[u8]) -> Accepted {
    let Some((mut setting, program)) = Setting::read(input) else { return Accepted::default() };
    let world = World::new();
    let program = Program::read(program, &world.canary());
    let first = run(&setting, &world, &program.layers);
    setting.policy.resolver = match setting.policy.resolver {
        Resolver::Walk => Resolver::Auto,
        _ => Resolver::Walk,
    };
    let second = run(&setting, &world, &program.layers);
    assert_eq!(first.0, second.0, "openat2 and the walk differ");
    if let (Some(first), Some(second)) = (&first.1, &second.1) {
        assert_same(first, second, "openat2 and the walk");
    }
    match first {
        (Ok(unpacked), Some(tree)) => {
            check_tree(&tree, &setting);
            let xattrs = tree.nodes.values().map(|node| node.xattrs.len() as u64).sum();
            Accepted { xattrs, ..Accepted::of(&unpacked.layers) }
        }
        _ => Accepted::default(),
    }
}

/// One unpack, and the tree where it was accepted; checked and cleared.
fn run(setting: &Setting, world: &World, layers: &[Vec<u8>]) -> (Result<Unpacked, Error>, Option<Tree>) {
    setting.prepare(world);
    let result = setting.unpack(world, layers);
    world.assert_canary();
    let in_place = setting.form == Form::InPlace;
    let tree = match &result {
        Ok(_) => {
            let mut tree = Tree::take(&world.dest(), |_| false);
            if let (false, Some(top)) = (matches!(setting.form, Form::Rootfs | Form::InPlace), tree.nodes.get_mut(&b""[..])) {
                // The directory of the layers' directories has the time of the run.
                top.mtime = (0, 0);
            }
            // Without the inode numbers, which never repeat.
            Some(Tree::from_nodes(tree.nodes))
        }
        Err(error) => {
            assert!(in_place || world.beside().iter().all(|name| name == "lower"), "something is left after {error}");
            assert_eq!(error.partially_applied(), in_place && error.layer().is_some(), "{error}");
            None
        }
    };
    world.clear();
    world.clear_at(&world.lower());
    (result, tree)
}

/// What no tree of such a policy holds.
fn check_tree(tree: &Tree, setting: &Setting) {
    if setting.form == Form::InPlace {
        return;
    }
    let owner = match setting.policy.ownership {
        Ownership::Squash { uid, gid } => Some((uid, gid)),
        Ownership::SquashToCaller => Some((geteuid().as_raw(), getegid().as_raw())),
        _ => None,
    };
    let Policy { devices, fifos, symlinks, hardlinks, special_bits, .. } = &setting.policy;
    for (path, node) in &tree.nodes {
        let what = path.escape_ascii();
        match node.kind {
            Kind::Char(number) if number != 0 => assert!(*devices == Devices::Create, "a device at {what}"),
            Kind::Char(_) => assert!(setting.makes_devices(), "a whiteout at {what}"),
            Kind::Block(_) => assert!(*devices == Devices::Create, "a device at {what}"),
            Kind::Fifo => assert!(*fifos == Fifos::Create, "a FIFO at {what}"),
            Kind::Symlink(_) => assert!(*symlinks != Symlinks::Reject, "a symlink at {what}"),
            Kind::Socket => panic!("a socket at {what}"),
            Kind::Dir | Kind::File(_) => {}
        }
        // In overlay form whiteouts and the directory of the layers' directories are the caller's.
        let made = setting.form == Form::Rootfs || !(path.is_empty() || node.kind == Kind::Char(0));
        assert!(!made || owner.is_none_or(|owner| owner == (node.uid, node.gid)), "{}:{} has {what}", node.uid, node.gid);
        assert!(node.nlink < 2 || *hardlinks != Hardlinks::Reject, "a hardlink at {what}");
        assert!(node.mode & 0o7000 == 0 || *special_bits == SpecialBits::Keep, "mode {:o} at {what}", node.mode);
    }
}
