//! The two resolvers give the same directory or the same refusal, and neither leaves the root.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use proptest::prelude::*;

use super::super::{Resolution, Step};
use super::{is_root, name, open, roots, skip};
use crate::error::ErrorKind;

/// What a resolution came to, comparable between the two.
fn outcomes(path: &std::path::Path, wanted: &str) -> [Result<Option<crate::root::ObjectId>, ErrorKind>; 2] {
    let [by_kernel, by_walk] = roots(path);
    let at_once = by_kernel.resolve_at_once(wanted.as_bytes()).map(|dir| dir.map(|dir| dir.id())).map_err(|e| e.kind());
    let walked = by_walk.walk(wanted.as_bytes(), 256).map_err(|e| e.kind()).map(|found| match found {
        Resolution::Directory(trail) => Some(trail.last().map_or(by_walk.top().id(), |(_, dir)| dir.id())),
        Resolution::Missing { .. } | Resolution::Other { .. } => None,
    });
    // `..` after a missing component: for the kernel just a missing one.
    let walked = if walked == Err(ErrorKind::ParentMissing) { Ok(None) } else { walked };
    [at_once, walked]
}

#[derive(Clone, Debug)]
enum Object {
    Dir,
    File,
    Link(String),
}

fn object() -> impl Strategy<Value = Object> {
    let part = prop_oneof![Just("a"), Just("b"), Just("c"), Just(".."), Just("."), Just("")];
    let target = (any::<bool>(), prop::collection::vec(part, 1..6))
        .prop_map(|(absolute, parts)| format!("{}{}", if absolute { "/" } else { "" }, parts.join("/")));
    prop_oneof![3 => Just(Object::Dir), 1 => Just(Object::File), 4 => target.prop_map(Object::Link)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_walk_and_openat2_agree_on_random_trees(
        objects in prop::collection::vec((prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4), object()), 1..24),
        paths in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..5), 16),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        // A handle that nothing leaves: the trees hold links to `/`, and making one must not write there.
        let made = cap_std::fs::Dir::open_ambient_dir(&top, cap_std::ambient_authority()).unwrap();
        for (path, object) in &objects {
            let path = path.join("/");
            // What cannot be made where a file or a link stands already is left out.
            let _made = match object {
                Object::Dir => made.create_dir(&path),
                Object::File => made.write(&path, "").or(Ok(())),
                Object::Link(target) if target.is_empty() => Ok(()),
                Object::Link(target) => made.symlink_contents(target, &path),
            };
        }
        for path in &paths {
            let [kernel, walk] = outcomes(&top, &path.join("/"));
            prop_assert_eq!(kernel, walk, "{:?}", path);
        }
    }
}

#[test]
fn links_and_dotdot_stay_inside_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    fs::create_dir_all(top.join("etc")).unwrap();
    fs::create_dir_all(dir.path().join("etc/outside")).unwrap();
    for (link, target) in [("abs", "/etc"), ("climb", "../../../../etc"), ("host", dir.path().to_str().unwrap()), ("up", "/..")] {
        symlink(target, top.join(link)).unwrap();
    }
    let etc = open(&top.join("etc")).top().id();
    let itself = open(&top).top().id();
    assert_eq!(outcomes(&top, "abs"), [Ok(Some(etc)), Ok(Some(etc))]);
    assert_eq!(outcomes(&top, "climb"), [Ok(Some(etc)), Ok(Some(etc))]);
    assert_eq!(outcomes(&top, "up/up"), [Ok(Some(itself)), Ok(Some(itself))]);
    assert_eq!(outcomes(&top, "host"), [Ok(None), Ok(None)]);
    assert_eq!(outcomes(&top, "abs/outside"), [Ok(None), Ok(None)]);
}

#[test]
fn forty_links_are_followed_and_forty_one_are_a_loop() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("l0")).unwrap();
    for link in 1..=41 {
        symlink(format!("l{}", link - 1), dir.path().join(format!("l{link}"))).unwrap();
    }
    symlink("loop", dir.path().join("loop")).unwrap();
    let end = open(&dir.path().join("l0")).top().id();
    assert_eq!(outcomes(dir.path(), "l40"), [Ok(Some(end)), Ok(Some(end))]);
    assert_eq!(outcomes(dir.path(), "l41"), [Err(ErrorKind::SymlinkLoop), Err(ErrorKind::SymlinkLoop)]);
    assert_eq!(outcomes(dir.path(), "loop"), [Err(ErrorKind::SymlinkLoop), Err(ErrorKind::SymlinkLoop)]);
}

#[test]
fn a_resolution_that_follows_very_many_components_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    symlink(".", dir.path().join("l0")).unwrap();
    for link in 1..20 {
        symlink(format!("{}l{}", "d/../".repeat(700), link - 1), dir.path().join(format!("l{link}"))).unwrap();
    }
    for root in roots(dir.path()) {
        assert!(matches!(root.walk(b"l7", 256).unwrap(), Resolution::Directory(_)));
        assert_eq!(root.walk(b"l19", 256).map(drop).map_err(|e| e.kind()), Err(ErrorKind::SymlinkLoop));
    }
}

#[test]
fn a_dangling_link_tells_what_is_to_be_made_and_dotdot_after_a_missing_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    symlink("/a/x/y", dir.path().join("link")).unwrap();
    symlink("/a/x/../y", dir.path().join("bad")).unwrap();
    for root in roots(dir.path()) {
        let Resolution::Missing { at, rest } = root.walk(b"link/z", 256).unwrap() else { panic!("not missing") };
        assert_eq!(at.iter().map(|(name, _)| name.as_slice()).collect::<Vec<_>>(), [b"a"]);
        assert_eq!(rest, [b"x", b"y", b"z"]);
        assert_eq!(root.walk(b"bad", 256).map(drop).map_err(|e| e.kind()), Err(ErrorKind::ParentMissing));
    }
}

#[test]
fn entering_follows_no_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    symlink("d", dir.path().join("l")).unwrap();
    for root in roots(dir.path()) {
        let step = |raw| root.enter(root.top(), name(raw)).unwrap();
        assert!(matches!(step("d"), Step::Directory(_)));
        assert!(matches!(step("l"), Step::Symlink));
        assert!(matches!(step("f"), Step::Other));
        assert!(matches!(step("none"), Step::Missing));
    }
}

#[test]
fn a_mount_below_the_root_is_not_entered_nor_emptied() {
    if !is_root() {
        return skip("mounting needs root");
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("d/mnt");
    fs::create_dir_all(&mount).unwrap();
    symlink("d/mnt", dir.path().join("link")).unwrap();
    let run = |command: &mut Command| command.status().unwrap().success();
    if !run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount)) {
        return skip("this machine does not let root mount");
    }
    fs::write(mount.join("kept"), "").unwrap();
    let found: Vec<_> = roots(dir.path())
        .into_iter()
        .flat_map(|root| {
            let Step::Directory(d) = root.enter(root.top(), name("d")).unwrap() else { panic!("no directory") };
            let mut unheard = super::removal::Heard::default();
            [
                root.enter(&d, name("mnt")).map(drop),
                root.resolve_at_once(b"link").map(drop),
                root.walk(b"link", 256).map(drop),
                root.remove(root.top(), name("d"), &mut unheard),
            ]
        })
        .map(|outcome| outcome.map_err(|e| e.kind()))
        .collect();
    let kept = mount.join("kept").exists();
    assert!(run(Command::new("umount").arg(&mount)));
    let crossing = Err(ErrorKind::MountCrossing);
    // The walk tells nothing at once: it has no openat2.
    assert_eq!(found, [crossing, crossing, crossing, crossing, crossing, Ok(()), crossing, crossing]);
    assert!(kept);
}

#[test]
fn a_root_resolves_by_what_it_was_told_to() {
    use crate::root::resolve::Active;
    let dir = tempfile::tempdir().unwrap();
    let [by_kernel, by_walk] = roots(dir.path());
    assert_eq!((by_kernel.resolver, by_walk.resolver), (Active::Openat2, Active::Walk));
    assert_eq!(by_walk.try_clone().unwrap().resolver, Active::Walk);
    assert_eq!(by_walk.with_openat2().unwrap_err().kind(), ErrorKind::Io);
}
