//! §1 Names.

use safe_layers::{ErrorKind, Reason};

use crate::check::*;
use crate::common::builder::LongNames;

#[test]
fn empty_and_dot_components_are_dropped() {
    for policy in both() {
        gives(&policy, &[tar().dir("./d//").file("d/.//f", "x").file("././g", "y")], tree().dir("d").file("d/f", "x").file("g", "y"));
    }
}

#[test]
fn a_name_is_bytes_and_need_not_be_utf8() {
    for policy in both() {
        let name = b"\xff\xfe \n\\x";
        gives(&policy, &[tar().file(name, "x")], tree().file(name, "x"));
    }
}

#[test]
fn dotdot_anywhere_in_a_name_is_an_error() {
    for policy in both() {
        for name in ["..", "../f", "../canary/secret", "d/../f", "d/..", "/../f", "./../f", "d/../../canary/file", "../dest-evil/f"] {
            refuses(&policy, &[tar().dir("d").file(name, "x")], ErrorKind::PathTraversal, (1, name));
            refuses(&policy, &[tar().dir("d").dir(name)], ErrorKind::PathTraversal, (1, name));
        }
        gives(&policy, &[tar().file("..f", "x").file("...", "y")], tree().file("..f", "x").file("...", "y"));
    }
}

#[test]
fn an_absolute_name_is_stripped_with_an_event_and_refused_by_strict() {
    let layer = || tar().file("///etc/f", "x");
    gives(&container(), &[layer()], tree().implicit("etc").file("etc/f", "x")).events(&[(Reason::AbsoluteNameStripped, 1)]);
    refuses(&strict(), &[layer()], ErrorKind::AbsolutePath, (0, "///etc/f"));
}

#[test]
fn an_absolute_name_of_the_host_lands_below_the_root() {
    let world = World::new();
    let name = world.canary("/secret");
    let at = name.trim_start_matches('/');
    let parents = at.char_indices().filter(|(_, c)| *c == '/').map(|(end, _)| &at[..end]);
    let want = parents.fold(tree(), |want, parent| want.implicit(parent)).file(at, "x");
    gives(&container(), &[tar().file(&name, "x")], want);
    world.assert_outside_untouched("an absolute name");
}

#[test]
fn a_fixed_field_ends_at_its_first_nul() {
    for policy in both() {
        gives(&policy, &[tar().file("f\0../evil", "x")], tree().file("f", "x"));
    }
}

#[test]
fn trailing_nuls_of_a_gnu_long_name_are_stripped_and_a_nul_before_other_bytes_is_an_error() {
    for policy in both() {
        let with_name = |name: &[u8]| tar().gnu_long_name(name).add(Entry::file("short", "x").gnu());
        gives(&policy, &[with_name(b"f\0\0\0")], tree().file("f", "x"));
        let error = apply(&policy, &[with_name(b"f\0g\0")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName);
        let with_link = |link: &[u8]| tar().gnu_long_link(link).add(Entry::symlink("s", "short").gnu());
        gives(&policy, &[with_link(b"t\0\0")], tree().symlink("s", "t"));
        let error = apply(&policy, &[with_link(b"t\0u\0")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidLinkTarget);
    }
}

#[test]
fn a_nul_in_a_pax_name_is_an_error() {
    for policy in both() {
        gives(&policy, &[tar().add(Entry::file("short", "x").pax("path", "f"))], tree().file("f", "x"));
        for name in ["f\0", "f\0/../g"] {
            refuses(&policy, &[tar().add(Entry::file("short", "x").pax("path", name))], ErrorKind::InvalidName, At::entry(0));
        }
    }
}

#[test]
fn a_component_of_255_bytes_passes_and_one_of_256_is_an_error() {
    let (most, over) = ("n".repeat(255), "n".repeat(256));
    for policy in both() {
        for how in [LongNames::Pax, LongNames::Gnu] {
            gives(&policy, &[tar().add(Entry::file(&most, "x").long_names(how))], tree().file(&most, "x"));
            refuses(&policy, &[tar().add(Entry::file(&over, "x").long_names(how))], ErrorKind::NameTooLong, (0, over.as_str()));
        }
    }
}

#[test]
fn a_path_over_the_limit_is_an_error_that_names_it() {
    let policy = |base| with(base, |policy| policy.limits.path_bytes = 5);
    for base in both() {
        gives(&policy(base.clone()), &[tar().dir("a").file("a/bcd", "x")], tree().dir("a").file("a/bcd", "x"));
        let error = refuses(&policy(base), &[tar().dir("a").file("a/bcde", "x")], ErrorKind::NameTooLong, (1, "a/bcde"));
        assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("path_bytes", 5)));
    }
}

#[test]
fn an_empty_name_is_an_error_on_anything_but_a_directory() {
    for policy in both() {
        refuses(&policy, &[tar().file("", "x")], ErrorKind::InvalidName, (0, ""));
        for name in [".", "./", "/", ".//."] {
            let links = [Entry::symlink(name, "t"), Entry::hardlink(name, "t")];
            for entry in links.into_iter().chain([Entry::fifo(name), Entry::char(name, 1, 3), Entry::block(name, 1, 3)]) {
                refuses(&policy, &[tar().add(entry)], ErrorKind::RootReplaced, (0, name));
            }
        }
    }
}

#[test]
fn a_file_with_the_name_of_the_root_is_an_error_and_a_directory_without_a_name_is_the_root() {
    for policy in both() {
        for name in [".", "/.", "././"] {
            refuses(&policy, &[tar().add(Entry::file(name, ""))], ErrorKind::RootReplaced, (0, name));
        }
        gives(&policy, &[tar().add(Entry::dir("").mode(0o711))], tree().dir("").mode(0o711));
    }
}

#[test]
fn a_path_deeper_than_the_limit_is_an_error_that_names_it() {
    for policy in both() {
        let policy = with(policy, |policy| policy.limits.depth = 3);
        gives(&policy, &[tar().dir("a").dir("a/b").dir("a/b/c")], tree().dir("a").dir("a/b").dir("a/b/c"));
        let error = refuses(&policy, &[tar().dir("a").dir("a/b").dir("a/b/c/d")], ErrorKind::LimitExceeded, (2, "a/b/c/d"));
        assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("depth", 3)));
    }
}

#[test]
fn the_root_entry_gives_the_root_its_attributes() {
    for policy in both() {
        for name in [".", "./", "/"] {
            let entry = Entry::dir(name).mode(0o710).mtime(5).pax("SCHILY.xattr.user.k", "v");
            let want = tree().node("", Kind::Dir, 0o710, 5).xattr("user.k", "v").file("f", "x");
            gives(&policy, &[tar().add(entry.clone()).file("f", "x")], want.clone());
            gives(&policy, &[tar().file("f", "x").add(entry)], want);
        }
    }
}

#[test]
fn the_root_entry_gives_the_root_its_owner() {
    if needs_root("another owner") {
        gives(&container(), &[tar().add(Entry::dir("./").uid(7).gid(8))], tree().dir("").owner(7, 8));
    }
}

#[test]
fn a_later_layer_without_a_root_entry_leaves_the_root_as_it_is() {
    for policy in both() {
        let first = tar().add(Entry::dir("./").mode(0o711).mtime(9));
        gives(&policy, &[first, tar().file("f", "x")], tree().node("", Kind::Dir, 0o711, 9).file("f", "x"));
    }
}

#[test]
fn a_new_root_without_an_entry_is_0755_with_time_0() {
    for policy in both() {
        gives(&policy, &[tar()], tree());
    }
}

#[test]
fn in_place_a_root_without_an_entry_stays_as_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let prepare = |root: &std::path::Path| {
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o751)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(77);
        std::fs::File::open(root).unwrap().set_modified(time).unwrap();
    };
    for policy in both() {
        gives_in_place(&policy, prepare, &[tar().file("f", "x")], tree().node("", Kind::Dir, 0o751, 77).file("f", "x"));
        let entry = Entry::dir("./").mode(0o700).mtime(1);
        gives_in_place(&policy, prepare, &[tar().add(entry)], tree().node("", Kind::Dir, 0o700, 1));
    }
}

#[test]
fn a_trailing_slash_makes_an_old_style_entry_a_directory() {
    for policy in both() {
        let entry = || Entry::of(0, "d/").v7().mode(0o755);
        gives(&policy, &[tar().add(entry()).add(Entry::of(0, "f").v7())], tree().dir("d").file("f", ""));
        refuses(&policy, &[tar().add(entry().body("x"))], ErrorKind::TypeConflict, (0, "d"));
    }
}

#[test]
fn an_old_style_directory_is_one_in_every_dialect() {
    for policy in both() {
        for entry in [Entry::of(0, "d/"), Entry::of(0, "d/").gnu(), Entry::of(0, "d/").v7()] {
            gives(&policy, &[tar().add(entry.mode(0o755))], tree().dir("d")).events(&[]);
        }
    }
}

#[test]
fn a_trailing_slash_on_a_regular_file_is_an_error() {
    for policy in both() {
        for entry in [Entry::file("f/", "x"), Entry::of(b'7', "f/").body("x"), Entry::gnu_sparse("f/", &[(0, 1)], 1, "x")] {
            refuses(&policy, &[tar().add(entry)], ErrorKind::TypeConflict, (0, "f"));
        }
    }
}

#[test]
fn a_trailing_slash_on_a_link_or_fifo_is_stripped_with_an_event_and_refused_by_strict() {
    let symlink = || tar().symlink("s/", "t");
    gives(&container(), &[symlink()], tree().symlink("s", "t")).events(&[(Reason::TrailingSlashStripped, 1)]);
    refuses(&strict(), &[symlink()], ErrorKind::TypeConflict, (0, "s"));
    let hardlink = || tar().file("f", "x").hardlink("h/", "f");
    gives(&container(), &[hardlink()], tree().file("f", "x").hardlink("h", "f")).events(&[(Reason::TrailingSlashStripped, 1)]);
    refuses(&strict(), &[hardlink()], ErrorKind::TypeConflict, (1, "h"));
    gives(&container(), &[tar().fifo("p/")], tree().fifo("p")).events(&[(Reason::TrailingSlashStripped, 1)]);
    let device = || tar().add(Entry::block("b/", 1, 2));
    gives(&container(), &[device()], tree()).events(&[(Reason::TrailingSlashStripped, 1), (Reason::DeviceSkipped, 1)]);
}

#[test]
fn the_last_of_two_entries_of_one_name_wins_with_an_event_and_strict_refuses_the_second() {
    for (first, second) in [("f", "f"), ("f", "./f"), ("./f", ".//f")] {
        let layer = || tar().file(first, "old").file(second, "new");
        gives(&container(), &[layer()], tree().file("f", "new")).events(&[(Reason::DuplicateEntry, 1)]);
        refuses(&strict(), &[layer()], ErrorKind::DuplicateEntry, (1, "f"));
    }
}

#[test]
fn a_second_entry_of_another_type_is_a_duplicate_too() {
    let pairs: [(Entry, Entry, Want); 5] = [
        (Entry::dir("n"), Entry::dir("n").mode(0o700), tree().dir("n").mode(0o700)),
        (Entry::dir("n"), Entry::file("n", "x"), tree().file("n", "x")),
        (Entry::file("n", "x"), Entry::dir("n"), tree().dir("n")),
        (Entry::symlink("n", "t"), Entry::dir("n"), tree().dir("n")),
        (Entry::dir("./"), Entry::dir("."), tree().dir("")),
    ];
    for (first, second, want) in pairs {
        let layer = || tar().add(first.clone()).add(second.clone());
        gives(&container(), &[layer()], want).events(&[(Reason::DuplicateEntry, 1)]);
        let error = apply(&strict(), &[layer()]).unwrap_err();
        assert_eq!((error.kind(), error.location().entry), (ErrorKind::DuplicateEntry, Some(1)));
    }
}

#[test]
fn a_name_of_another_layer_is_no_duplicate() {
    for policy in both() {
        gives(&policy, &[tar().file("f", "old"), tar().file("f", "new")], tree().file("f", "new")).events(&[]);
    }
}

#[test]
fn a_whiteout_and_the_file_it_names_are_no_duplicates() {
    for policy in both() {
        gives(&policy, &[tar().file("f", "x").file(".wh.f", "")], tree().file("f", "x")).events(&[]);
    }
}

#[test]
fn a_second_whiteout_of_one_name_is_a_duplicate() {
    let layer = || tar().file(".wh.f", "").file("./.wh.f", "");
    gives(&container(), &[layer()], tree()).events(&[(Reason::DuplicateEntry, 1)]);
    refuses(&strict(), &[layer()], ErrorKind::DuplicateEntry, (1, ".wh.f"));
}

#[test]
fn an_implicit_parent_and_its_entry_later_are_no_duplicates() {
    for (policy, events) in [(strict(), vec![(Reason::ImplicitParent, 1)]), (container(), vec![])] {
        gives(&policy, &[tar().file("d/f", "x").dir("d")], tree().dir("d").file("d/f", "x")).events(&events);
    }
}

#[test]
fn an_entry_in_a_new_directory_is_no_duplicate_of_one_in_a_directory_that_is_gone() {
    // A filesystem may give the new directory the inode number of the one that was replaced.
    for policy in both() {
        gives(&policy, &[tar().file("d/x", "1").file("d", "2").dir("e").file("e/x", "3")], tree().file("d", "2").dir("e").file("e/x", "3"))
            .events(if policy == strict() { &[(Reason::ImplicitParent, 1)] } else { &[] });
    }
}
