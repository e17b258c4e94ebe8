//! Runs layers in every way there is and compares the whole tree or the whole place of the error.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use safe_layers::{Error, ErrorKind, Expect, LayerReport, Ownership, Policy, Reason, Resolver, Root, Unpacker};

pub use crate::common::builder::{Entry, Tar, tar};
pub use crate::common::canary::World;
pub use crate::common::snapshot::{Data, Kind, Node, Tree, assert_same};

/// The time that the builder gives an entry.
pub const TIME: i64 = 1_700_000_000;

/// One way to do the same.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub resolver: Resolver,
    pub threads: usize,
}

pub const WAYS: [Way; 4] = [
    Way { resolver: Resolver::Openat2, threads: 1 },
    Way { resolver: Resolver::Openat2, threads: 2 },
    Way { resolver: Resolver::Walk, threads: 1 },
    Way { resolver: Resolver::Walk, threads: 2 },
];

impl Way {
    pub fn threads(self) -> NonZeroUsize {
        NonZeroUsize::new(self.threads).unwrap()
    }

    pub fn policy(self, policy: &Policy) -> Policy {
        let mut policy = policy.clone();
        policy.resolver = self.resolver;
        policy
    }
}

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

/// A tree, and what was reported of each layer.
#[derive(Debug)]
pub struct Applied {
    pub tree: Tree,
    pub reports: Vec<LayerReport>,
}

impl Applied {
    /// The events of the last layer: reason and count.
    #[track_caller]
    pub fn events(self, expected: &[(Reason, u64)]) -> Self {
        let expected: BTreeMap<Reason, u64> = expected.iter().copied().collect();
        assert_eq!(*self.reports.last().unwrap().events.counts(), expected);
        self
    }
}

/// Applies the layers in one way and commits.
pub fn run(world: &World, policy: &Policy, layers: &[Tar], way: Way) -> Result<Vec<LayerReport>, Error> {
    let mut unpacker = Unpacker::rootfs(open_root(world.parent()), "dest", way.policy(policy))?.threads(way.threads());
    for layer in layers {
        unpacker.apply(&Expect::dangerous_unverified(), layer.source().open())?;
    }
    Ok(unpacker.commit()?.layers)
}

/// Applies the layers in every way, which must agree; the canary must be as it was, and after an error nothing exposed.
#[track_caller]
pub fn apply(policy: &Policy, layers: &[Tar]) -> Result<Applied, Error> {
    let mut outcome: Option<Result<Applied, Error>> = None;
    for way in WAYS {
        let world = World::new();
        let result = run(&world, policy, layers, way);
        let what = format!("{way:?}");
        world.assert_outside_untouched(&what);
        world.assert_nothing_taken(&what);
        let found = match result {
            Ok(reports) => Ok(Applied { tree: world.tree().unwrap(), reports }),
            Err(error) => {
                world.assert_not_exposed(&what);
                Err(error)
            }
        };
        match (&outcome, &found) {
            (None, _) => {}
            (Some(Ok(first)), Ok(other)) => {
                assert_same(&first.tree, &other.tree, &what);
                assert_eq!(first.reports, other.reports, "{what}");
            }
            (Some(Err(first)), Err(other)) => assert_eq!((first.kind(), first.location()), (other.kind(), other.location()), "{what}"),
            (first, other) => panic!("{what}: the ways disagree: {first:?} and {other:?}"),
        }
        outcome = outcome.or(Some(found));
    }
    outcome.unwrap()
}

/// Applies the layers and compares the whole tree.
#[track_caller]
pub fn gives(policy: &Policy, layers: &[Tar], want: Want) -> Applied {
    match apply(policy, layers) {
        Ok(applied) => {
            assert_same(&want.tree(), &applied.tree, "applied");
            applied
        }
        Err(error) => panic!("refused: {error}"),
    }
}

/// Applies the layers, the last of which must be refused: the kind, the entry and the path; none where no entry is at fault.
#[track_caller]
pub fn refuses(policy: &Policy, layers: &[Tar], kind: ErrorKind, at: impl Into<At>) -> Error {
    let at = at.into();
    match apply(policy, layers) {
        Ok(applied) => panic!("accepted: {:?}", applied.tree.paths()),
        Err(error) => {
            let place = error.location();
            let found = (error.kind(), error.layer(), place.entry, place.path.as_ref().map(|path| path.escape_ascii().to_string()));
            let expected = (kind, Some(layers.len() as u64 - 1), at.0, at.1.map(|path| path.escape_ascii().to_string()));
            assert_eq!(found, expected, "{error}");
            error
        }
    }
}

/// Where an error is.
pub struct At(Option<u64>, Option<Vec<u8>>);

impl At {
    /// In the headers of an entry, before its name is known.
    pub fn entry(entry: u64) -> Self {
        Self(Some(entry), None)
    }
}

/// No entry is at fault.
pub const NOWHERE: At = At(None, None);

impl<P: AsRef<[u8]>> From<(u64, P)> for At {
    fn from((entry, path): (u64, P)) -> Self {
        Self(Some(entry), Some(path.as_ref().to_vec()))
    }
}

/// Writes layers into an existing directory that `prepare` filled, in every way, and compares the whole tree with `want`.
#[track_caller]
pub fn gives_in_place(policy: &Policy, prepare: impl Fn(&Path), layers: &[Tar], want: Want) {
    let want = want.tree();
    for way in WAYS {
        let world = World::new();
        std::fs::create_dir(world.dest_path()).unwrap();
        prepare(&world.dest_path());
        if let Err(error) = run_in_place(&world, policy, layers, way) {
            panic!("{way:?}: {error}");
        }
        world.assert_outside_untouched(&format!("{way:?}"));
        world.assert_nothing_taken(&format!("{way:?}"));
        assert_same(&want, &world.tree().unwrap(), &format!("{way:?}"));
    }
}

pub fn run_in_place(world: &World, policy: &Policy, layers: &[Tar], way: Way) -> Result<(), Error> {
    let mut unpacker = Unpacker::in_place(open_root(&world.dest_path()), way.policy(policy))?.threads(way.threads());
    for layer in layers {
        unpacker.apply(&Expect::dangerous_unverified(), layer.source().open())?;
    }
    unpacker.commit().map(drop)
}

/// The tree that is wanted.
#[derive(Clone)]
pub struct Want {
    nodes: BTreeMap<Vec<u8>, Node>,
    links: Vec<(Vec<u8>, Vec<u8>)>,
    last: Vec<u8>,
}

/// Starts with a new root that has no entry: 0755, time 0.
pub fn tree() -> Want {
    Want { nodes: BTreeMap::new(), links: Vec::new(), last: Vec::new() }.node("", Kind::Dir, 0o755, 0)
}

impl Want {
    pub fn node(mut self, path: impl AsRef<[u8]>, kind: Kind, mode: u32, mtime: i64) -> Self {
        let (uid, gid) = me();
        let nlink = u64::from(kind != Kind::Dir);
        let node = Node { kind, mode, uid, gid, mtime: (mtime, 0), xattrs: BTreeMap::new(), nlink, same_as: None };
        self.last = path.as_ref().to_vec();
        self.nodes.insert(self.last.clone(), node);
        self
    }

    /// A directory with an entry.
    pub fn dir(self, path: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::Dir, 0o755, TIME)
    }

    /// A directory without one.
    pub fn implicit(self, path: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::Dir, 0o755, 0)
    }

    pub fn file(self, path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::File(Data::of(data.as_ref())), 0o644, TIME)
    }

    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::Symlink(target.as_ref().to_vec()), 0o777, TIME)
    }

    pub fn fifo(self, path: impl AsRef<[u8]>) -> Self {
        self.node(path, Kind::Fifo, 0o644, TIME)
    }

    /// A further name of what stands at `target`.
    pub fn hardlink(mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.links.push((path.as_ref().to_vec(), target.as_ref().to_vec()));
        self
    }

    /// Changes the object added last.
    pub fn but(mut self, change: impl FnOnce(&mut Node)) -> Self {
        change(self.nodes.get_mut(&self.last).unwrap());
        self
    }

    pub fn mode(self, mode: u32) -> Self {
        self.but(|node| node.mode = mode)
    }

    pub fn mtime(self, seconds: i64, nanos: u32) -> Self {
        self.but(|node| node.mtime = (seconds, nanos))
    }

    pub fn owner(self, uid: u32, gid: u32) -> Self {
        self.but(|node| (node.uid, node.gid) = (uid, gid))
    }

    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.but(|node| drop(node.xattrs.insert(name.into(), value.as_ref().into())))
    }

    pub fn tree(mut self) -> Tree {
        let mut groups: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for (path, target) in std::mem::take(&mut self.links) {
            let node = self.nodes[&target].clone();
            self.nodes.insert(path.clone(), node);
            groups.entry(target.clone()).or_insert_with(|| vec![target]).push(path);
        }
        for mut group in groups.into_values() {
            group.sort();
            for path in &group {
                let node = self.nodes.get_mut(path).unwrap();
                (node.nlink, node.same_as) = (group.len() as u64, Some(group[0].clone()));
            }
        }
        Tree::from_nodes(self.nodes)
    }
}

impl Want {
    /// The objects of `upper` in place of those here: a directory keeps what is in it, anything else does not.
    pub fn merged(mut self, upper: &Self) -> Self {
        self.links.retain(|(path, _)| !upper.has(path));
        for (path, node) in upper.nodes.iter().filter(|(path, _)| !path.is_empty()) {
            self.make_room(path, &node.kind);
            self.nodes.insert(path.clone(), node.clone());
        }
        for (path, target) in &upper.links {
            self.make_room(path, &Kind::Fifo);
            self.links.push((path.clone(), target.clone()));
        }
        self
    }

    fn has(&self, path: &[u8]) -> bool {
        self.nodes.contains_key(path) || self.links.iter().any(|(link, _)| link == path)
    }

    fn make_room(&mut self, path: &[u8], kind: &Kind) {
        if *kind != Kind::Dir {
            let below = [path, b"/"].concat();
            self.nodes.retain(|other, _| other != path && !other.starts_with(&below));
        }
    }
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

/// A filesystem of its own at a directory, gone with the value.
pub struct Mounted(std::path::PathBuf);

impl Mounted {
    /// None where not even root may mount.
    pub fn new(kind: &str, at: &Path) -> Option<Self> {
        let mounted = std::process::Command::new("mount").args(["-t", kind, "none"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.into()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg(&self.0).status().unwrap();
    }
}
