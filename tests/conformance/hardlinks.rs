//! §6 Hardlinks.

use safe_layers::{Devices, ErrorKind, Hardlinks, Reason, SymlinkedParents, Symlinks};

use crate::check::*;

#[test]
fn a_hardlink_is_a_further_name_of_the_inode() {
    for policy in both() {
        let layer = tar().file("f", "x").dir("d").hardlink("d/h", "f").hardlink("g", "d/h");
        gives(&policy, &[layer], tree().file("f", "x").dir("d").hardlink("d/h", "f").hardlink("g", "f")).events(&[]);
    }
}

#[test]
fn a_leading_slash_of_the_target_is_stripped_with_an_event_and_refused_by_strict() {
    let layer = || tar().file("f", "x").hardlink("h", "/f");
    gives(&container(), &[layer()], tree().file("f", "x").hardlink("h", "f")).events(&[(Reason::AbsoluteNameStripped, 1)]);
    refuses(&strict(), &[layer()], ErrorKind::HardlinkEscape, (1, "h"));
}

#[test]
fn a_target_is_cleaned_as_a_name_is() {
    for policy in both() {
        gives(&policy, &[tar().file("f", "x").hardlink("h", ".//./f")], tree().file("f", "x").hardlink("h", "f"));
    }
}

#[test]
fn a_target_outside_the_root_is_an_error() {
    for policy in both() {
        for target in ["../canary/secret", "../f", "d/../f", "d/../../canary/secret", ".."] {
            refuses(&policy, &[tar().file("f", "x").hardlink("h", target)], ErrorKind::HardlinkEscape, (1, "h"));
        }
    }
}

#[test]
fn a_target_on_the_host_is_a_missing_one_below_the_root() {
    for way in ways() {
        let world = way.world();
        for target in [world.canary("/secret"), "/etc/passwd".into()] {
            let error = run(&world, &container(), &[tar().hardlink("h", &target)], way).unwrap_err();
            assert_eq!((error.kind(), error.location().path.as_deref()), (ErrorKind::HardlinkTargetMissing, Some(&b"h"[..])));
            world.assert_not_exposed("a hardlink to the host");
            world.assert_outside_untouched("a hardlink to the host");
        }
    }
}

#[test]
fn a_target_through_a_link_to_the_host_is_sought_below_the_root() {
    for way in ways() {
        let world = way.world();
        let layer = tar().symlink("s", world.canary("")).hardlink("h", "s/secret");
        let error = run(&world, &container(), &[layer], way).unwrap_err();
        assert_eq!((error.kind(), error.location().entry), (ErrorKind::HardlinkTargetMissing, Some(1)));
        world.assert_outside_untouched("a hardlink through a link to the host");
    }
}

#[test]
fn a_target_that_is_empty_or_holds_a_nul_is_an_error() {
    for policy in both() {
        refuses(&policy, &[tar().hardlink("h", "")], ErrorKind::InvalidLinkTarget, (0, "h"));
        let layer = tar().add(Entry::hardlink("h", "f").pax("linkpath", "f\0g"));
        let error = apply(&policy, &[layer]).unwrap_err();
        assert_eq!((error.kind(), error.location().entry), (ErrorKind::InvalidLinkTarget, Some(0)));
    }
}

#[test]
fn a_target_that_is_a_directory_or_the_root_is_an_error() {
    for policy in both() {
        refuses(&policy, &[tar().dir("d").hardlink("h", "d")], ErrorKind::HardlinkToSpecial, (1, "h"));
        refuses(&policy, &[tar().hardlink("h", "d").dir("d")], ErrorKind::HardlinkToSpecial, (0, "h"));
        refuses(&policy, &[tar().hardlink("h", ".")], ErrorKind::HardlinkToSpecial, (0, "h"));
    }
}

#[test]
fn a_link_as_the_last_component_of_the_target_is_linked_itself_and_refused_by_strict() {
    let layer = || tar().file("f", "x").symlink("s", "f").hardlink("h", "s");
    gives(&container(), &[layer()], tree().file("f", "x").symlink("s", "f").hardlink("h", "s"));
    refuses(&strict(), &[layer()], ErrorKind::HardlinkToSymlink, (2, "h"));
    let none = with(container(), |policy| policy.symlinks = Symlinks::Reject);
    refuses(&none, &[tar().file("f", "x").symlink("s", "f")], ErrorKind::SymlinkEscape, (1, "s"));
}

#[test]
fn a_hardlink_to_a_link_to_the_host_is_a_link_and_nothing_of_the_host() {
    for way in ways() {
        let world = way.world();
        let secret = world.canary("/secret");
        run(&world, &container(), &[tar().symlink("s", &secret).hardlink("h", "s").file("h", "x")], way).unwrap();
        world.assert_outside_untouched("a hardlink to a link to the host");
        assert_same(&tree().symlink("s", &secret).file("h", "x").tree(), &world.tree().unwrap(), "a replaced hardlink");
    }
}

#[test]
fn parents_of_the_target_are_resolved_inside_the_root_and_strict_wants_no_link_on_the_way() {
    let layer = |target| tar().dir("d").file("d/f", "x").symlink("s", target).hardlink("h", "s/f");
    for target in ["d", "/d", "../../d"] {
        gives(&container(), &[layer(target)], tree().dir("d").file("d/f", "x").symlink("s", target).hardlink("h", "d/f"));
    }
    refuses(&strict(), &[layer("d")], ErrorKind::HardlinkEscape, (3, "h"));
    let in_layer = with(container(), |policy| policy.hardlinks = Hardlinks::InLayer);
    // The knob alone asks for a name without a link on the way, whatever is done about other parents.
    refuses(&in_layer, &[layer("d")], ErrorKind::HardlinkEscape, (3, "h"));
}

#[test]
fn a_target_of_a_lower_layer_is_linked_and_refused_by_strict() {
    let layers = || [tar().file("f", "x"), tar().hardlink("h", "f")];
    gives(&container(), &layers(), tree().file("f", "x").hardlink("h", "f"));
    refuses(&strict(), &layers(), ErrorKind::HardlinkTargetMissing, (0, "h"));
}

#[test]
fn a_target_that_is_missing_is_an_error() {
    for policy in both() {
        refuses(&policy, &[tar().file("f", "").hardlink("h", "g")], ErrorKind::HardlinkTargetMissing, (1, "h"));
        refuses(&policy, &[tar().hardlink("h", "no/such/g")], ErrorKind::HardlinkTargetMissing, (0, "h"));
        refuses(&policy, &[tar().hardlink("h", "i").hardlink("i", "h")], ErrorKind::HardlinkTargetMissing, (0, "h"));
    }
}

#[test]
fn links_that_wait_for_each_other_are_missing_whatever_replaces_one_of_them() {
    // A filesystem may give what holds the place of the last the inode number of what held that of the first.
    let layer = tar().hardlink("a", "b").hardlink("b", "a").hardlink("a", "b");
    refuses(&container(), &[layer], ErrorKind::HardlinkTargetMissing, (1, "b"));
    let layer = tar().hardlink("a", "b").hardlink("b", "a").hardlink("a", "f").file("f", "x");
    gives(&container(), &[layer], tree().file("f", "x").hardlink("a", "f").hardlink("b", "f"));
}

#[test]
fn a_fifo_is_linked_where_the_policy_makes_fifos() {
    gives(&container(), &[tar().fifo("p").hardlink("h", "p")], tree().fifo("p").hardlink("h", "p"));
    let none = with(container(), |policy| policy.hardlinks = Hardlinks::InLayer);
    refuses(&none, &[tar().fifo("p").hardlink("h", "p")], ErrorKind::HardlinkToSpecial, (1, "h"));
}

#[test]
fn in_place_an_object_that_no_entry_could_have_made_is_not_linked() {
    for way in ways() {
        let world = way.world();
        std::fs::create_dir(world.dest_path()).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(world.dest_path().join("sock")).unwrap();
        let error = run_in_place(&world, &container(), &[tar().hardlink("h", "sock")], way).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HardlinkToSpecial);
        if needs_root("a device") {
            let made = with(container(), |policy| policy.devices = Devices::Create);
            run_in_place(&world, &made, &[tar().add(Entry::block("dev", 7, 1)).hardlink("h", "dev")], way).unwrap();
            let error = run_in_place(&world, &container(), &[tar().hardlink("i", "dev")], way).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::HardlinkToSpecial);
        }
        world.assert_outside_untouched("a hardlink to a special file");
    }
}

#[test]
fn the_links_own_metadata_is_ignored_with_an_event_when_it_differs() {
    let inode = Entry::file("f", "x").mode(0o600).mtime(5).pax("SCHILY.xattr.user.k", "v");
    let want = tree().file("f", "x").mode(0o600).mtime(5, 0).xattr("user.k", "v").hardlink("h", "f");
    for policy in both() {
        let same = tar().add(inode.clone()).add(Entry::hardlink("h", "f").mode(0o600).mtime(5));
        gives(&policy, &[same], want.clone()).events(&[]);
        for other in [Entry::hardlink("h", "f").mode(0o4777).mtime(5), Entry::hardlink("h", "f").mode(0o600).mtime(6)] {
            let applied = gives(&policy, &[tar().add(inode.clone()).add(other)], want.clone());
            assert_eq!(applied.reports[0].events.count(Reason::HardlinkMetadataIgnored), 1);
        }
    }
}

#[test]
fn a_link_that_waits_is_replaced_by_what_follows_as_the_link_would_be() {
    let dropped = [(Reason::HardlinkSuperseded, 1)];
    let events = |more: &[(Reason, u64)]| [&dropped[..], more].concat();
    // A directory that an entry needs takes the place of the link, with an event.
    let layer = tar().hardlink("c", "a").file("c/s", "s").file("a", "x");
    gives(&container(), &[layer], tree().implicit("c").file("c/s", "s").file("a", "x"))
        .events(&events(&[(Reason::NonDirectoryReplaced, 1)]));
    // So does one in the place of its parent, also if it is a directory again by the end.
    let layer = tar().hardlink("c/h", "a").file("c", "f").file("c/a", "x");
    gives(&container(), &[layer], tree().implicit("c").file("c/a", "x")).events(&events(&[(Reason::NonDirectoryReplaced, 1)]));
    // Where its path leads elsewhere by the end, it is made where it landed.
    let layer = tar().dir("d").symlink("s", "d").hardlink("s/h", "a").file("s", "f").file("a", "x");
    let events = [(Reason::DuplicateEntry, 1)];
    gives(&container(), &[layer], tree().dir("d").file("s", "f").file("a", "x").hardlink("d/h", "a")).events(&events);
    // What stood at its place in the lower layer goes as it goes for a link, with all below it.
    let layer = tar().hardlink("d", "a").file("a", "x");
    gives(&container(), &[tar().dir("d").file("d/f", "x"), layer], tree().file("a", "x").hardlink("d", "a"));
}

#[test]
fn the_links_own_owner_is_ignored() {
    if needs_root("another owner") {
        let layer = tar().add(Entry::file("f", "x").uid(7)).add(Entry::hardlink("h", "f").uid(8));
        gives(&container(), &[layer], tree().file("f", "x").owner(7, 0).hardlink("h", "f")).events(&[(Reason::HardlinkMetadataIgnored, 1)]);
    }
}

#[test]
fn a_link_to_itself_is_left_out_with_an_event_if_the_name_exists_and_refused_by_strict() {
    let layer = || tar().file("f", "x").hardlink("f", "./f");
    gives(&container(), &[layer()], tree().file("f", "x")).events(&[(Reason::HardlinkToItself, 1)]);
    let error = apply(&strict(), &[layer()]).unwrap_err();
    assert_eq!(error.location().entry, Some(1));
    gives(&container(), &[tar().file("f", "x"), tar().hardlink("f", "f")], tree().file("f", "x")).events(&[(Reason::HardlinkToItself, 1)]);
    refuses(&strict(), &[tar().file("f", "x"), tar().hardlink("f", "f")], ErrorKind::HardlinkTargetMissing, (0, "f"));
    for policy in both() {
        refuses(&policy, &[tar().hardlink("f", "f")], ErrorKind::HardlinkTargetMissing, (0, "f"));
    }
}

#[test]
fn a_link_to_itself_through_a_linked_parent_is_left_out_too() {
    let layer = tar().dir("d").file("d/f", "x").symlink("s", "d").hardlink("s/f", "d/f");
    let applied = gives(&container(), &[layer], tree().dir("d").file("d/f", "x").symlink("s", "d"));
    assert_eq!(applied.reports[0].events.count(Reason::HardlinkToItself), 1);
}

#[test]
fn a_target_later_in_the_layer_is_waited_for() {
    for policy in both() {
        let want = tree().file("f", "x").hardlink("g", "f").hardlink("h", "f");
        gives(&policy, &[tar().hardlink("h", "f").hardlink("g", "f").file("f", "x")], want.clone());
        // A link to a link that waits too.
        gives(&policy, &[tar().hardlink("h", "g").hardlink("g", "f").file("f", "x")], want.clone());
        gives(&policy, &[tar().hardlink("h", "g").file("f", "x").hardlink("g", "f")], want);
    }
}

#[test]
fn a_target_later_in_the_layer_is_waited_for_though_strict_may_not_link_the_lower_one() {
    let layers = [tar().file("f", "old"), tar().hardlink("h", "f").file("f", "new")];
    gives(&strict(), &layers, tree().file("f", "new").hardlink("h", "f"));
}

#[test]
fn the_parents_of_a_link_that_waits_are_resolved_again() {
    let layer = tar().dir("a").dir("b").symlink("s", "a").hardlink("h", "s/f").file("a/f", "1").file("b/f", "2").symlink("s", "b");
    let want = tree().dir("a").dir("b").symlink("s", "b").file("a/f", "1").file("b/f", "2").hardlink("h", "b/f");
    gives(&container(), &[layer], want);
}

#[test]
fn a_link_that_waits_is_dropped_with_an_event_if_a_later_entry_takes_its_name() {
    for (entry, want) in [
        (Entry::file("h", "new"), tree().file("f", "x").file("h", "new")),
        (Entry::dir("h"), tree().file("f", "x").dir("h")),
        (Entry::symlink("h", "f"), tree().file("f", "x").symlink("h", "f")),
    ] {
        let layer = || tar().hardlink("h", "f").add(entry.clone()).file("f", "x");
        let applied = gives(&container(), &[layer()], want);
        assert_eq!(applied.reports[0].events.count(Reason::HardlinkSuperseded), 1);
        refuses(&strict(), &[layer()], ErrorKind::DuplicateEntry, (1, "h"));
    }
}

#[test]
fn a_link_that_waits_is_dropped_with_an_event_if_a_later_entry_takes_the_place_of_its_parent() {
    let layer = tar().dir("d").hardlink("d/h", "f").file("d", "new").file("f", "x");
    let applied = gives(&container(), &[layer], tree().file("f", "x").file("d", "new"));
    assert_eq!(applied.reports[0].events.count(Reason::HardlinkSuperseded), 1);
}

#[test]
fn the_links_that_wait_are_bounded() {
    for policy in both() {
        let policy = with(policy, |policy| policy.limits.deferred_links = 2);
        let layer = |count| (0..count).fold(tar(), |tar, i| tar.hardlink(format!("h{i}"), "f")).file("f", "x");
        gives(&policy, &[layer(2)], tree().file("f", "x").hardlink("h0", "f").hardlink("h1", "f"));
        let error = refuses(&policy, &[layer(3)], ErrorKind::LimitExceeded, (2, "h2"));
        assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("deferred_links", 2)));
        let policy = with(policy, |policy| policy.limits.deferred_bytes = 100);
        let error = refuses(&policy, &[layer(1)], ErrorKind::LimitExceeded, (0, "h0"));
        assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("deferred_bytes", 100)));
    }
}

#[test]
fn the_memory_of_links_that_waited_is_free_again_in_the_next_layer() {
    for policy in both() {
        let policy = with(policy, |policy| policy.limits.deferred_bytes = 300);
        let layer = |name: &str| tar().hardlink(format!("{name}h"), name).file(name, "x");
        let want = tree().file("a", "x").hardlink("ah", "a").file("b", "x").hardlink("bh", "b");
        gives(&policy, &[layer("a"), layer("b")], want);
    }
}

#[test]
fn the_names_of_one_inode_are_bounded() {
    for policy in both() {
        let policy = with(policy, |policy| policy.limits.links = 2);
        gives(&policy, &[tar().file("f", "x").hardlink("h", "f")], tree().file("f", "x").hardlink("h", "f"));
        let error = refuses(&policy, &[tar().file("f", "x").hardlink("h", "f").hardlink("i", "f")], ErrorKind::LimitExceeded, (2, "i"));
        assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("links", 2)));
    }
}

#[test]
fn a_hardlink_over_an_existing_name_replaces_it() {
    let uppers = || tar().file("f", "x").hardlink("n", "f");
    let want = tree().file("f", "x").hardlink("n", "f");
    for policy in both() {
        for lower in [tar().file("n", "old"), tar().symlink("n", "t"), tar().dir("n").file("n/x", "old"), tar()] {
            gives(&policy, &[lower, uppers()], want.clone());
        }
    }
    // The same inode stands there already.
    gives(&container(), &[tar().file("f", "x").hardlink("n", "f"), tar().hardlink("n", "f")], want);
}

#[test]
fn a_hardlink_over_the_directory_that_holds_its_target_is_an_error() {
    refuses(&container(), &[tar().dir("d").file("d/f", "x").hardlink("d", "d/f")], ErrorKind::HardlinkTargetMissing, (2, "d"));
}

#[test]
fn hardlinks_are_refused_where_the_policy_wants_none() {
    for policy in both() {
        let policy = with(policy, |policy| policy.hardlinks = Hardlinks::Reject);
        refuses(&policy, &[tar().file("f", "x").hardlink("h", "f")], ErrorKind::HardlinkEscape, (1, "h"));
        gives(&policy, &[tar().file("f", "x")], tree().file("f", "x"));
    }
}

#[test]
fn a_size_on_anything_that_has_no_body_is_an_error_in_every_policy() {
    for policy in both() {
        let policy = with(policy, |policy| policy.symlinked_parents = SymlinkedParents::Reject);
        let entries = [Entry::hardlink("n", "f"), Entry::symlink("n", "f"), Entry::dir("n")];
        for entry in entries {
            refuses(&policy, &[tar().file("f", "").add(entry.body("x"))], ErrorKind::SizeOnNonRegular, (1, "n"));
        }
    }
    for entry in [Entry::fifo("n"), Entry::char("n", 1, 3), Entry::block("n", 1, 3)] {
        refuses(&container(), &[tar().add(entry.body("x"))], ErrorKind::SizeOnNonRegular, (0, "n"));
    }
    for kind in [Entry::fifo("n"), Entry::char("n", 1, 3)] {
        let create = with(container(), |policy| policy.devices = Devices::Create);
        refuses(&create, &[tar().add(kind.body("x"))], ErrorKind::SizeOnNonRegular, (0, "n"));
    }
}
