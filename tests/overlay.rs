//! Layers in overlay form, as they are on disk: what is made to hide what, what is dropped, what is taken over from below.
//!
//! That the mounted overlay is the merged tree is shown elsewhere, through real mounts.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use common::builder::{Entry, Tar, tar};
use common::engine::{container_for_caller, is_root};
use common::overlaid::overlaid;
use common::snapshot::{Kind, Tree, assert_same};
use safe_layers::{Error, ErrorKind, Expect, LowerLayers, OverlayForm, Policy, Reason, Resolver, Root, Unpacked, Unpacker};
use tempfile::TempDir;

const OPAQUE: &[u8] = b"user.overlay.opaque";
const RESOLVERS: [Resolver; 2] = [Resolver::Openat2, Resolver::Walk];

fn open(path: &Path) -> Root {
    Root::open_ambient(path, cap_std::ambient_authority()).unwrap()
}

/// Applies the layers and commits to `parent/dest`.
fn apply(mut unpacker: Unpacker, layers: &[Tar]) -> Result<Unpacked, Error> {
    for layer in layers {
        unpacker.apply(&Expect::dangerous_unverified(), layer.source().open())?;
    }
    unpacker.commit()
}

fn unpack_with(parent: &Path, policy: Policy, layers: &[Tar]) -> Result<Unpacked, Error> {
    apply(Unpacker::overlay(open(parent), "dest", OverlayForm::User, policy)?, layers)
}

/// What the layers became: one tree for each, the same with both resolvers.
struct Stack {
    dir: TempDir,
    unpacked: Unpacked,
    trees: Vec<Tree>,
}

#[track_caller]
fn stack(layers: &[Tar]) -> Stack {
    stack_with(&container_for_caller(), layers)
}

#[track_caller]
fn stack_with(policy: &Policy, layers: &[Tar]) -> Stack {
    let [first, second] = RESOLVERS.map(|resolver| {
        let dir = tempfile::tempdir().unwrap();
        let mut policy = policy.clone();
        policy.resolver = resolver;
        let unpacked = unpack_with(dir.path(), policy, layers).unwrap();
        let trees = (0..layers.len()).map(|layer| Tree::take(&dir.path().join(format!("dest/{layer}")), |_| false)).collect();
        Stack { dir, unpacked, trees }
    });
    assert_eq!(first.unpacked, second.unpacked);
    for (one, other) in first.trees.iter().zip(&second.trees) {
        assert_same(one, other, "openat2 and the walk");
    }
    first
}

impl Stack {
    fn top(&self) -> &Tree {
        self.trees.last().unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("dest").join(path)
    }

    fn events(&self, reason: Reason) -> u64 {
        self.unpacked.layers.last().unwrap().events.count(reason)
    }

    /// Whether the top layer hides `path` of those below.
    fn hides(&self, path: &str) -> bool {
        self.top().get(path).is_some_and(|node| node.kind == Kind::Char(0))
    }

    fn is_opaque(&self, path: &str) -> bool {
        self.top().get(path).unwrap().xattrs.get(OPAQUE).is_some_and(|value| value == b"y")
    }
}

fn lower() -> Tar {
    tar().dir("d").file("d/x", "1").dir("d/sub").file("d/sub/w", "2").file("f", "3").symlink("s", "d")
}

#[test]
fn each_layer_has_a_directory_and_the_whole_is_private() {
    let stack = stack(&[lower(), tar().file("g", "")]);
    assert_eq!(fs::metadata(stack.path("")).unwrap().permissions().mode() & 0o7777, 0o700);
    let names: Vec<_> = fs::read_dir(stack.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2);
    assert_eq!(stack.top().paths(), ["g"]);
    for tree in &stack.trees {
        assert_eq!(tree.get("").map(|root| (root.mode, root.mtime)), Some((0o755, (0, 0))));
    }
    assert_eq!(stack.unpacked.form, Some(OverlayForm::User));
}

#[test]
fn a_marker_hides_a_name_by_a_whiteout_and_one_that_hides_nothing_is_dropped() {
    let markers = ["no/such/.wh.f", ".wh.f", "d/.wh.x", "d/.wh.none", ".wh.gone", "s/sub/.wh.w"];
    let upper = markers.iter().fold(tar(), |tar, name| tar.file(name, ""));
    let stack = stack(&[lower(), upper]);
    assert_eq!(stack.top().paths(), ["d", "d/sub", "d/sub/w", "d/x", "f"]);
    assert!(stack.hides("f") && stack.hides("d/x") && stack.hides("d/sub/w"));
    assert_eq!(stack.unpacked.layers[1].entries.whiteouts, 6);
    // What the marker's directory is, it stays.
    assert_eq!(stack.top().get("d"), stack.trees[0].get("d"));
}

#[test]
fn a_directory_in_the_place_of_a_hidden_one_is_opaque_in_any_order() {
    for upper in [tar().file(".wh.d", "").dir("d").file("d/y", ""), tar().dir("d").file("d/y", "").file(".wh.d", "")] {
        let stack = stack(&[lower(), upper]);
        assert_eq!(stack.top().paths(), ["d", "d/y"]);
        assert!(stack.is_opaque("d"));
    }
    // Not where only a file is hidden, nor where nothing is.
    let stack = stack(&[lower(), tar().file(".wh.f", "").dir("f").file(".wh.none", "").dir("none").dir("d")]);
    assert!(!stack.is_opaque("f") && !stack.is_opaque("none") && !stack.is_opaque("d"));
}

#[test]
fn a_directory_over_an_earlier_object_of_the_layer_shows_nothing_of_a_lower_one() {
    for upper in [tar().file("d", "").dir("d"), tar().symlink("d", "f").dir("d"), tar().file("d", "").file("d/y", "")] {
        let stack = stack(&[lower(), upper]);
        assert!(stack.is_opaque("d"));
        assert!(stack.top().get("d/x").is_none());
    }
}

#[test]
fn an_entry_replaces_a_whiteout_and_is_spared_by_a_later_one() {
    for upper in [tar().file(".wh.f", "").file("f", "new"), tar().file("f", "new").file(".wh.f", "")] {
        let stack = stack(&[lower(), upper]);
        assert!(matches!(stack.top().get("f").unwrap().kind, Kind::File(_)));
        assert_eq!(stack.events(Reason::DuplicateEntry), 0);
    }
}

#[test]
fn whiteouts_below_a_directory_that_is_hidden_whole_are_not_left() {
    // In a directory that is not merged the kernel would list them.
    let upper = tar().file("d/.wh.x", "").file("d/sub/.wh.w", "").file("d/y", "").file(".wh.d", "");
    let stack = stack(&[lower(), upper]);
    assert_eq!(stack.top().paths(), ["d", "d/y"]);
    assert!(stack.is_opaque("d"));
    let upper = tar().file("d/.wh.x", "").file("d/sub/.wh.w", "").file(".wh.d", "");
    let stack = self::stack(&[lower(), upper]);
    assert_eq!(stack.top().paths(), ["d"]);
    assert!(stack.hides("d"));
}

#[test]
fn an_opaque_root_is_told_and_cuts_the_list_for_the_mount() {
    let stack = stack(&[lower(), tar().file("g", "").file(".wh..wh..opq", ""), tar().file("d/y", "").file(".wh.f", "")]);
    let opaque: Vec<_> = stack.unpacked.layers.iter().map(|layer| layer.root_opaque).collect();
    assert_eq!(opaque, [false, true, false]);
    assert_eq!(stack.unpacked.visible_layers(), ["2", "1"]);
    assert_eq!(stack.unpacked.lowerdir("/x").unwrap(), "/x/2:/x/1");
    // Nothing below shows any more: neither the directory nor the file.
    assert_eq!(stack.top().get("d").unwrap().mtime, (0, 0));
    assert_eq!(stack.top().paths(), ["d", "d/y"]);
}

#[test]
fn the_list_for_the_mount_is_escaped() {
    let stack = stack(&[tar(), tar()]);
    assert_eq!(stack.unpacked.lowerdir("/a:b,c\\d").unwrap(), "/a\\:b\\,c\\\\d/1:/a\\:b\\,c\\\\d/0");
    assert_eq!(stack.unpacked.lowerdir("").unwrap(), "/1:/0");
}

#[test]
fn an_implicit_parent_takes_the_lower_directorys_attributes() {
    let lower = tar()
        .add(Entry::dir("").mode(0o711).mtime(4))
        .add(Entry::dir("d").mode(0o2710).mtime(5).pax("SCHILY.xattr.user.a", "1"))
        .add(Entry::dir("d/e").mode(0o500).mtime(6));
    let stack = stack(&[lower, tar(), tar().file("d/e/f", "")]);
    for path in ["", "d", "d/e"] {
        assert_eq!(stack.top().get(path), stack.trees[0].get(path), "{path}");
    }
    assert_eq!(stack.events(Reason::LowerUnknown), 0);
}

#[test]
fn a_parent_that_is_a_symlink_in_a_lower_layer_leads_on_as_in_one_tree() {
    let lower = tar().dir("usr").dir("usr/lib").symlink("lib", "/usr/lib").symlink("dangling", "var/run").symlink("up", "../../usr");
    let stack = stack(&[lower, tar().file("lib/a", "").file("dangling/b", "").file("up/lib/c", "")]);
    assert_eq!(stack.top().paths(), ["usr", "usr/lib", "usr/lib/a", "usr/lib/c", "var", "var/run", "var/run/b"]);
}

#[test]
fn a_hardlink_to_a_lower_layer_copies_its_target_up() {
    let body = vec![7_u8; 300_000];
    let lower = tar()
        .add(Entry::file("f", &body).mode(0o640).mtime(9).pax("SCHILY.xattr.user.a", "1"))
        .hardlink("g", "f")
        .symlink("s", "nowhere")
        .fifo("p");
    let upper = tar().hardlink("l", "f").hardlink("l2", "g").hardlink("l3", "s").hardlink("l4", "p");
    let stack = stack(&[lower, upper]);
    assert_eq!(stack.top().paths(), ["f", "g", "l", "l2", "l3", "l4", "p", "s"]);
    let inode = |path| fs::symlink_metadata(stack.path(path)).unwrap().ino();
    // The names of one lower inode share one copy.
    for path in ["1/f", "1/g", "1/l2"] {
        assert_eq!(inode("1/l"), inode(path), "{path}");
    }
    assert_ne!(inode("1/f"), inode("0/f"));
    assert_eq!((inode("1/l3"), inode("1/l4")), (inode("1/s"), inode("1/p")));
    let (copy, original) = (stack.top().get("l").unwrap(), stack.trees[0].get("f").unwrap());
    assert_eq!((&copy.kind, copy.mode, copy.mtime, &copy.xattrs), (&original.kind, original.mode, original.mtime, &original.xattrs));
    assert_eq!(stack.top().get("s").unwrap().mtime, stack.trees[0].get("s").unwrap().mtime);
    assert_eq!(stack.events(Reason::CopiedUp), 4);
}

#[test]
fn a_copy_keeps_the_holes() {
    let sparse = Entry::gnu_sparse("f", &[(1 << 20, 4096)], 64 << 20, vec![1_u8; 4096]);
    let stack = stack(&[tar().add(sparse), tar().hardlink("l", "f")]);
    let found = fs::metadata(stack.path("1/l")).unwrap();
    assert_eq!(found.len(), 64 << 20);
    assert!(found.blocks() * 512 < 1 << 20, "{} bytes stored", found.blocks() * 512);
    assert_eq!(stack.top().get("l").unwrap().kind, stack.trees[0].get("f").unwrap().kind);
}

#[test]
fn a_marker_takes_a_copy_away_and_not_the_link() {
    for upper in [tar().hardlink("l", "f").file(".wh.f", ""), tar().hardlink("l", "d/x").file("d/.wh..wh..opq", "").file(".wh.f", "")] {
        let stack = stack(&[lower(), upper]);
        assert!(stack.hides("f"));
        assert!(stack.top().get("l").is_some());
        assert!(stack.top().get("d/x").is_none());
    }
}

#[test]
fn what_is_copied_up_is_charged() {
    let body = vec![7_u8; 1 << 20];
    let lower = tar().file("a", &body).file("b", &body);
    let mut policy = container_for_caller();
    policy.limits.total_bytes = 3 << 20;
    stack_with(&policy, &[lower.clone(), tar().hardlink("l", "a").hardlink("m", "b")]);
    let lowered = |bytes: u64| {
        let dir = tempfile::tempdir().unwrap();
        let mut unpacker = Unpacker::overlay(open(dir.path()), "dest", OverlayForm::User, policy.clone()).unwrap();
        unpacker.apply(&Expect::dangerous_unverified(), lower.source().open()).unwrap();
        unpacker.commit().unwrap();
        let mut policy = container_for_caller();
        policy.limits.total_bytes = bytes;
        let below = LowerLayers::Known(vec![open(&dir.path().join("dest/0"))]);
        let upper = tar().hardlink("l", "a").hardlink("m", "b");
        apply(Unpacker::overlay_on(open(dir.path()), "next", OverlayForm::User, below, policy).unwrap(), &[upper]).map(drop)
    };
    assert_eq!(lowered(2 << 20), Ok(()));
    let error = lowered((2 << 20) - 1).unwrap_err();
    assert_eq!((error.kind(), error.location().path.as_deref()), (ErrorKind::LimitExceeded, Some(b"m".as_slice())));
}

#[test]
fn a_lower_file_that_its_owner_may_not_read_is_copied_and_keeps_its_mode() {
    let unreadable = Entry::file("f", "secret").mode(0).pax("SCHILY.xattr.user.a", "1");
    let stack = stack(&[tar().add(unreadable), tar().hardlink("l", "f")]);
    assert_eq!(stack.top().get("l").unwrap().xattrs, stack.trees[0].get("f").unwrap().xattrs);
    assert_eq!((stack.top().get("l").unwrap().mode, stack.trees[0].get("f").unwrap().mode), (0, 0));
    assert_eq!(stack.top().get("l").unwrap().kind, stack.trees[0].get("f").unwrap().kind);
}

#[test]
fn a_link_to_its_own_name_in_a_lower_layer_copies_nothing() {
    let stack = stack(&[lower(), tar().hardlink("f", "f").hardlink("s/x", "d/x")]);
    assert_eq!(stack.events(Reason::HardlinkToItself), 2);
    assert_eq!(stack.events(Reason::CopiedUp), 0);
}

#[test]
fn a_skipped_late_target_leaves_the_links_place_hidden_as_in_one_tree() {
    let stack = stack(&[lower(), tar().hardlink("f", "dev").add(Entry::char("dev", 1, 3))]);
    assert_eq!(stack.events(Reason::HardlinkToSkipped), 1);
    assert!(stack.hides("f"));
}

#[test]
fn layers_given_by_handle_are_seen_as_those_of_the_same_unpacker() {
    let layers = [
        lower(),
        tar().file(".wh.d", "").dir("d").add(Entry::dir("d/e").mode(0o555)).file("d/e/1", ""),
        tar().file("d/e/f", "").file("d/sub/y", "").hardlink("l", "f").file("s/.wh.sub", "").file("d/e/.wh.1", ""),
    ];
    let whole = stack(&layers);
    let dir = tempfile::tempdir().unwrap();
    for (number, layer) in layers.iter().enumerate() {
        let below = (0..number).rev().map(|lower| open(&dir.path().join(format!("{lower}/0")))).collect();
        let below = LowerLayers::Known(below);
        let name = number.to_string();
        let unpacker = Unpacker::overlay_on(open(dir.path()), &name, OverlayForm::User, below, container_for_caller()).unwrap();
        apply(unpacker, std::slice::from_ref(layer)).unwrap();
        let tree = Tree::take(&dir.path().join(&name).join("0"), |_| false);
        assert_same(&whole.trees[number], &tree, &name);
    }
}

#[test]
fn without_the_lower_layers_the_result_is_approximate_and_says_where() {
    let unknown = |layer: Tar| {
        let dir = tempfile::tempdir().unwrap();
        let unpacker = Unpacker::overlay_on(open(dir.path()), "dest", OverlayForm::User, LowerLayers::Unknown, container_for_caller());
        let unpacked = apply(unpacker.unwrap(), &[layer])?;
        let tree = Tree::take(&dir.path().join("dest/0"), |_| false);
        Ok::<_, Error>((tree, unpacked.layers[0].events.count(Reason::LowerUnknown)))
    };
    let layer = tar().file("a/b/.wh.c", "").dir("n").file("n/.wh.m", "").file("e/f", "").file("e/.wh..wh..opq", "").file("e/.wh.g", "");
    let (tree, events) = unknown(layer).unwrap();
    assert_eq!(tree.paths(), ["a", "a/b", "a/b/c", "e", "e/f", "n", "n/m"]);
    assert_eq!((&tree.get("a/b/c").unwrap().kind, &tree.get("n/m").unwrap().kind), (&Kind::Char(0), &Kind::Char(0)));
    assert!(tree.get("e").unwrap().xattrs.contains_key(OPAQUE));
    // a, a/b, e and the root.
    assert_eq!(events, 4);
    let error = unknown(tar().hardlink("l", "f")).unwrap_err();
    assert_eq!((error.kind(), error.location().path.as_deref()), (ErrorKind::LowerRequired, Some(b"l".as_slice())));
    assert_eq!(unknown(tar().file("f", "").hardlink("l", "f")).unwrap().0.paths(), ["f", "l"]);
}

#[test]
fn a_failed_layer_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let error = unpack_with(dir.path(), container_for_caller(), &[lower(), tar().file("x", "").file("../y", "")]).unwrap_err();
    assert_eq!((error.kind(), error.layer()), (ErrorKind::PathTraversal, Some(1)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn strict_refuses_a_symlinked_parent_of_a_lower_layer() {
    for upper in [tar().file("s/y", ""), tar().file("s/.wh.x", "")] {
        let dir = tempfile::tempdir().unwrap();
        let error = unpack_with(dir.path(), Policy::strict(), &[lower(), upper]).unwrap_err();
        assert_eq!((error.kind(), error.layer()), (ErrorKind::SymlinkInPath, Some(1)));
    }
}

#[test]
fn the_trusted_form_needs_its_privilege_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let unpacker = Unpacker::overlay(open(dir.path()), "dest", OverlayForm::Trusted, container_for_caller());
    if is_root() {
        apply(unpacker.unwrap(), &[lower(), tar().file(".wh.d", "").dir("d")]).unwrap();
        let tree = Tree::take(&dir.path().join("dest/1"), |_| false);
        assert_eq!(tree.get("d").unwrap().xattrs.keys().collect::<Vec<_>>(), [b"trusted.overlay.opaque"]);
    } else {
        assert_eq!(unpacker.unwrap_err().kind(), ErrorKind::XattrUnsupported);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_hundred_layers_with_deep_directories_need_few_handles() {
    let deep = (0..40).map(|level| format!("level-{level}")).collect::<Vec<_>>().join("/");
    let layers: Vec<Tar> = (0..100).map(|number| tar().file(format!("{deep}/{number}"), "")).collect();
    let dir = tempfile::tempdir().unwrap();
    let handles = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = handles();
    let mut unpacker = Unpacker::overlay(open(dir.path()), "dest", OverlayForm::User, container_for_caller()).unwrap();
    let mut most = 0;
    for layer in &layers {
        unpacker.apply(&Expect::dangerous_unverified(), layer.source().open()).unwrap();
        most = most.max(handles());
    }
    unpacker.commit().unwrap();
    // One for each layer, and some for the tests beside this one: not one for each of the 4,000 directories.
    assert!(most < before + 100 + 1400, "{before} handles before, {most} at most");
    assert!(dir.path().join("dest/99").join(&deep).join("99").exists());
}

/// What the layers show, mounted, and as one tree.
#[track_caller]
fn same_as_merged(layers: &[Tar]) {
    let dir = tempfile::tempdir().unwrap();
    let merged = apply(Unpacker::rootfs(open(dir.path()), "merged", container_for_caller()).unwrap(), layers).unwrap();
    assert_eq!(merged.form, None);
    let mut merged = Tree::take(&dir.path().join("merged"), |_| false);
    merged.nodes.values_mut().for_each(|node| (node.nlink, node.same_as) = (0, None));
    let stack = stack(layers);
    let names = stack.unpacked.visible_layers();
    let shown: Vec<_> = names.iter().rev().map(|name| stack.trees[name.parse::<usize>().unwrap()].clone()).collect();
    assert_same(&merged, &overlaid(&shown), "one tree and the overlay");
}

#[test]
fn a_lower_link_on_the_way_is_not_followed_once_it_is_replaced_or_hidden() {
    let lower = || tar().dir("d").file("d/x", "").symlink("s", "d").symlink("d/u", "/").symlink("k", ".");
    for (upper, next) in [
        (tar().file("s/u/x", "").symlink("s/u/s", "e"), "s/u/y"),
        (tar().file("s/u/x", "").file("s/u/.wh.s", ""), "s/u/y"),
        (tar().file("s/u/x", "").file("s/u/s", ""), "s/u/y"),
        (tar().file("s/u/x", "").dir("s/u/s"), "s/u/y"),
        (tar().file("s/u/x", "").hardlink("s/u/s", "d/x"), "s/u/y"),
        (tar().fifo("k/k"), "k/y"),
        (tar().hardlink("s", "s/x"), "s/y"),
        (tar().file("k/.wh.k", ""), "k/y"),
        (tar().file("k/k/z", "").file("k/.wh..wh..opq", ""), "k/y"),
    ] {
        same_as_merged(&[lower(), upper.file(next, "")]);
    }
}

#[test]
fn the_names_of_one_lower_object_share_a_copy_whatever_becomes_of_its_first_name() {
    for between in [tar().hardlink("c", "a").file("a", "new"), tar().hardlink("c", "a").file(".wh.a", "")] {
        let stack = stack(&[tar().file("a", "old").hardlink("b", "a"), between.hardlink("e", "b")]);
        let inode = |path| fs::symlink_metadata(stack.path(path)).unwrap().ino();
        assert_eq!((inode("1/c"), inode("1/b")), (inode("1/e"), inode("1/e")));
    }
}

#[test]
fn attribute_values_with_the_id_that_is_none_are_refused_by_name() {
    let capability = [&0x0300_0000_u32.to_le_bytes()[..], &[0; 16], &[0xff; 4]].concat();
    let entries = [(1_u16, 7_u16, u32::MAX), (2, 7, u32::MAX), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)];
    let entries = entries.iter().flat_map(|(tag, bits, id)| [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat());
    let acl: Vec<u8> = 2_u32.to_le_bytes().into_iter().chain(entries).collect();
    for (name, value) in [("security.capability", capability), ("system.posix_acl_access", acl)] {
        let dir = tempfile::tempdir().unwrap();
        let layer = tar().add(Entry::file("f", "").pax(format!("SCHILY.xattr.{name}"), value));
        let error = unpack_with(dir.path(), container_for_caller(), &[layer]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForbiddenXattr, "{error}");
    }
}

#[test]
fn a_link_target_is_found_in_this_layer_behind_a_directory_and_a_link_of_lower_ones() {
    let lower = || tar().dir("c").symlink("c/a", "../a").file("a/x", "old").file("a/w", "");
    for upper in [
        tar().file("a/z", "new").hardlink("y", "c/a/z"),
        tar().file("a/x", "new").hardlink("y", "c/a/x"),
        tar().file("a/.wh.x", "").hardlink("y", "c/a/x").file("a/x", "late"),
        tar().symlink("a/x", "w").hardlink("y", "c/a/x"),
        tar().hardlink("a/x", "later").hardlink("y", "c/a/x").file("later", "1"),
    ] {
        same_as_merged(&[lower(), upper]);
    }
    for (upper, kind) in [
        (tar().file("a/.wh.x", "").hardlink("y", "c/a/x"), ErrorKind::HardlinkTargetMissing),
        (tar().dir("a/x").hardlink("y", "c/a/x"), ErrorKind::HardlinkToSpecial),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = unpack_with(dir.path(), container_for_caller(), &[lower(), upper]).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn strict_refuses_a_link_through_a_lower_link_as_in_one_tree() {
    let stack = [tar().symlink("a/b", "."), tar().hardlink("b", "a/b/b")];
    let dir = tempfile::tempdir().unwrap();
    let error = unpack_with(dir.path(), Policy::strict(), &stack).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HardlinkEscape);
}

#[test]
fn entries_that_alternate_between_deep_directories_of_many_layers_cost_no_look_at_each() {
    // 20 layers of two chains of 250 directories; 400 entries. With a look for every component it takes minutes.
    let chain = |top: &str| format!("{top}{}", "/a".repeat(250));
    let lower: Vec<Tar> = (0..20).map(|n| tar().file(format!("{}/{n}", chain("p")), "").file(format!("{}/{n}", chain("q")), "")).collect();
    let upper = (0..200).fold(tar(), |tar, n| {
        let names = [format!("{}/u{n}", chain("p")), format!("{}/.wh.none{n}", chain("q"))];
        names.iter().fold(tar, |tar, name| tar.file(name, ""))
    });
    let mut layers = lower;
    layers.push(upper);
    let mut policy = container_for_caller();
    policy.limits.deadline = Some(std::time::Duration::from_secs(60));
    let dir = tempfile::tempdir().unwrap();
    unpack_with(dir.path(), policy, &layers).unwrap();
}
