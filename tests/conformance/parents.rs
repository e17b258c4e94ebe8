//! §2 Parents.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use safe_layers::{Error, ErrorKind, Expect, ImplicitParents, NonDirectoryParents, Reason, SymlinkedParents, Unpacker};

use crate::check::*;

#[test]
fn missing_parents_are_made_0755_with_time_0_and_strict_says_so() {
    let want = tree().implicit("a").implicit("a/b").file("a/b/f", "x");
    gives(&container(), &[tar().file("a/b/f", "x")], want.clone()).events(&[]);
    gives(&strict(), &[tar().file("a/b/f", "x")], want).events(&[(Reason::ImplicitParent, 2)]);
}

#[test]
fn missing_parents_are_refused_where_the_policy_makes_none() {
    for policy in both() {
        let policy = with(policy, |policy| policy.implicit_parents = ImplicitParents::Error);
        refuses(&policy, &[tar().dir("a").file("a/b/f", "x")], ErrorKind::ParentMissing, (1, "a/b/f"));
        gives(&policy, &[tar().dir("a").dir("a/b").file("a/b/f", "x")], tree().dir("a").dir("a/b").file("a/b/f", "x"));
    }
}

#[test]
fn missing_parents_belong_to_the_containers_root() {
    if needs_root("another owner") {
        let map = safe_layers::IdMap {
            uids: vec![safe_layers::IdRange { container: 0, host: 5000, count: 10 }],
            gids: vec![safe_layers::IdRange { container: 0, host: 6000, count: 10 }],
            ..safe_layers::IdMap::default()
        };
        let policy = with(container(), |policy| policy.ownership = safe_layers::Ownership::Map(map));
        let want = tree().owner(5000, 6000).implicit("d").owner(5000, 6000).file("d/f", "x").owner(5003, 6004);
        gives(&policy, &[tar().add(Entry::file("d/f", "x").uid(3).gid(4))], want);
        refuses(&policy, &[tar().add(Entry::file("d/f", "x").uid(10).gid(4))], ErrorKind::UnmappedId, (0, "d/f"));
    }
}

#[test]
fn a_symlinked_parent_is_resolved_inside_the_root_and_refused_by_strict() {
    for target in ["real", "/real", "./real", "../../real", "/../../../real", "//real/."] {
        let layer = || tar().dir("real").symlink("s", target).file("s/f", "x");
        gives(&container(), &[layer()], tree().dir("real").symlink("s", target).file("real/f", "x"));
        let strict = with(strict(), |policy| policy.symlinks = safe_layers::Symlinks::Keep);
        // One of this layer that leads out of the root says so.
        let beyond = target.starts_with('/') || target.starts_with("../");
        let kind = if beyond { ErrorKind::SymlinkEscape } else { ErrorKind::SymlinkInPath };
        refuses(&strict, &[layer()], kind, (2, "s/f"));
        refuses(&strict, &[tar().dir("real").symlink("s", target), tar().file("s/f", "x")], ErrorKind::SymlinkInPath, (0, "s/f"));
    }
}

#[test]
fn a_symlink_to_the_host_leads_back_into_the_root() {
    let world = World::new();
    let target = world.canary("/dir");
    for way in ways() {
        let world = way.world();
        let target = world.canary("/dir");
        let layer = tar().symlink("s", &target).file("s/inner", "x").file("s/new", "y");
        run(&world, &container(), &[layer], way).unwrap();
        world.assert_outside_untouched("an absolute symlink");
        world.assert_nothing_taken("an absolute symlink");
        let tree = world.tree().unwrap();
        assert_eq!(tree.get(format!("{}/inner", &target[1..])).unwrap().kind, Kind::File(Data::of(b"x")));
    }
    gives_below(&target);
}

/// A climbing link to the same place: `..` at the root stays at the root.
#[track_caller]
fn gives_below(target: &str) {
    let climbing = format!("../../../../../../..{target}");
    let at = &target[1..];
    let parents = at.char_indices().filter(|(_, c)| *c == '/').map(|(end, _)| &at[..end]);
    let want = parents.fold(tree(), |want, parent| want.implicit(parent)).implicit(at).file(format!("{at}/f"), "x").symlink("s", &climbing);
    gives(&container(), &[tar().symlink("s", &climbing).file("s/f", "x")], want);
}

#[test]
fn links_that_lead_through_links_are_resolved_inside_the_root() {
    let layer = tar().dir("a").dir("a/b").symlink("a/b/up", "../..").symlink("one", "/a/b").symlink("two", "one/up").file("two/a/b/f", "x");
    let want = tree().dir("a").dir("a/b").symlink("a/b/up", "../..").symlink("one", "/a/b").symlink("two", "one/up").file("a/b/f", "x");
    gives(&container(), &[layer], want);
}

#[test]
fn a_link_of_a_lower_layer_is_resolved_as_one_of_this_layer() {
    let lower = tar().dir("usr").dir("usr/lib").symlink("lib", "usr/lib");
    let want = tree().dir("usr").dir("usr/lib").symlink("lib", "usr/lib").file("usr/lib/f", "x");
    gives(&container(), &[lower.clone(), tar().file("lib/f", "x")], want);
    refuses(&strict(), &[lower, tar().file("lib/f", "x")], ErrorKind::SymlinkInPath, (0, "lib/f"));
}

#[test]
fn forty_links_on_the_way_to_a_parent_pass_and_over_forty_are_an_error() {
    let chain = |count: usize| {
        let links = (0..count).map(|i| (format!("l{i:02}"), if i + 1 < count { format!("l{:02}", i + 1) } else { "d".into() }));
        links.collect::<Vec<_>>()
    };
    let layer = |count| chain(count).iter().fold(tar().dir("d"), |tar, (name, target)| tar.symlink(name, target)).file("l00/f", "x");
    let want = chain(40).iter().fold(tree().dir("d").file("d/f", "x"), |want, (name, target)| want.symlink(name, target));
    gives(&container(), &[layer(40)], want);
    refuses(&container(), &[layer(41)], ErrorKind::SymlinkLoop, (42, "l00/f"));
}

#[test]
fn a_loop_of_links_is_an_error() {
    for policy in both() {
        refuses(&policy, &[tar().symlink("a", "b").symlink("b", "a").file("a/f", "x")], ErrorKind::SymlinkLoop, (2, "a/f"));
        refuses(&policy, &[tar().symlink("a", "a").file("a/f", "x")], ErrorKind::SymlinkLoop, (1, "a/f"));
        refuses(&policy, &[tar().symlink("a", "a/b").file("a/f", "x")], ErrorKind::SymlinkLoop, (1, "a/f"));
    }
}

#[test]
fn the_missing_components_of_a_dangling_parent_are_made_inside_the_root() {
    for target in ["no/such", "/no/such", "../no/such"] {
        let want = tree().symlink("s", target).implicit("no").implicit("no/such").file("no/such/f", "x");
        gives(&container(), &[tar().symlink("s", target).file("s/f", "x")], want);
    }
}

#[test]
fn dotdot_after_a_missing_component_of_a_link_is_an_error() {
    let layer = |target| tar().dir("d").symlink("s", target).file("s/f", "x");
    refuses(&container(), &[layer("no/../d")], ErrorKind::ParentMissing, (2, "s/f"));
    refuses(&container(), &[layer("d/no/such/..")], ErrorKind::ParentMissing, (2, "s/f"));
    gives(&container(), &[layer("d/../d")], tree().dir("d").symlink("s", "d/../d").file("d/f", "x"));
}

#[test]
fn a_directory_that_is_only_passed_through_keeps_its_attributes_and_its_time() {
    let lower = || tar().add(Entry::dir("d").mode(0o710).mtime(5).pax("SCHILY.xattr.user.k", "v")).file("d/old", "x");
    let want = tree().dir("d").mode(0o710).mtime(5, 0).xattr("user.k", "v").file("d/old", "x");
    for policy in both() {
        gives(&policy, &[lower(), tar().file("d/new", "y")], want.clone().file("d/new", "y"));
        gives(&policy, &[lower(), tar().file("d/old", "z")], want.clone().file("d/old", "z"));
        gives(&policy, &[lower().file("d/more", ""), tar().file("d/.wh.more", "")], want.clone());
    }
}

#[test]
fn a_directory_keeps_its_owner_and_its_time_whatever_is_done_in_it() {
    let lower = || tar().add(Entry::dir("d").mode(0o710).mtime(5)).file("d/old", "x").file("d/gone", "x").dir("d/sub").file("f", "y");
    let want = tree().dir("d").mode(0o710).mtime(5, 0).file("d/old", "x").file("d/gone", "x").dir("d/sub").file("f", "y");
    gives(&container(), &[lower(), tar().hardlink("d/h", "f")], want.clone().hardlink("d/h", "f"));
    gives(&container(), &[lower(), tar().symlink("s", "d").file("s/new", "z")], want.clone().symlink("s", "d").file("d/new", "z"));
    gives(&container(), &[lower(), tar().hardlink("h", "d/old")], want.hardlink("h", "d/old"));
    let less = tree().dir("d").mode(0o710).mtime(5, 0).file("d/old", "x").file("f", "y");
    gives(&container(), &[lower(), tar().file("d/.wh.gone", "").file("d/.wh.sub", "")], less.clone());
    // Here the directory of this layer takes its place.
    let layer = tar().file("d/.wh.gone", "").file("d/.wh.sub", "").add(Entry::dir("d").mode(0o711).mtime(6));
    gives(&container(), &[lower(), layer], less.clone().node("d", Kind::Dir, 0o711, 6));
    if needs_root("another owner") {
        let lower = tar().add(Entry::dir("d").uid(7).gid(8)).add(Entry::dir("d/e").uid(9).gid(10)).file("d/e/f", "x");
        let want = tree().dir("d").owner(7, 8).dir("d/e").owner(9, 10).file("d/e/f", "x").file("d/e/g", "y");
        gives(&container(), &[lower, tar(), tar().file("d/e/g", "y")], want);
    }
}

#[test]
fn a_directory_that_was_left_keeps_its_mode_and_its_time_whatever_is_done_in_it_later() {
    const TIME: i64 = 1_600_000_000;
    // Where owners are squashed, as for an ordinary user, setgid is stripped.
    for mode in [0o700, 0o755, 0o777, 0o555, 0o1777, 0o2755].into_iter().filter(|mode| mode & 0o2000 == 0 || is_root()) {
        let d = || Entry::dir("d").mode(i128::from(mode)).mtime(TIME.into());
        // Whoever reads `e` has left `d`.
        let begun = || tar().add(d()).file("d/a", "x").add(Entry::dir("e").mtime(TIME.into())).file("e/b", "y");
        let want = || {
            let left = tree().node("d", Kind::Dir, mode, TIME).file("d/a", "x");
            left.node("e", Kind::Dir, 0o755, TIME).file("e/b", "y")
        };
        let cases = [
            (tar().file("d/c", "z"), want().file("d/c", "z")),
            (tar().symlink("d/s", "a"), want().symlink("d/s", "a")),
            (tar().dir("d/sub").file("d/sub/f", "z"), want().dir("d/sub").file("d/sub/f", "z")),
            (tar().symlink("s", "d").file("s/c", "z"), want().symlink("s", "d").file("d/c", "z")),
        ];
        for (more, tree) in cases {
            gives(&container(), &[begun().then(more.clone())], tree.clone());
            gives(&container(), &[begun(), more], tree);
        }
        gives(&container(), &[begun().hardlink("d/h", "e/b")], want().hardlink("d/h", "e/b"));
        let gone = || tree().node("d", Kind::Dir, mode, TIME).node("e", Kind::Dir, 0o755, TIME).file("e/b", "y");
        for marker in ["d/.wh.a", "d/.wh..wh..opq"] {
            gives(&container(), &[begun(), tar().file(marker, "")], gone());
        }
    }
}

#[test]
fn a_link_that_waits_is_made_in_a_directory_that_was_left_and_leaves_its_time() {
    const TIME: i64 = 1_600_000_000;
    let d = Entry::dir("d").mtime(TIME.into());
    let layer = tar().add(d).hardlink("d/h", "e/later").add(Entry::dir("e").mtime(TIME.into())).file("e/later", "z");
    let want = tree().node("d", Kind::Dir, 0o755, TIME).node("e", Kind::Dir, 0o755, TIME).file("e/later", "z");
    gives(&container(), &[layer], want.hardlink("d/h", "e/later"));
}

#[test]
fn a_second_entry_for_a_directory_that_was_left_counts_and_what_comes_after_it() {
    const TIME: i64 = 1_600_000_000;
    let begun = || tar().add(Entry::dir("d").mtime(TIME.into())).file("d/a", "x").dir("e").file("e/b", "y");
    let again = |time: i64| tar().add(Entry::dir("d").mode(0o711).mtime(time.into())).file("e/c", "z").file("d/c", "z");
    let want = |time| {
        let left = tree().node("d", Kind::Dir, 0o711, time).file("d/a", "x").file("d/c", "z");
        left.dir("e").file("e/b", "y").file("e/c", "z")
    };
    gives(&container(), &[begun(), again(TIME + 1)], want(TIME + 1));
    gives(&container(), &[begun().then(again(TIME))], want(TIME)).events(&[(Reason::DuplicateEntry, 1)]);
}

#[test]
fn in_place_a_directory_that_is_only_passed_through_keeps_its_attributes_and_its_time() {
    let prepare = |root: &Path| {
        fs::create_dir_all(root.join("d/e")).unwrap();
        rustix::fs::setxattr(root.join("d"), "user.k", b"v", rustix::fs::XattrFlags::empty()).unwrap();
        for (path, mode, time) in [("d/e", 0o500, 3), ("d", 0o751, 4), ("", 0o755, 0)] {
            fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
            fs::File::open(root.join(path)).unwrap().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(time)).unwrap();
        }
    };
    let want = tree().implicit("d").mode(0o751).mtime(4, 0).xattr("user.k", "v").implicit("d/e").mode(0o500).mtime(3, 0);
    for policy in both() {
        gives_in_place(&policy, prepare, &[tar().file("d/e/f", "x")], want.clone().file("d/e/f", "x"));
    }
}

#[test]
fn in_place_a_symlink_to_the_outside_leads_back_into_the_root() {
    for way in ways() {
        let world = way.world();
        fs::create_dir(world.dest_path()).unwrap();
        symlink(world.canary("/dir"), world.dest_path().join("abs")).unwrap();
        symlink("../canary/dir", world.dest_path().join("up")).unwrap();
        let layer = tar().file("abs/inner", "x").file("up/inner", "y");
        run_in_place(&world, &container(), &[layer], way).unwrap();
        world.assert_outside_untouched("links to the outside");
        let tree = world.tree().unwrap();
        assert_eq!(tree.get("canary/dir/inner").unwrap().kind, Kind::File(Data::of(b"y")));
        let error = run_in_place(&world, &strict(), &[tar().file("up/inner", "z")], way).unwrap_err();
        assert_eq!((error.kind(), error.partially_applied()), (ErrorKind::SymlinkInPath, true));
        world.assert_outside_untouched("links to the outside");
    }
}

#[test]
fn a_file_in_the_way_of_a_parent_is_replaced_with_an_event_and_refused_by_strict() {
    let layers = || [tar().file("d", "x"), tar().file("d/f", "y")];
    gives(&container(), &layers(), tree().implicit("d").file("d/f", "y")).events(&[(Reason::NonDirectoryReplaced, 1)]);
    refuses(&strict(), &layers(), ErrorKind::NotADirectory, (0, "d/f"));
    let reject = with(container(), |policy| policy.non_directory_parents = NonDirectoryParents::Reject);
    refuses(&reject, &layers(), ErrorKind::NotADirectory, (0, "d/f"));
    gives(&container(), &[tar().fifo("d"), tar().file("d/e/f", "y")], tree().implicit("d").implicit("d/e").file("d/e/f", "y"))
        .events(&[(Reason::NonDirectoryReplaced, 1)]);
}

#[test]
fn a_file_at_the_end_of_a_linked_parent_is_replaced_with_an_event() {
    let layers = || [tar().symlink("s", "d"), tar().file("d", "x").file("s/f", "y")];
    gives(&container(), &layers(), tree().symlink("s", "d").implicit("d").file("d/f", "y")).events(&[(Reason::NonDirectoryReplaced, 1)]);
    let reject = with(strict(), |policy| policy.symlinked_parents = SymlinkedParents::Resolve);
    refuses(&reject, &layers(), ErrorKind::NotADirectory, (1, "s/f"));
}

#[test]
fn a_parent_that_becomes_a_link_between_two_entries_is_followed_anew() {
    let layer = tar().dir("d").dir("e").file("d/1", "x").symlink("d", "e").file("d/2", "y");
    gives(&container(), &[layer], tree().symlink("d", "e").dir("e").file("e/2", "y"));
    // A hardlink of a symlink is a symlink: it ends what was known of the way.
    let layer = tar().dir("d").dir("e").symlink("s", "e").file("d/1", "x").hardlink("d", "s").file("d/2", "y");
    gives(&container(), &[layer], tree().dir("e").symlink("s", "e").hardlink("d", "s").file("e/2", "y"));
}

/// Tries to write into procfs from a root that is `/`: nothing may be made there, whoever runs this.
#[test]
fn a_parent_on_another_mount_is_an_error() {
    for way in ways() {
        for name in ["proc/safe-layers-test", "proc/self/attr/safe-layers-test", "proc/.wh.safe-layers-test"] {
            let policy = way.policy(&container());
            let mut unpacker = Unpacker::in_place(open_root(Path::new("/")), policy).unwrap().threads(way.threads());
            let error: Error = unpacker.apply(&Expect::dangerous_unverified(), tar().file(name, "").source().open()).unwrap_err();
            let place = error.location();
            assert_eq!((error.kind(), place.entry, place.path.as_deref()), (ErrorKind::MountCrossing, Some(0), Some(name.as_bytes())));
        }
    }
}

#[test]
fn a_link_into_another_mount_and_the_removal_of_one_are_errors() {
    if !needs_root("a mount") {
        return;
    }
    for way in ways() {
        let world = way.world();
        let mount = world.dest_path().join("d/m");
        fs::create_dir_all(&mount).unwrap();
        let Some(mounted) = Mounted::new("tmpfs", &mount) else {
            eprintln!("skipped: this root may not mount");
            return;
        };
        fs::write(mount.join("keep"), "x").unwrap();
        let cases = [
            tar().symlink("s", "d/m").file("s/f", "x"),
            tar().symlink("s", "/d/m").file("s/f", "x"),
            tar().file("d/m/f", "x"),
            tar().file("d/m/.wh.keep", ""),
            tar().file("d/m/.wh..wh..opq", ""),
            tar().file("d/.wh.m", ""),
            tar().file("d", "x"),
            tar().file(".wh.d", ""),
            tar().file(".wh..wh..opq", ""),
            tar().file("f", "").hardlink("h", "d/m/keep"),
        ];
        for layer in cases {
            let error = run_in_place(&world, &container(), &[layer], way).unwrap_err();
            assert_eq!((error.kind(), error.partially_applied()), (ErrorKind::MountCrossing, true), "{error}");
            assert_eq!(fs::read(mount.join("keep")).unwrap(), b"x");
            assert_eq!(fs::read_dir(&mount).unwrap().count(), 1);
        }
        drop(mounted);
        run_in_place(&world, &container(), &[tar().file("d/m/f", "x")], way).unwrap();
        assert_eq!(fs::read(mount.join("f")).unwrap(), b"x");
        world.assert_outside_untouched("a mount below the root");
    }
}
