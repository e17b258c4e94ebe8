//! §13 Staging and recovery.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use safe_layers::{Error, ErrorKind, Expect, Unpacker, recover};

use crate::check::*;

fn unpacker(world: &World, way: Way) -> Result<Unpacker, Error> {
    Ok(Unpacker::rootfs(open_root(world.parent()), "dest", way.policy(&container()))?.threads(way.threads()))
}

fn staged(world: &World) -> Vec<String> {
    let names = fs::read_dir(world.parent()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

fn is_private_name(name: &str) -> bool {
    name.strip_prefix(".dest.safe-layers-")
        .is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

/// A directory as a killed process leaves it.
fn leftover(world: &World, name: &str) -> PathBuf {
    let path = world.parent().join(name);
    fs::create_dir_all(path.join("d")).unwrap();
    fs::write(path.join("d/f"), "x").unwrap();
    fs::set_permissions(path.join("d"), fs::Permissions::from_mode(0o0)).unwrap();
    path
}

fn apply_one(unpacker: &mut Unpacker, layer: &Tar) -> Result<(), Error> {
    unpacker.apply(&Expect::dangerous_unverified(), layer.source().open()).map(drop)
}

#[test]
fn the_staged_root_is_private_beside_the_final_name_and_gone_after_the_commit() {
    for way in ways() {
        let world = way.world();
        let mut unpacker = unpacker(&world, way).unwrap();
        apply_one(&mut unpacker, &tar().add(Entry::dir("./").mode(0o777)).file("f", "x")).unwrap();
        let names = staged(&world);
        assert!(matches!(&names[..], [name] if is_private_name(name)), "{names:?}");
        let path = world.parent().join(&names[0]);
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        let dir = fs::File::open(&path).unwrap();
        let lock = rustix::fs::flock(&dir, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        assert_eq!(lock, Err(rustix::io::Errno::WOULDBLOCK));
        world.assert_not_exposed("before the commit");
        unpacker.commit().unwrap();
        assert_same(&tree().dir("").mode(0o777).file("f", "x").tree(), &world.tree().unwrap(), "committed");
        world.assert_outside_untouched("after the commit");
    }
}

#[test]
fn dropping_before_the_commit_removes_everything() {
    for way in ways() {
        let world = way.world();
        let mut unpacker = unpacker(&world, way).unwrap();
        apply_one(&mut unpacker, &tar().add(Entry::dir("d").mode(0)).add(Entry::file("d/f", "x").mode(0))).unwrap();
        drop(unpacker);
        world.assert_not_exposed("dropped");
        world.assert_outside_untouched("dropped");
    }
}

#[test]
fn a_final_name_that_exists_is_an_error_and_stays_as_it_is() {
    for way in ways() {
        let makers: [fn(&Path); 3] = [
            |path| fs::create_dir(path).unwrap(),
            |path| fs::write(path, "mine").unwrap(),
            |path| std::os::unix::fs::symlink("canary", path).unwrap(),
        ];
        for make in makers {
            let world = way.world();
            make(&world.dest_path());
            let before = world.tree();
            let error = unpacker(&world, way).map(drop).unwrap_err();
            assert_eq!((error.kind(), error.errno()), (ErrorKind::Io, Some(17)));
            assert_eq!(world.tree(), before);
            world.assert_outside_untouched("a final name that exists");

            // One that appears while the layers are applied.
            fs::rename(world.dest_path(), world.parent().join("kept")).unwrap();
            let mut unpacker = unpacker(&world, way).unwrap();
            apply_one(&mut unpacker, &tar().file("f", "x")).unwrap();
            fs::rename(world.parent().join("kept"), world.dest_path()).unwrap();
            let error = unpacker.commit().unwrap_err();
            assert_eq!((error.kind(), error.errno()), (ErrorKind::Io, Some(17)));
            assert_eq!(world.tree(), before);
            world.assert_outside_untouched("a final name that appeared");
        }
    }
}

#[test]
fn a_final_name_must_be_one_component() {
    let world = World::new();
    for name in ["", ".", "..", "a/b", "../dest", "/dest", "a\0", "dest/"] {
        let error = Unpacker::rootfs(open_root(world.parent()), name, container()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{name:?}");
    }
    let error = Unpacker::rootfs(open_root(world.parent()), &"n".repeat(240), container()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTooLong);
    world.assert_outside_untouched("a final name of two components");
}

#[test]
fn a_tree_whose_root_nobody_may_write_is_published_all_the_same() {
    for policy in both() {
        let layer = tar().add(Entry::dir("./").mode(0o555)).add(Entry::dir("d").mode(0o500)).file("d/f", "x");
        gives(&policy, &[layer], tree().dir("").mode(0o555).dir("d").mode(0o500).file("d/f", "x"));
    }
}

#[test]
fn the_parent_gives_the_tree_neither_its_group_nor_its_acls() {
    for policy in both() {
        for way in ways() {
            let world = way.world();
            let parent = world.parent().join("setgid");
            fs::create_dir(&parent).unwrap();
            let default = acl(&[(1, 7), (4, 7), (32, 7)]);
            rustix::fs::setxattr(&parent, "system.posix_acl_default", &default, rustix::fs::XattrFlags::empty()).unwrap();
            if is_root() {
                std::os::unix::fs::chown(&parent, None, Some(4242)).unwrap();
            }
            fs::set_permissions(&parent, fs::Permissions::from_mode(0o2777)).unwrap();
            let mut unpacker = Unpacker::rootfs(open_root(&parent), "tree", way.policy(&policy)).unwrap().threads(way.threads());
            apply_one(&mut unpacker, &tar().file("d/f", "x").dir("e").symlink("e/s", "t")).unwrap();
            unpacker.commit().unwrap();
            let want = tree().implicit("d").file("d/f", "x").dir("e").symlink("e/s", "t");
            assert_same(&want.tree(), &Tree::take(&parent.join("tree"), |_| false), &format!("{way:?}"));
        }
    }
}

#[test]
fn recover_removes_what_nobody_holds_and_nothing_else() {
    for way in ways() {
        let world = way.world();
        let living = unpacker(&world, way).unwrap();
        let held = staged(&world);
        let names = [".dest.safe-layers-0123456789abcdef", ".other.safe-layers-ffffffffffffffff"];
        names.iter().for_each(|name| drop(leftover(&world, name)));
        let others = [
            ".dest.safe-layers-0123456789abcde",
            ".dest.safe-layers-0123456789ABCDEF",
            "dest.safe-layers-0123456789abcdef",
            ".safe-layers-0123456789abcdef",
            "..safe-layers-0123456789abcdef",
            ".dest.safe-layers-0123456789abcdefa",
        ];
        others.iter().for_each(|name| drop(leftover(&world, name)));
        let file = world.parent().join(".file.safe-layers-0123456789abcdef");
        fs::write(&file, "mine").unwrap();
        let link = world.parent().join(".link.safe-layers-0123456789abcdef");
        std::os::unix::fs::symlink("canary", &link).unwrap();

        let mut removed = recover(&open_root(world.parent())).unwrap();
        removed.sort();
        assert_eq!(removed, names);
        assert!(names.iter().all(|name| !world.parent().join(name).exists()));
        assert!(others.iter().all(|name| world.parent().join(name).join("d").exists()));
        assert!(world.parent().join(&held[0]).exists() && file.exists() && link.symlink_metadata().is_ok());
        assert_eq!(recover(&open_root(world.parent())).unwrap(), Vec::<String>::new());

        drop(living);
        for name in others {
            fs::set_permissions(world.parent().join(name).join("d"), fs::Permissions::from_mode(0o700)).unwrap();
            fs::remove_dir_all(world.parent().join(name)).unwrap();
        }
        [file, link].iter().for_each(|path| fs::remove_file(path).unwrap());
        world.assert_outside_untouched("recover");
    }
}

#[test]
fn recover_removes_the_links_to_the_host_and_not_the_host() {
    let world = World::new();
    let left = leftover(&world, ".dest.safe-layers-0123456789abcdef");
    std::os::unix::fs::symlink(world.canary(""), left.join("s")).unwrap();
    assert_eq!(recover(&open_root(world.parent())).unwrap().len(), 1);
    world.assert_outside_untouched("recover");
}

#[test]
fn root_recovers_what_others_left() {
    if !needs_root("another owner") {
        return;
    }
    let world = World::new();
    let left = leftover(&world, ".dest.safe-layers-0123456789abcdef");
    std::os::unix::fs::chown(&left, Some(7), Some(7)).unwrap();
    assert_eq!(recover(&open_root(world.parent())).unwrap().len(), 1);
    assert!(!left.exists());
}

#[test]
fn two_unpackers_of_one_final_name_do_not_meet_and_the_first_commit_wins() {
    for way in ways() {
        let world = way.world();
        let (mut first, mut second) = (unpacker(&world, way).unwrap(), unpacker(&world, way).unwrap());
        apply_one(&mut first, &tar().file("f", "1")).unwrap();
        apply_one(&mut second, &tar().file("f", "2")).unwrap();
        second.commit().unwrap();
        assert_eq!(first.commit().unwrap_err().errno(), Some(17));
        assert_same(&tree().file("f", "2").tree(), &world.tree().unwrap(), "the first commit");
        world.assert_outside_untouched("two unpackers");
    }
}
