//! Rows of three layers and more, and of what a hardlink may name in a lower one: where the forms could come apart.

use safe_layers::{ErrorKind, Hardlinks, Reason};

use crate::check::*;

const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn lower_d() -> Entry {
    Entry::dir("d").mode(0o700).mtime(5).pax("SCHILY.xattr.user.lower", "1")
}

#[test]
fn what_a_middle_layer_hides_is_gone_for_those_above() {
    for policy in both() {
        let lower = || tar().add(lower_d()).file("d/x", "old").file("f", "old");
        let hidden = || tar().file(".wh.d", "").file(".wh.f", "");
        gives(&policy, &[lower(), hidden(), tar().file("d/y", "new")], tree().implicit("d").file("d/y", "new"));
        gives(&policy, &[lower(), hidden(), tar().dir("d").file("f", "new")], tree().dir("d").file("f", "new"));
        // Nothing is left to hide, and no directory is made to say so.
        gives(&policy, &[lower(), hidden(), tar().file("d/.wh.x", "").file(".wh.f", "")], tree());
        gives(
            &policy,
            &[lower(), hidden(), hidden(), tar().file("d/z/w", "new")],
            tree().implicit("d").implicit("d/z").file("d/z/w", "new"),
        );
    }
    let layers = [tar().file("f", "old"), tar().file(".wh.f", ""), tar().hardlink("h", "f")];
    refuses(&container(), &layers, ErrorKind::HardlinkTargetMissing, (0, "h"));
}

#[test]
fn an_opaque_directory_of_a_middle_layer_hands_its_own_attributes_up() {
    for policy in both() {
        let lower = || tar().add(lower_d()).file("d/x", "old").dir("d/sub").file("d/sub/w", "old");
        let kept = tree().node("d", Kind::Dir, 0o700, 5).xattr("user.lower", "1");
        let opaque = tar().file("d/.wh..wh..opq", "").file("d/y", "middle");
        gives(&policy, &[lower(), opaque.clone(), tar().file("d/z", "new")], kept.clone().file("d/y", "middle").file("d/z", "new"));
        let want = kept.file("d/y", "middle").implicit("d/sub").file("d/sub/v", "new");
        gives(&policy, &[lower(), opaque, tar().file("d/sub/v", "new")], want);
        let anew = tar().add(Entry::dir("d").mode(0o711).mtime(6)).file("d/.wh..wh..opq", "");
        gives(&policy, &[lower(), anew, tar().file("d/z", "new")], tree().node("d", Kind::Dir, 0o711, 6).file("d/z", "new"));
    }
}

#[test]
fn a_directory_that_was_something_else_in_a_middle_layer_begins_anew() {
    let lower = || tar().add(lower_d()).file("d/x", "old").dir("d/sub");
    let middles = [
        (tar().file("d", "file"), tree()),
        (tar().symlink("d", "elsewhere"), tree()),
        (tar().fifo("d"), tree()),
        (tar().file("f", "x").hardlink("d", "f"), tree().file("f", "x")),
    ];
    for (middle, rest) in middles {
        gives(&container(), &[lower(), middle.clone(), tar().dir("d").file("d/y", "new")], rest.clone().dir("d").file("d/y", "new"));
        let want = rest.implicit("d").implicit("d/sub").file("d/sub/y", "new");
        gives(&container(), &[lower(), middle, tar().file(".wh.d", ""), tar().file("d/sub/y", "new")], want);
    }
}

#[test]
fn a_path_is_one_thing_after_another_through_many_layers() {
    let layers = [
        tar().dir("n").file("n/a", "1"),
        tar().file("n", "2"),
        tar().dir("n").file("n/b", "3"),
        tar().symlink("n", "m").file("m/c", "4"),
        tar().file("n/d", "5"),
        tar().file(".wh.n", "").file("m/.wh.c", ""),
        tar().file("n/e", "6"),
    ];
    let after: [Want; 7] = [
        tree().dir("n").file("n/a", "1"),
        tree().file("n", "2"),
        tree().dir("n").file("n/b", "3"),
        tree().symlink("n", "m").implicit("m").file("m/c", "4"),
        tree().symlink("n", "m").implicit("m").file("m/c", "4").file("m/d", "5"),
        tree().implicit("m").file("m/d", "5"),
        tree().implicit("m").file("m/d", "5").implicit("n").file("n/e", "6"),
    ];
    for (count, want) in (1..).zip(after) {
        gives(&container(), &layers[..count], want);
    }
}

#[test]
fn an_opaque_root_in_the_middle_hides_all_below_it_from_those_above() {
    for policy in both() {
        let lower = tar().add(Entry::dir("./").mode(0o711).mtime(9)).file("f", "old").add(lower_d()).file("d/x", "old");
        let layers = [lower, tar().file("g", "middle").file(".wh..wh..opq", ""), tar().file("d/y", "new").file(".wh.f", "")];
        let want = tree().node("", Kind::Dir, 0o711, 9).file("g", "middle");
        gives(&policy, &layers[..2], want.clone());
        gives(&policy, &layers, want.implicit("d").file("d/y", "new"));
    }
}

#[test]
fn a_marker_hides_one_name_of_an_inode_and_leaves_the_others() {
    for policy in both() {
        let lower = tar().file("f", "x").hardlink("g", "f").hardlink("h", "f");
        gives(&policy, &[lower.clone(), tar().file(".wh.g", "")], tree().file("f", "x").hardlink("h", "f"));
        gives(&policy, &[lower, tar().file(".wh.f", "").file(".wh.g", "")], tree().file("h", "x"));
    }
}

#[test]
fn a_marker_names_any_bytes_up_to_the_length_of_a_name() {
    let long = "n".repeat(251);
    for policy in both() {
        let lower = tar().file(&long, "x").file(b"\xff\n", "x").file("f", "y");
        let upper = tar().file(format!(".wh.{long}"), "").file(b".wh.\xff\n", "");
        gives(&policy, &[lower, upper], tree().file("f", "y"));
        let over = format!(".wh.{}", "n".repeat(252));
        refuses(&policy, &[tar().file(&over, "")], ErrorKind::NameTooLong, (0, over.as_str()));
    }
}

#[test]
fn a_hardlink_before_the_marker_that_hides_its_target_is_made_and_one_after_it_has_none() {
    let lower = || tar().add(lower_d()).file("d/f", "old").file("f", "old");
    let kept = || tree().node("d", Kind::Dir, 0o700, 5).xattr("user.lower", "1");
    let cases = [
        ("f", ".wh.f", kept().file("d/f", "old")),
        ("d/f", "d/.wh.f", kept().file("f", "old")),
        ("d/f", "d/.wh..wh..opq", kept().file("f", "old")),
        ("d/f", ".wh.d", tree().file("f", "old")),
        ("f", ".wh..wh..opq", tree()),
    ];
    for (target, marker, want) in cases {
        let want = want.file("h", "old");
        gives(&container(), &[lower(), tar().hardlink("h", target).file(marker, "")], want.clone());
        refuses(&container(), &[lower(), tar().file(marker, "").hardlink("h", target)], ErrorKind::HardlinkTargetMissing, (1, "h"));
        // A new file of the name is the target of the one that found none.
        let layer = tar().file(marker, "").hardlink("h", "f").file("f", "new");
        let found = apply(&container(), &[lower(), layer]).unwrap();
        let data = if target == "f" { "new" } else { "old" };
        assert_eq!(found.tree.get("h").unwrap().kind, Kind::File(Data::of(data.as_bytes())), "{marker}");
    }
}

#[test]
fn a_hardlink_keeps_what_a_later_entry_replaces() {
    let lower = || tar().file("f", "old").file("d/f", "old");
    let want = tree().file("f", "new").implicit("d").file("d/f", "old").file("h", "old");
    gives(&container(), &[lower(), tar().hardlink("h", "f").file("f", "new")], want);
    let want = tree().file("f", "old").file("d", "new").file("h", "old");
    gives(&container(), &[lower(), tar().hardlink("h", "d/f").file("d", "new")], want);
    let want = tree().file("f", "old").hardlink("h", "f").implicit("d").file("d/f", "old");
    gives(&container(), &[lower(), tar().hardlink("h", "f"), tar()], want.clone());
    gives(&container(), &[lower(), tar().hardlink("i", "f"), tar().hardlink("h", "i").file(".wh.i", "")], {
        tree().file("f", "old").hardlink("h", "f").implicit("d").file("d/f", "old")
    });
}

#[test]
fn a_hardlink_to_a_lower_object_of_any_type_has_all_that_it_has() {
    let file = Entry::file("n", "x".repeat(200_000)).mode(0o640).pax("mtime", "5.000000007").pax("SCHILY.xattr.user.k", "v");
    let want = tree().file("n", "x".repeat(200_000)).mode(0o640).mtime(5, 7).xattr("user.k", "v");
    let cases = [
        (file, want),
        (Entry::file("n", "").mode(0), tree().file("n", "").mode(0)),
        (Entry::symlink("n", "no/such").pax("mtime", "-1.5"), tree().symlink("n", "no/such").mtime(-2, 500_000_000)),
        (Entry::fifo("n").mode(0o620).mtime(0), tree().fifo("n").mode(0o620).mtime(0, 0)),
        (Entry::gnu_sparse("n", &[(1 << 20, 3)], 8 << 20, "abc"), {
            let mut content = vec![0; 8 << 20];
            content[1 << 20..][..3].copy_from_slice(b"abc");
            tree().file("n", content)
        }),
    ];
    for (entry, want) in cases {
        let want = want.implicit("d").hardlink("d/h", "n");
        gives(&container(), &[tar().add(entry), tar(), tar().hardlink("d/h", "n")], want);
    }
    if needs_root("another owner") {
        let entry = Entry::file("n", "x").mode(0o4711).uid(7).gid(8).pax("SCHILY.xattr.security.capability", CAPABILITY);
        let want = tree().file("n", "x").mode(0o4711).owner(7, 8).xattr("security.capability", CAPABILITY);
        gives(&container(), &[tar().add(entry), tar().hardlink("h", "n")], want.hardlink("h", "n"));
        let entry = Entry::symlink("n", "t").uid(7).gid(8);
        gives(&container(), &[tar().add(entry), tar().hardlink("h", "n")], tree().symlink("n", "t").owner(7, 8).hardlink("h", "n"));
        let acl = named_acl(&[(1, 6, u32::MAX), (2, 7, 1234), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 4, u32::MAX)]);
        let entry = Entry::file("n", "x").mode(0o674).pax("SCHILY.xattr.system.posix_acl_access", &acl);
        let want = tree().file("n", "x").mode(0o674).xattr("system.posix_acl_access", &acl);
        gives(&container(), &[tar().add(entry), tar().hardlink("h", "n")], want.hardlink("h", "n"));
    }
}

#[test]
fn names_of_one_lower_inode_are_linked_as_one() {
    let lower = || tar().file("f", "x").dir("d").hardlink("d/g", "f");
    let want = || tree().file("f", "x").dir("d").hardlink("d/g", "f");
    gives(&container(), &[lower(), tar().hardlink("h", "f").hardlink("d/i", "d/g")], want().hardlink("h", "f").hardlink("d/i", "f"));
    gives(&container(), &[lower(), tar().hardlink("h", "f"), tar().hardlink("i", "f").hardlink("j", "h")], {
        want().hardlink("h", "f").hardlink("i", "f").hardlink("j", "f")
    });
    gives(&container(), &[lower(), tar().hardlink("f", "d/g")], want());
}

#[test]
fn a_lower_target_is_found_through_lower_links_and_named_by_rules_of_names() {
    let lower = || tar().dir("usr").dir("usr/lib").file("usr/lib/f", "x").symlink("lib", "/usr/lib").symlink("d", "usr");
    let want = || tree().dir("usr").dir("usr/lib").file("usr/lib/f", "x").symlink("lib", "/usr/lib").symlink("d", "usr");
    gives(&container(), &[lower(), tar().hardlink("h", "lib/f")], want().hardlink("h", "usr/lib/f"));
    gives(&container(), &[lower(), tar().hardlink("d/h", "d/lib/f")], want().hardlink("usr/h", "usr/lib/f"));
    refuses(&container(), &[lower(), tar().hardlink("h", "usr/lib")], ErrorKind::HardlinkToSpecial, (0, "h"));
    refuses(&container(), &[lower(), tar().hardlink("h", "lib/g")], ErrorKind::HardlinkTargetMissing, (0, "h"));
    let none = with(container(), |policy| policy.hardlinks = Hardlinks::InLayer);
    refuses(&none, &[lower(), tar().hardlink("h", "usr/lib/f")], ErrorKind::HardlinkTargetMissing, (0, "h"));
    for policy in both() {
        let over = "n".repeat(256);
        refuses(&policy, &[tar().file("f", ""), tar().hardlink("h", &over)], ErrorKind::NameTooLong, (0, "h"));
    }
}

#[test]
fn a_hardlink_to_itself_in_a_lower_layer_is_left_out_with_an_event() {
    let lower = || tar().add(lower_d()).file("d/f", "x").symlink("s", "d");
    let want = || tree().node("d", Kind::Dir, 0o700, 5).xattr("user.lower", "1").file("d/f", "x").symlink("s", "d");
    gives(&container(), &[lower(), tar().hardlink("d/f", "d/f")], want()).events(&[(Reason::HardlinkToItself, 1)]);
    gives(&container(), &[lower(), tar().hardlink("s/f", "d/f")], want()).events(&[(Reason::HardlinkToItself, 1)]);
    gives(&container(), &[lower(), tar().hardlink("d/f", "s/f")], want()).events(&[(Reason::HardlinkToItself, 1)]);
}
