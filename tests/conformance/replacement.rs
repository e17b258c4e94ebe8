//! §3 Replacement.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use safe_layers::{Devices, Hardlinks, Reason, UnknownTypes};

use crate::check::*;

#[test]
fn a_directory_over_a_directory_takes_attributes_and_keeps_what_is_in_it() {
    for policy in both() {
        let lower = tar().add(Entry::dir("d").mode(0o711).mtime(3).pax("SCHILY.xattr.user.old", "1").pax("SCHILY.xattr.user.both", "1"));
        let upper = tar().add(Entry::dir("d").mode(0o750).mtime(4).pax("SCHILY.xattr.user.both", "2").pax("SCHILY.xattr.user.new", "2"));
        let want = tree().node("d", Kind::Dir, 0o750, 4).xattr("user.both", "2").xattr("user.new", "2").file("d/f", "x");
        gives(&policy, &[lower.file("d/f", "x"), upper], want);
    }
}

#[test]
fn a_directory_loses_the_acls_of_the_lower_one() {
    let default = acl(&[(1, 7), (4, 7), (32, 7)]);
    let entry = |value: Option<&[u8]>| match value {
        Some(value) => Entry::dir("d").pax("SCHILY.xattr.system.posix_acl_default", value),
        None => Entry::dir("d"),
    };
    for policy in both() {
        let layers = [tar().add(entry(Some(&default))).file("d/f", "x"), tar().add(entry(None)).file("d/g", "y")];
        gives(&policy, &layers, tree().dir("d").file("d/f", "x").file("d/g", "y"));
        let layers = [tar().add(entry(None)).file("d/f", "x"), tar().add(entry(Some(&default))).file("d/g", "y")];
        gives(&policy, &layers, tree().dir("d").xattr("system.posix_acl_default", &default).file("d/f", "x").file("d/g", "y"));
    }
}

#[test]
fn a_directory_loses_the_owner_of_the_lower_one() {
    if needs_root("another owner") {
        let layers = [tar().add(Entry::dir("d").uid(5).gid(6)), tar().add(Entry::dir("d").uid(7).gid(8))];
        gives(&container(), &layers, tree().dir("d").owner(7, 8));
    }
}

/// An object of each type, named `n`, with what stands in a tree that has it.
fn objects() -> Vec<(Tar, Want)> {
    vec![
        (tar().file("n", "new"), tree().file("n", "new")),
        (tar().symlink("n", "t"), tree().symlink("n", "t")),
        (tar().dir("n"), tree().dir("n")),
        (tar().fifo("n"), tree().fifo("n")),
        (tar().file("a", "x").hardlink("n", "a"), tree().file("a", "x").hardlink("n", "a")),
        (tar().dir("n").file("n/f", "x").dir("n/e").file("n/e/g", "y"), tree().dir("n").file("n/f", "x").dir("n/e").file("n/e/g", "y")),
    ]
}

#[test]
fn every_type_replaces_every_other_and_only_directories_are_merged() {
    for (number, (lower, lower_want)) in objects().into_iter().enumerate() {
        for (upper, upper_want) in objects() {
            let merged = lower_want.clone().merged(&upper_want);
            gives(&container(), &[lower.clone(), upper], merged);
        }
        assert!(number < 6);
    }
}

#[test]
fn a_file_is_never_written_through_an_existing_inode() {
    for policy in both() {
        let lower = tar().file("a", "old").hardlink("b", "a");
        let want = tree().file("a", "new").file("b", "old");
        gives(&policy, &[lower, tar().file("a", "new")], want);
    }
}

#[test]
fn a_file_replaces_a_symlink_and_does_not_follow_it() {
    for policy in both() {
        let lower = tar().file("t", "old").symlink("s", "t");
        gives(&policy, &[lower, tar().file("s", "new")], tree().file("t", "old").file("s", "new"));
    }
}

#[test]
fn a_file_replaces_a_symlink_to_the_host_and_does_not_follow_it() {
    for way in ways() {
        let world = way.world();
        let lower = tar().symlink("s", world.canary("/secret")).symlink("d", world.canary("/dir"));
        let upper = tar().file("s", "new").dir("d").file("d/inner", "new");
        run(&world, &container(), &[lower, upper], way).unwrap();
        world.assert_outside_untouched("a file over a link to the host");
        world.assert_nothing_taken("a file over a link to the host");
        assert_same(&tree().file("s", "new").dir("d").file("d/inner", "new").tree(), &world.tree().unwrap(), "replaced");
    }
}

#[test]
fn a_directory_over_a_symlink_to_a_directory_replaces_the_link() {
    for policy in both() {
        let lower = tar().dir("real").file("real/f", "x").symlink("d", "real");
        let want = tree().dir("real").file("real/f", "x").dir("d").file("d/g", "y");
        gives(&policy, &[lower, tar().dir("d").file("d/g", "y")], want);
    }
}

#[test]
fn a_skipped_entry_leaves_what_stands_at_its_path() {
    let upper = || tar().add(Entry::block("n", 7, 1));
    gives(&container(), &[tar().file("n", "old"), upper()], tree().file("n", "old")).events(&[(Reason::DeviceSkipped, 1)]);
    gives(&container(), &[tar().dir("n").file("n/f", "x"), upper()], tree().dir("n").file("n/f", "x"));
    if needs_root("a device") {
        let policy = with(container(), |policy| policy.devices = Devices::Create);
        let device = Kind::Block(rustix::fs::makedev(7, 1));
        gives(&policy, &[tar().file("n", "old"), upper()], tree().node("n", device, 0o644, TIME)).events(&[]);
    }
}

#[test]
fn a_skipped_entry_of_an_unknown_type_leaves_what_stands_at_its_path_and_its_hardlinks_are_skipped() {
    for policy in both() {
        let policy = with(policy, |policy| policy.unknown_types = UnknownTypes::Skip);
        let upper = || tar().add(Entry::of(b'Z', "n").body("body"));
        gives(&policy, &[tar().file("n", "old"), upper()], tree().file("n", "old")).events(&[(Reason::UnknownTypeSkipped, 1)]);
        let events = [(Reason::UnknownTypeSkipped, 1), (Reason::HardlinkToSkipped, 1)];
        gives(&policy, &[tar().file("h", "old"), upper().hardlink("h", "n")], tree().file("h", "old")).events(&events);
    }
}

#[test]
fn a_hardlink_to_a_skipped_entry_is_skipped_wherever_it_stands() {
    let events = [(Reason::DeviceSkipped, 1), (Reason::HardlinkToSkipped, 1)];
    let layer = tar().add(Entry::block("dev", 7, 1)).hardlink("h", "dev");
    gives(&container(), &[tar().file("h", "old"), layer], tree().file("h", "old")).events(&events);
    // One that had to wait has taken its place by then.
    for target in ["dev", "./dev"] {
        let layer = tar().hardlink("h", target).add(Entry::block("dev", 7, 1));
        gives(&container(), &[tar().file("h", "old"), layer], tree()).events(&events);
    }
}

#[test]
fn a_hardlink_to_a_hardlink_that_was_skipped_is_skipped() {
    let layer = tar().add(Entry::block("dev", 7, 1)).hardlink("h", "dev").hardlink("i", "h");
    gives(&container(), &[layer], tree()).events(&[(Reason::DeviceSkipped, 1), (Reason::HardlinkToSkipped, 2)]);
    let layer = tar().hardlink("i", "h").hardlink("h", "dev").add(Entry::block("dev", 7, 1));
    gives(&container(), &[layer], tree()).events(&[(Reason::DeviceSkipped, 1), (Reason::HardlinkToSkipped, 2)]);
}

#[test]
fn an_entry_that_takes_the_name_of_a_skipped_one_can_be_linked() {
    let layer = tar().add(Entry::block("n", 7, 1)).file("n", "x").hardlink("h", "n");
    gives(&container(), &[layer], tree().file("n", "x").hardlink("h", "n")).events(&[(Reason::DeviceSkipped, 1)]);
}

#[test]
fn removal_does_not_follow_links() {
    for way in ways() {
        let world = way.world();
        fs::create_dir_all(world.dest_path().join("d/e")).unwrap();
        for (link, target) in [("d/s", "../../canary"), ("d/e/s", "../../../canary/dir")] {
            symlink(target, world.dest_path().join(link)).unwrap();
        }
        symlink(world.canary("/dir"), world.dest_path().join("d/abs")).unwrap();
        run_in_place(&world, &container(), &[tar().file("d", "x")], way).unwrap();
        world.assert_outside_untouched("removal");
        assert_eq!(fs::read(world.dest_path().join("d")).unwrap(), b"x");
    }
}

#[test]
fn removal_of_a_tree_deeper_than_a_path_can_name_needs_no_stack() {
    let prepare = |root: &Path| {
        let mut dir = cap_std::fs::Dir::open_ambient_dir(root, cap_std::ambient_authority()).unwrap();
        for level in 0..600 {
            dir.create_dir("d".repeat(20)).unwrap();
            dir.write("f", format!("{level}")).unwrap();
            dir = dir.open_dir("d".repeat(20)).unwrap();
        }
        let time = std::time::UNIX_EPOCH;
        fs::File::open(root).unwrap().set_modified(time).unwrap();
    };
    for policy in both() {
        gives_in_place(&policy, prepare, &[tar().file(format!(".wh.{}", "d".repeat(20)), "").file("f", "")], tree().file("f", ""));
    }
}

#[test]
fn removal_removes_directories_without_permissions() {
    for policy in both() {
        let lower = tar().add(Entry::dir("d").mode(0)).add(Entry::dir("d/e").mode(0)).add(Entry::file("d/e/f", "x").mode(0));
        gives(&policy, &[lower.clone(), tar().file("d", "y")], tree().file("d", "y"));
        gives(&policy, &[lower, tar().file(".wh.d", "")], tree());
    }
}

#[test]
fn removal_of_one_name_leaves_the_others_of_the_inode() {
    let policy = with(strict(), |policy| policy.hardlinks = Hardlinks::InRoot);
    for policy in [policy, container()] {
        let lower = || tar().dir("d").file("d/f", "x").hardlink("h", "d/f");
        gives(&policy, &[lower(), tar().file(".wh.d", "")], tree().file("h", "x"));
        gives(&policy, &[lower(), tar().file("d", "y")], tree().file("h", "x").file("d", "y"));
    }
}

#[test]
fn a_layer_that_replaces_a_lower_directory_by_a_file_and_that_by_a_directory_begins_anew() {
    let layer = tar().file("d", "x").dir("d").file("d/new", "y");
    let want = tree().dir("d").file("d/new", "y");
    gives(&container(), &[tar().dir("d").file("d/old", "x"), layer], want).events(&[(Reason::DuplicateEntry, 1)]);
}
