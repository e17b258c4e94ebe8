//! §5 Output forms, as far as the merged form and in-place use go: what a layer may not smuggle into an overlay.

use safe_layers::{Devices, ErrorKind, Reason};

use crate::check::*;

#[test]
fn a_character_device_0_0_is_an_error_in_every_policy() {
    let layer = || tar().file("f", "x").add(Entry::char("w", 0, 0));
    refuses(&container(), &[layer()], ErrorKind::OverlaySmuggling, (1, "w"));
    let create = with(container(), |policy| policy.devices = Devices::Create);
    refuses(&create, &[layer()], ErrorKind::OverlaySmuggling, (1, "w"));
    // Strict wants no device at all.
    refuses(&strict(), &[layer()], ErrorKind::DeviceNode, (1, "w"));
    let create = with(strict(), |policy| policy.devices = Devices::Create);
    refuses(&create, &[layer()], ErrorKind::OverlaySmuggling, (1, "w"));
    gives(&container(), &[tar().add(Entry::char("w", 0, 1)).add(Entry::block("v", 0, 0))], tree()).events(&[(Reason::DeviceSkipped, 2)]);
}

#[test]
fn an_xattr_that_controls_an_overlay_is_dropped_with_an_event_and_refused_by_strict() {
    let names = [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "trusted.overlay.whiteout",
        "user.overlay.opaque",
        "user.overlay.redirect",
        "user.overlay.whiteout",
        "user.overlay.overlay.opaque",
    ];
    for name in names {
        let entries = [Entry::dir("n"), Entry::file("n", "")];
        for (entry, want) in entries.into_iter().zip([tree().dir("n"), tree().file("n", "")]) {
            let layer = || tar().add(entry.clone().pax(format!("SCHILY.xattr.{name}"), "y"));
            gives(&container(), &[layer()], want).events(&[(Reason::XattrDropped, 1)]);
            refuses(&strict(), &[layer()], ErrorKind::ForbiddenXattr, (0, "n"));
        }
    }
    for policy in both() {
        let layer = tar().add(Entry::dir("n").pax("SCHILY.xattr.user.overlayed", "y"));
        gives(&policy, &[layer], tree().dir("n").xattr("user.overlayed", "y")).events(&[]);
    }
}

#[test]
fn an_xattr_that_controls_an_overlay_is_dropped_in_the_other_spelling_too() {
    // LIBARCHIVE.xattr has the name URL-encoded and the value in base64.
    let layer = || tar().add(Entry::dir("n").pax("LIBARCHIVE.xattr.user.overlay%2Eopaque", "eQ"));
    gives(&container(), &[layer()], tree().dir("n")).events(&[(Reason::XattrDropped, 1)]);
    refuses(&strict(), &[layer()], ErrorKind::ForbiddenXattr, (0, "n"));
}

#[test]
fn an_xattr_that_controls_an_overlay_is_dropped_from_what_has_no_xattrs_too() {
    for (entry, want) in [(Entry::symlink("n", "t"), tree().symlink("n", "t")), (Entry::fifo("n"), tree().fifo("n"))] {
        for name in ["trusted.overlay.whiteout", "user.overlay.whiteout"] {
            let layer = tar().add(entry.clone().pax(format!("SCHILY.xattr.{name}"), "y"));
            gives(&container(), &[layer], want.clone()).events(&[(Reason::XattrDropped, 1)]);
        }
    }
    // The header of a hardlink is not that of its inode.
    let layer = tar().file("f", "x").add(Entry::hardlink("h", "f").pax("SCHILY.xattr.trusted.overlay.redirect", "/etc"));
    gives(&container(), &[layer], tree().file("f", "x").hardlink("h", "f"));
}

#[test]
fn in_place_use_cannot_be_undone_and_says_so() {
    for policy in both() {
        for way in ways() {
            let world = way.world();
            std::fs::create_dir(world.dest_path()).unwrap();
            let error = run_in_place(&world, &policy, &[tar().file("f", "x").file("../g", "y")], way).unwrap_err();
            assert_eq!((error.kind(), error.partially_applied()), (ErrorKind::PathTraversal, true));
            assert_eq!(world.tree().unwrap().paths(), ["f"]);
            world.assert_outside_untouched("a refused layer in place");
            let error = run(&world, &policy, &[tar().file("../g", "y")], way).map(drop).unwrap_err();
            assert_eq!((error.kind(), error.errno(), error.partially_applied()), (ErrorKind::Io, Some(17), false));
        }
    }
}

#[test]
fn both_ways_to_use_the_merged_form_give_the_same_tree() {
    for policy in both() {
        let layers = [
            tar().dir("d").file("d/x", "1").file("d/y", "2").symlink("s", "d").file("f", "3").hardlink("h", "f"),
            tar().file("d/.wh.x", "").file("d/z", "4").file("f", "5").add(Entry::dir("d").mode(0o711).mtime(3)),
        ];
        let want =
            tree().dir("d").mode(0o711).mtime(3, 0).file("d/y", "2").file("d/z", "4").symlink("s", "d").file("f", "5").file("h", "3");
        gives(&policy, &layers, want.clone());
        let prepare = |root: &std::path::Path| std::fs::File::open(root).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        gives_in_place(&policy, prepare, &layers, want);
    }
}
