//! Calls on the tree fail: an error or the exact tree, and the same unpack succeeds once the cause is gone.
//!
//! ```text
//! input: flags, call (two bytes), error number, a setting, operations as of the target `unpack`
//! flags: 1 all calls after it fail too · 2 all of one name instead, see [`NAMED`] · 4 the calls after it in turn
//! ```

use safe_layers::fault::{Fault, inject};
use safe_layers::{Error, Reason, Unpacked, recover};

use super::Accepted;
use super::setting::{Form, Setting};
use super::unpack::Program;
use super::world::World;
use crate::common::snapshot::{Kind, Tree, assert_same};

/// EPERM, EINTR, EIO, EAGAIN, ENOMEM, EACCES, EEXIST, EMFILE, ENOSPC, ENOSYS, EDQUOT, EXDEV, EINVAL, ELOOP.
///
/// Not ENOENT nor ENOTSUP: one such answer of a filesystem that says otherwise else would be a lie about what is there.
const ERRNOS: [i32; 14] = [1, 4, 5, 11, 12, 13, 17, 24, 28, 38, 122, 18, 22, 40];

/// Calls that a kernel, a filesystem or a sandbox may lack, and how they say so.
const NAMED: [(&str, i32); 12] = [
    ("openat2", 38),
    ("statx", 38),
    ("renameat_with", 22),
    ("fsetxattr", 95),
    ("fsetxattr", 1),
    ("ioctl_ficlone", 95),
    ("seek", 22),
    ("syncfs", 38),
    ("fstatfs", 38),
    ("futimens", 1),
    ("mknodat", 1),
    ("fchown", 1),
];

/// Calls of one input that fail in turn.
const IN_TURN: u64 = 64;

struct Case {
    world: World,
    layers: Vec<Vec<u8>>,
    setting: Setting,
}

pub fn fault(input: &[u8]) -> Accepted {
    let [flags, high, low, errno, rest @ ..] = input else { return Accepted::default() };
    let Some((mut setting, program)) = Setting::read(rest) else { return Accepted::default() };
    // Faults are of the thread that asks for them.
    setting.threads = 1;
    let world = World::new();
    let program = Program::read(program, &world.canary());
    let case = Case { world, layers: program.layers, setting };

    let (reference, calls) = inject(Fault::Never, || case.unpack());
    let tree = reference.is_ok().then(|| case.tree()).flatten();
    case.clear();
    let number = u16::from_be_bytes([*high, *low]);
    let first = u64::from(number) % (calls.count + 1);
    let errno = ERRNOS[usize::from(*errno) % ERRNOS.len()];
    let (name, refusal) = NAMED[usize::from(number) % NAMED.len()];
    let in_turn = if flags & 4 != 0 { IN_TURN } else { 1 };
    for at in first..calls.count.max(1).min(first + in_turn) {
        case.check(
            match flags & 3 {
                0 => Fault::Once(at, errno),
                1 => Fault::ForEver(at, errno),
                _ => Fault::Named(name, refusal),
            },
            &reference,
            tree.as_ref(),
        );
    }
    match reference {
        Ok(unpacked) => Accepted { xattrs: program.xattrs, ..Accepted::of(&unpacked.layers) },
        Err(_) => Accepted::default(),
    }
}

impl Case {
    /// One run with a fault, compared to the one without.
    fn check(&self, fault: Fault, reference: &Result<Unpacked, Error>, tree: Option<&Tree>) {
        self.clear();
        let (result, calls) = inject(fault, || self.unpack());
        let what = format!("{fault:?} at {:?}", calls.failed);
        self.world.assert_canary();
        match (reference, &result) {
            (Ok(wanted), Ok(found)) => self.check_success(wanted, found, tree.unwrap(), &what),
            (Ok(_), Err(_)) if self.is_in_place() => {}
            (Ok(_), Err(_)) => self.check_refusal(tree.unwrap(), matches!(fault, Fault::Once(..)), &what),
            (Err(error), Ok(_)) => panic!("{what}: accepted, and without a fault refused: {error}"),
            (Err(_), Err(_)) => assert!(self.is_in_place() || self.tree().is_none(), "{what}: a tree in spite of the error"),
        }
    }

    fn unpack(&self) -> Result<Unpacked, Error> {
        if !self.world.dest().exists() {
            self.setting.prepare(&self.world);
        }
        self.setting.unpack(&self.world, &self.layers)
    }

    fn is_in_place(&self) -> bool {
        self.setting.form == Form::InPlace
    }

    fn clear(&self) {
        self.world.clear();
        self.world.clear_at(&self.world.lower());
    }

    fn tree(&self) -> Option<Tree> {
        let dest = self.world.dest();
        dest.symlink_metadata().ok()?;
        let mut tree = Tree::take(&dest, |_| false);
        if !matches!(self.setting.form, Form::Rootfs | Form::InPlace) {
            // The directory of the layers' directories has the time of the run.
            tree.nodes.get_mut(&b""[..]).unwrap().mtime = (0, 0);
        }
        Some(tree)
    }

    /// Exact, or with an event for each attribute that is missing and each time that was not set back.
    fn check_success(&self, wanted: &Unpacked, found: &Unpacked, tree: &Tree, what: &str) {
        let mut now = self.tree().unwrap_or_else(|| panic!("{what}: success without a tree"));
        let events = |unpacked: &Unpacked| unpacked.layers.iter().map(|layer| layer.events.clone()).collect::<Vec<_>>();
        let mut tree = tree.clone();
        if events(wanted) != events(found) {
            for node in tree.nodes.values_mut().chain(now.nodes.values_mut()) {
                node.xattrs.clear();
            }
        }
        if found.layers.iter().any(|layer| layer.events.count(Reason::TimeNotRestored) > 0) {
            for node in tree.nodes.values_mut().chain(now.nodes.values_mut()).filter(|node| node.kind == Kind::Dir) {
                node.mtime = (0, 0);
            }
        }
        assert_same(&tree, &now, what);
        assert!(self.beside().is_empty(), "{what}: {:?}", self.beside());
    }

    /// What stands there that is not meant to.
    fn beside(&self) -> Vec<std::ffi::OsString> {
        self.world.beside().into_iter().filter(|name| name != "dest" && name != "lower").collect()
    }

    /// The name is there only if the tree is: what failed came after it.
    fn check_refusal(&self, tree: &Tree, once: bool, what: &str) {
        if let Some(now) = self.tree() {
            assert_same(tree, &now, what);
            self.world.clear();
        }
        let left = self.beside().len();
        let recovered = recover(&self.world.root().unwrap()).unwrap();
        assert_eq!(left, recovered.len(), "{what}: recovered {recovered:?}");
        assert!(!once || left <= 1, "{what}: {left} directories left");
        let again = self.unpack();
        assert!(again.is_ok(), "{what}: again: {again:?}");
        assert_same(tree, &self.tree().unwrap(), &format!("{what}: again"));
    }
}
