//! What an attack is, and how each is run and judged.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use safe_layers::{Compression, Error, ErrorKind, Policy, Unpacked};

use crate::common::builder::{Source, Tar};
use crate::common::canary::World;
use crate::common::engine::{self, Form, Mode};
use crate::common::overlaid::overlaid;
use crate::common::snapshot::{Data, Kind, Tree};
use crate::corpus::DISAGREEMENTS;

/// Declares the attacks of a class, a test for each, and `ATTACKS`, the list of them.
///
/// An attack: its title as the doc comment, its name (the identifier with `-` for `_`), the published identifiers of the holes it
/// was, what strict and container must do, and the layers for a [`World`].
macro_rules! attacks {
    ($($(#[doc = $title:literal])+ $name:ident $ids:literal [$strict:expr, $container:expr] |$world:pat_param| $case:expr;)*) => {
        pub const ATTACKS: &[$crate::harness::Attack] = &[$($name::ATTACK,)*];

        $(mod $name {
            #[allow(unused_imports)]
            use super::*;

            pub const ATTACK: $crate::harness::Attack = $crate::harness::Attack {
                name: stringify!($name),
                title: concat!($($title),+),
                ids: $ids,
                strict: $strict,
                container: $container,
                case: |$world| $crate::harness::Case::from($case),
            };

            #[test]
            fn is_held() {
                $crate::harness::judge(&ATTACK);
            }
        })*
    };
}
pub(crate) use attacks;

/// One case of the catalogue.
#[derive(Clone, Copy)]
pub struct Attack {
    pub name: &'static str,
    pub title: &'static str,
    /// CVE, GHSA and RUSTSEC identifiers of software that fell to it.
    pub ids: &'static str,
    pub strict: Outcome,
    pub container: Outcome,
    pub case: fn(&World) -> Case,
}

impl Attack {
    /// The identifier in the catalogue.
    pub fn id(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The bytes of its first layer.
    pub fn layer_bytes(&self, world: &World) -> Vec<u8> {
        (self.case)(world).layers[0].bytes()
    }

    pub fn expected(&self, column: Column) -> Outcome {
        let disagreement = DISAGREEMENTS.iter().find(|entry| entry.id == self.id() && entry.column == column);
        match (disagreement, column) {
            (Some(entry), _) => entry.outcome,
            (None, Column::Strict) => self.strict,
            (None, Column::Container) => self.container,
        }
    }
}

/// What must become of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An error of this kind.
    Reject(ErrorKind),
    /// Success, with all that must be there.
    Accept,
    /// Success or a typed error, while nothing escapes.
    Contain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Strict,
    Container,
}

impl Column {
    pub fn policy(self) -> Policy {
        match self {
            Self::Strict => Policy::strict(),
            Self::Container => engine::container_for_caller(),
        }
    }
}

/// Where the rules of this crate and the catalogue disagree, the rules win.
pub struct Disagreement {
    pub id: &'static str,
    pub column: Column,
    pub outcome: Outcome,
    pub why: &'static str,
}

/// Something in the destination before the layer comes.
pub enum Plant {
    Symlink(&'static str, String),
    Hardlink(&'static str, &'static str),
    Fifo(&'static str),
}

/// Something that the tree must show after success.
pub enum Seen {
    There(Vec<u8>),
    NotThere(Vec<u8>),
    File(Vec<u8>, Vec<u8>),
    AnyFile(Vec<u8>),
    Dir(Vec<u8>),
    Link(Vec<u8>, Vec<u8>),
    Mode(&'static str, u32),
    Uid(&'static str, u32),
    Xattr(&'static str, &'static str),
    NoXattr(&'static str, &'static str),
}

/// The layers of an attack, what stands in the destination before, and what must be seen after.
pub struct Case {
    pub layers: Vec<Source>,
    pub declared: Option<Compression>,
    pub plants: Vec<Plant>,
    pub policy: fn(&mut Policy),
    seen: Vec<Seen>,
    pub swapped: Option<(&'static str, String)>,
    pub slow: bool,
}

impl From<Tar> for Case {
    fn from(tar: Tar) -> Self {
        tar.source().into()
    }
}

impl From<Source> for Case {
    fn from(layer: Source) -> Self {
        layers([layer])
    }
}

/// A stack of layers, bottom first.
pub fn layers<const N: usize>(layers: [impl Into<Source>; N]) -> Case {
    Case {
        layers: layers.into_iter().map(Into::into).collect(),
        declared: None,
        plants: Vec::new(),
        policy: |_| {},
        seen: Vec::new(),
        swapped: None,
        slow: false,
    }
}

/// The details of a case, added to its last layer or to the case itself.
pub trait Details: Into<Case> {
    fn seen(self, seen: Seen) -> Case {
        let mut case = self.into();
        case.seen.push(seen);
        case
    }

    fn plant(self, plant: Plant) -> Case {
        let mut case = self.into();
        case.plants.push(plant);
        case
    }

    /// The format that strict is told; container is told none.
    fn declared(self, compression: Compression) -> Case {
        Case { declared: Some(compression), ..self.into() }
    }

    /// Changes the policy of both columns: for limits.
    fn with(self, policy: fn(&mut Policy)) -> Case {
        Case { policy, ..self.into() }
    }

    /// Runs in one mode for each column only.
    fn slow(self) -> Case {
        Case { slow: true, ..self.into() }
    }

    /// Another thread swaps the directory `path` for a symlink to `target`, and back, while the layer is applied.
    fn swapped(self, path: &'static str, target: String) -> Case {
        Case { swapped: Some((path, target)), ..self.into() }
    }

    fn over_symlink(self, path: &'static str, target: impl Into<String>) -> Case {
        self.plant(Plant::Symlink(path, target.into()))
    }

    /// `outside` is relative to the world.
    fn over_hardlink(self, path: &'static str, outside: &'static str) -> Case {
        self.plant(Plant::Hardlink(path, outside))
    }

    fn over_fifo(self, path: &'static str) -> Case {
        self.plant(Plant::Fifo(path))
    }

    fn there(self, path: impl AsRef<[u8]>) -> Case {
        self.seen(Seen::There(path.as_ref().into()))
    }

    fn not_there(self, path: impl AsRef<[u8]>) -> Case {
        self.seen(Seen::NotThere(path.as_ref().into()))
    }

    fn file_there(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Case {
        self.seen(Seen::File(path.as_ref().into(), content.as_ref().into()))
    }

    fn any_file_there(self, path: impl AsRef<[u8]>) -> Case {
        self.seen(Seen::AnyFile(path.as_ref().into()))
    }

    fn dir_there(self, path: impl AsRef<[u8]>) -> Case {
        self.seen(Seen::Dir(path.as_ref().into()))
    }

    fn link_there(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Case {
        self.seen(Seen::Link(path.as_ref().into(), target.as_ref().into()))
    }

    fn mode_there(self, path: &'static str, mode: u32) -> Case {
        self.seen(Seen::Mode(path, mode))
    }

    fn uid_there(self, path: &'static str, uid: u32) -> Case {
        self.seen(Seen::Uid(path, uid))
    }

    fn xattr_there(self, path: &'static str, name: &'static str) -> Case {
        self.seen(Seen::Xattr(path, name))
    }

    fn no_xattr(self, path: &'static str, name: &'static str) -> Case {
        self.seen(Seen::NoXattr(path, name))
    }
}

impl<T: Into<Case>> Details for T {}

/// Longer than any case takes on a loaded machine: what runs longer hangs.
const HANG: Duration = Duration::from_secs(300);

/// Runs an attack in every mode and under both policies, and panics with all that is wrong.
#[track_caller]
pub fn judge(attack: &'static Attack) {
    let (done, judged) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let wrong = judge_columns(attack);
        done.send(()).unwrap();
        wrong
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = judged.recv_timeout(HANG) {
        panic!("{} hangs: {}", attack.id(), attack.title);
    }
    match worker.join() {
        Ok(wrong) => assert!(wrong.is_empty(), "{} ({}):\n{}", attack.id(), attack.title.trim(), wrong.join("\n")),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn judge_columns(attack: &Attack) -> Vec<String> {
    let world = World::new();
    let mut wrong = Vec::new();
    for column in [Column::Strict, Column::Container] {
        let case = (attack.case)(&world);
        for modes in case.modes(column) {
            let mut first: Option<Result<Tree, ErrorKind>> = None;
            for mode in modes {
                let what = format!("{} under {column:?}, {mode:?}", attack.id());
                let result = case.run(&world, column, mode, &what);
                if let Some(fault) = case.fault(attack.expected(column), column, &result) {
                    wrong.push(format!("  {column:?}, {mode:?}: {fault}"));
                }
                let result = result.map_err(|error| error.kind());
                match &first {
                    _ if case.swapped.is_some() => {}
                    None => first = Some(result),
                    Some(first) => wrong.extend(difference(first, &result).map(|diff| format!("  {column:?}, {mode:?}: {diff}"))),
                }
            }
        }
    }
    wrong
}

/// I5: neither the sizes of the reads, nor the resolver, nor the number of threads shows in the result.
fn difference(first: &Result<Tree, ErrorKind>, now: &Result<Tree, ErrorKind>) -> Option<String> {
    match (first, now) {
        (Ok(first), Ok(now)) if first.nodes == now.nodes => None,
        (Ok(first), Ok(now)) => Some(format!("not the tree of the first mode:\n{}", first.diff(now))),
        (Err(first), Err(now)) if first == now => None,
        _ => Some(format!("{:?}, but in the first mode {:?}", now.as_ref().map(Tree::paths), first.as_ref().map(Tree::paths))),
    }
}

impl Case {
    /// The modes, in groups of which all must give the same.
    fn modes(&self, column: Column) -> Vec<Vec<Mode>> {
        match (self.slow, column) {
            _ if self.swapped.is_some() => vec![Mode::ROOTFS[1..2].to_vec(), Mode::IN_PLACE[..1].to_vec()],
            (true, Column::Strict) => vec![Mode::ROOTFS[..1].to_vec()],
            (true, Column::Container) => vec![Mode::ROOTFS[1..2].to_vec()],
            (false, _) if self.plants.is_empty() => vec![Mode::ROOTFS.to_vec(), Mode::IN_PLACE.to_vec(), Mode::OVERLAY.to_vec()],
            (false, _) => vec![Mode::IN_PLACE.to_vec()],
        }
    }

    /// Unpacks once and checks the invariants, whatever the outcome.
    #[track_caller]
    fn run(&self, world: &World, column: Column, mode: Mode, what: &str) -> Result<Tree, Error> {
        world.clear();
        if mode.form == Form::InPlace {
            fs::create_dir(world.dest_path()).unwrap();
        }
        self.plants.iter().for_each(|plant| plant.put(world));
        let mut policy = column.policy();
        (self.policy)(&mut policy);
        let result = self.unpack(world.parent(), mode, policy, self.declared.filter(|_| column == Column::Strict));
        match self.plants.iter().find_map(Plant::outside) {
            Some(outside) => world.assert_outside_untouched_but_links(what, outside),
            None => world.assert_outside_untouched(what),
        }
        world.assert_nothing_taken(what);
        match result {
            Ok(unpacked) => Ok(comparable(world, &unpacked, mode.form)),
            Err(error) => {
                if mode.form != Form::InPlace {
                    world.assert_not_exposed(what);
                }
                Err(error)
            }
        }
    }

    fn unpack(&self, parent: &Path, mode: Mode, policy: Policy, declared: Option<Compression>) -> Result<Unpacked, Error> {
        let mut unpacker = engine::unpacker(parent, mode, policy)?;
        let swapper = self.swapped.as_ref().map(|(path, target)| Swapper::start(parent, path, target));
        let result = self.layers.iter().try_for_each(|layer| engine::apply(&mut unpacker, mode, layer, declared).map(drop));
        drop(swapper);
        result?;
        unpacker.commit()
    }

    /// What is wrong with a result, if anything is.
    fn fault(&self, expected: Outcome, column: Column, result: &Result<Tree, Error>) -> Option<String> {
        let fits = match (expected, result) {
            (Outcome::Reject(kind), Err(error)) => kind == error.kind(),
            (Outcome::Accept, Ok(_)) => true,
            // An error of the operating system is a refusal that nobody thought of, unless somebody works against the unpacker.
            (Outcome::Contain, Err(error)) => error.kind() != ErrorKind::Io || self.swapped.is_some(),
            (Outcome::Contain, Ok(_)) => true,
            _ => false,
        };
        match result {
            _ if !fits => Some(format!("expected {expected:?}, got {:?}", result.as_ref().map(Tree::paths).map_err(ToString::to_string))),
            Ok(tree) => self.seen.iter().find_map(|seen| seen.fault(tree, column)),
            Err(_) => None,
        }
    }
}

/// Gives the tree, without what differs from run to run: in place, the times of what the world itself made. Of an overlay, what
/// its mount shows.
fn comparable(world: &World, unpacked: &Unpacked, form: Form) -> Tree {
    if form == Form::Overlay {
        let layers: Vec<_> =
            unpacked.visible_layers().iter().rev().map(|name| Tree::take(&world.dest_path().join(name), |_| false)).collect();
        return overlaid(&layers);
    }
    let mut tree = world.tree().unwrap();
    if form == Form::InPlace {
        tree.nodes.values_mut().for_each(|node| node.mtime = (0, 0));
    }
    tree
}

impl Plant {
    pub fn put(&self, world: &World) {
        let dest = world.dest_path();
        match self {
            Self::Symlink(path, target) => symlink(target, dest.join(path)).unwrap(),
            Self::Hardlink(path, outside) => fs::hard_link(world.parent().join(outside), dest.join(path)).unwrap(),
            Self::Fifo(path) => rustix::fs::mkfifoat(rustix::fs::CWD, dest.join(path), rustix::fs::Mode::RUSR).unwrap(),
        }
    }

    pub fn outside(&self) -> Option<&'static str> {
        if let Self::Hardlink(_, outside) = self { Some(outside) } else { None }
    }
}

impl Seen {
    fn fault(&self, tree: &Tree, column: Column) -> Option<String> {
        // Strict gives everything to the caller and strips special bits; so does container for an ordinary user.
        let as_in_the_archive = column == Column::Container && engine::is_root();
        let (path, holds) = match self {
            Self::There(path) => (&path[..], tree.get(path).is_some()),
            Self::NotThere(path) => (&path[..], tree.get(path).is_none()),
            Self::File(path, content) => (&path[..], kind(tree, path) == Some(&Kind::File(Data::of(content)))),
            Self::AnyFile(path) => (&path[..], matches!(kind(tree, path), Some(Kind::File(_)))),
            Self::Dir(path) => (&path[..], kind(tree, path) == Some(&Kind::Dir)),
            Self::Link(path, target) => (&path[..], kind(tree, path) == Some(&Kind::Symlink(target.clone()))),
            Self::Mode(path, mode) => (path.as_bytes(), !as_in_the_archive || tree.get(path).is_some_and(|node| node.mode == *mode)),
            Self::Uid(path, uid) => (path.as_bytes(), !as_in_the_archive || tree.get(path).is_some_and(|node| node.uid == *uid)),
            Self::Xattr(path, name) => (path.as_bytes(), !as_in_the_archive || has_xattr(tree, path, name)),
            Self::NoXattr(path, name) => (path.as_bytes(), !has_xattr(tree, path, name)),
        };
        (!holds).then(|| format!("{} is not as it must be: {:?} of {:?}", path.escape_ascii(), tree.get(path), tree.paths()))
    }
}

fn kind<'t>(tree: &'t Tree, path: &[u8]) -> Option<&'t Kind> {
    tree.get(path).map(|node| &node.kind)
}

fn has_xattr(tree: &Tree, path: &str, name: &str) -> bool {
    tree.get(path).is_some_and(|node| node.xattrs.contains_key(name.as_bytes()))
}

/// A hostile process that swaps a directory of the tree for a symlink and back, as fast as it can, until it is dropped.
pub struct Swapper {
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapper {
    pub fn start(parent: &Path, path: &'static str, target: &str) -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let (parent, target, stopped) = (parent.to_path_buf(), target.to_owned(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some(root) = root_below(&parent) else { continue };
                let (dir, aside) = (root.join(path), root.join("aside"));
                if fs::rename(&dir, &aside).is_ok() {
                    symlink(&target, &dir).ok();
                    std::thread::yield_now();
                    fs::remove_file(&dir).ok();
                    fs::rename(&aside, &dir).ok();
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The root that is written now: the staging directory, else the destination.
fn root_below(parent: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(parent).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect::<Vec<_>>();
    let staged = names.iter().find(|name| name.starts_with(".dest."));
    staged.or_else(|| names.iter().find(|name| *name == "dest")).map(|name| parent.join(name))
}
