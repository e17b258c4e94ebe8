//! §4 Whiteouts.

use safe_layers::{Error, ErrorKind, Reason, Whiteouts};

use crate::check::*;

fn layer(entries: &[Entry]) -> Tar {
    entries.iter().fold(tar(), |tar, entry| tar.add(entry.clone()))
}

fn marker(name: &str) -> Entry {
    Entry::file(name, "")
}

fn file(name: &str, data: &str) -> Entry {
    Entry::file(name, data)
}

fn dir(name: &str) -> Entry {
    Entry::dir(name)
}

/// Every order of `entries`.
fn orders(entries: &[Entry]) -> Vec<Vec<Entry>> {
    let [first, rest @ ..] = entries else { return vec![Vec::new()] };
    let insert = |order: Vec<Entry>| (0..=order.len()).map(move |at| [&order[..at], std::slice::from_ref(first), &order[at..]].concat());
    orders(rest).into_iter().flat_map(insert).collect()
}

/// A row of the table: the lower layer, this one, the result, in every order of the entries.
#[track_caller]
fn row(lower: &Tar, entries: &[Entry], want: &Want) {
    for policy in both() {
        for order in orders(entries) {
            gives(&policy, &[lower.clone(), layer(&order)], want.clone());
        }
    }
}

fn lower_f() -> Tar {
    tar().file("f", "old")
}

/// Attributes that an implicit parent does not have.
fn lower_d() -> Entry {
    Entry::dir("d").mode(0o700).mtime(5).pax("SCHILY.xattr.user.lower", "1")
}

fn lower_d_x() -> Tar {
    tar().add(lower_d()).file("d/x", "old")
}

fn lower_d_x_sub_w() -> Tar {
    lower_d_x().add(Entry::dir("d/sub").mode(0o700).mtime(6).pax("SCHILY.xattr.user.lower", "1")).file("d/sub/w", "old")
}

/// `d` as the lower layer left it.
fn kept_d() -> Want {
    tree().node("d", Kind::Dir, 0o700, 5).xattr("user.lower", "1")
}

#[test]
fn a_marker_before_or_after_the_new_file_of_its_name_spares_it() {
    row(&lower_f(), &[marker(".wh.f"), file("f", "new")], &tree().file("f", "new"));
}

#[test]
fn a_marker_hides_a_file_of_a_lower_layer() {
    row(&lower_f(), &[marker(".wh.f")], &tree());
    row(&lower_d_x(), &[marker("d/.wh.x")], &kept_d());
}

#[test]
fn a_marker_hides_a_lower_directory_and_spares_the_new_one_with_an_entry_in_any_order() {
    row(&lower_d_x(), &[marker(".wh.d"), dir("d"), file("d/y", "new")], &tree().dir("d").file("d/y", "new"));
}

#[test]
fn a_marker_hides_a_lower_directory_and_spares_the_new_implicit_one_in_any_order() {
    row(&lower_d_x(), &[marker(".wh.d"), file("d/y", "new")], &tree().implicit("d").file("d/y", "new"));
}

#[test]
fn a_marker_hides_a_whole_lower_tree() {
    row(&lower_d_x_sub_w(), &[marker(".wh.d")], &tree());
    row(&lower_d_x_sub_w(), &[marker("d/.wh.sub")], &kept_d().file("d/x", "old"));
}

#[test]
fn a_marker_spares_what_this_layer_wrote_far_below_it() {
    let want = tree().implicit("d").implicit("d/sub").file("d/sub/z", "new");
    row(&lower_d_x_sub_w(), &[marker(".wh.d"), file("d/sub/z", "new")], &want);
    row(&lower_d_x_sub_w(), &[marker(".wh.d"), marker("d/.wh.sub"), file("d/sub/z", "new")], &want);
}

#[test]
fn an_opaque_marker_hides_the_lower_siblings_and_spares_the_new_ones_in_any_order() {
    row(&lower_d_x(), &[marker("d/.wh..wh..opq"), file("d/y", "new")], &kept_d().file("d/y", "new"));
    row(&lower_d_x(), &[marker("d/.wh..wh..opq")], &kept_d());
    row(&lower_d_x(), &[marker("d/.wh..wh..opq"), dir("d"), file("d/x", "new")], &tree().dir("d").file("d/x", "new"));
}

#[test]
fn an_opaque_marker_spares_a_new_file_in_a_lower_subdirectory_in_any_order() {
    let want = kept_d().implicit("d/sub").file("d/sub/z", "new");
    row(&lower_d_x_sub_w(), &[file("d/sub/z", "new"), marker("d/.wh..wh..opq")], &want);
}

#[test]
fn an_opaque_marker_spares_new_directories_with_entries_in_any_order() {
    let entries = [dir("d"), file("d/y", "new"), dir("d/sub"), file("d/sub/z", "new"), marker("d/.wh..wh..opq")];
    let want = tree().dir("d").file("d/y", "new").dir("d/sub").file("d/sub/z", "new");
    let mut orders = orders(&entries);
    assert_eq!(orders.len(), 120);
    // Every order in one policy, every fifth in the other: the rule is the same.
    for order in &orders {
        gives(&container(), &[lower_d_x_sub_w(), layer(order)], want.clone());
    }
    orders.retain({
        let mut count = 0;
        move |_| {
            count += 1;
            count % 5 == 0
        }
    });
    for order in &orders {
        gives(&strict(), &[lower_d_x_sub_w(), layer(order)], want.clone());
    }
}

#[test]
fn an_opaque_marker_at_the_root_hides_everything_lower_in_any_order() {
    let lower = lower_d_x().file("f", "old");
    row(&lower, &[marker(".wh..wh..opq"), file("g", "new")], &tree().file("g", "new"));
    row(&lower, &[marker(".wh..wh..opq"), file("d/g", "new")], &tree().implicit("d").file("d/g", "new"));
}

#[test]
fn an_opaque_marker_leaves_the_root_itself_as_it_is() {
    let lower = tar().add(Entry::dir("./").mode(0o711).mtime(9).pax("SCHILY.xattr.user.k", "v")).file("f", "x");
    row(&lower, &[marker(".wh..wh..opq")], &tree().node("", Kind::Dir, 0o711, 9).xattr("user.k", "v"));
}

#[test]
fn a_marker_in_a_hidden_directory_makes_nothing_in_any_order() {
    row(&lower_d_x(), &[marker(".wh.d"), marker("d/.wh.x")], &tree());
    row(&lower_d_x(), &[marker(".wh.d"), marker("d/.wh..wh..opq")], &tree());
}

#[test]
fn no_directory_is_made_to_hold_a_marker() {
    row(&tar(), &[marker("no/such/.wh.f")], &tree());
    row(&tar(), &[marker("no/such/.wh..wh..opq")], &tree());
    row(&lower_f(), &[marker(".wh.g")], &tree().file("f", "old"));
}

#[test]
fn a_marker_below_a_file_hides_nothing_and_strict_refuses_it() {
    gives(&container(), &[lower_f(), tar().file("f/.wh.x", "")], tree().file("f", "old"));
    refuses(&strict(), &[lower_f(), tar().file("f/.wh.x", "")], ErrorKind::NotADirectory, (0, "f/.wh.x"));
}

#[test]
fn a_marker_that_hides_no_name_is_an_error_in_every_policy() {
    for policy in both() {
        for name in [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh..."] {
            refuses(&policy, &[tar().dir("d").file(name, "")], ErrorKind::InvalidWhiteout, (1, name));
        }
        gives(&policy, &[tar().file("...", "").file(".wh....", "")], tree().file("...", ""));
    }
}

#[test]
fn a_marker_hides_every_type_of_object() {
    let lower = tar().file("f", "x").symlink("s", "f").hardlink("h", "f").fifo("p").dir("d");
    let markers = ["f", "s", "h", "p", "d"].iter().fold(tar(), |tar, name| tar.file(format!(".wh.{name}"), ""));
    gives(&container(), &[lower, markers], tree());
}

#[test]
fn a_marker_for_a_symlink_hides_the_link_and_not_its_target() {
    for policy in both() {
        let lower = tar().file("f", "x").dir("d").file("d/y", "z").symlink("s", "f").symlink("t", "d");
        gives(&policy, &[lower, tar().file(".wh.s", "").file(".wh.t", "")], tree().file("f", "x").dir("d").file("d/y", "z"));
    }
}

#[test]
fn a_marker_spares_a_hardlink_a_symlink_and_a_fifo_of_this_layer() {
    let lower = tar().file("a", "").file("h", "old").file("s", "old").file("p", "old");
    let new = [Entry::hardlink("h", "a"), Entry::symlink("s", "t"), Entry::fifo("p")];
    let markers = [marker(".wh.h"), marker(".wh.s"), marker(".wh.p")];
    let want = tree().file("a", "").hardlink("h", "a").symlink("s", "t").fifo("p");
    gives(&container(), &[lower.clone(), layer(&[&new[..], &markers].concat())], want.clone());
    gives(&container(), &[lower, layer(&[&markers[..], &new].concat())], want);
}

#[test]
fn a_marker_spares_a_hardlink_that_waits_for_its_target() {
    let want = tree().file("a", "new").hardlink("h", "a");
    for policy in both() {
        gives(&policy, &[tar().file("h", "old"), layer(&[Entry::hardlink("h", "a"), marker(".wh.h"), file("a", "new")])], want.clone());
        gives(&policy, &[tar().file("h", "old"), layer(&[Entry::hardlink("h", "a"), file("a", "new"), marker(".wh.h")])], want.clone());
        gives(&policy, &[tar().file("h", "old"), layer(&[marker(".wh.h"), Entry::hardlink("h", "a"), file("a", "new")])], want.clone());
    }
}

#[test]
fn a_directory_that_is_hidden_loses_the_lower_owner_and_xattrs_whether_used_before_or_after() {
    if needs_root("another owner") {
        let lower = tar().add(lower_d().uid(7).gid(8)).file("d/x", "old");
        row(&lower, &[marker(".wh.d"), file("d/y", "new")], &tree().implicit("d").file("d/y", "new"));
    }
}

#[test]
fn a_default_acl_of_a_hidden_directory_is_gone_too() {
    let acl = acl(&[(1, 7), (4, 5), (32, 5)]);
    let lower = tar().add(Entry::dir("d").pax("SCHILY.xattr.system.posix_acl_default", &acl)).file("d/x", "old");
    row(&lower, &[marker(".wh.d"), file("d/y", "new")], &tree().implicit("d").file("d/y", "new"));
    let kept = tree().dir("d").xattr("system.posix_acl_default", &acl).file("d/x", "old");
    row(&lower, &[marker(".wh.e")], &kept);
}

#[test]
fn any_type_with_the_name_of_a_marker_is_one_with_an_event_and_strict_refuses_it() {
    let odd = [
        Entry::file(".wh.f", "content"),
        Entry::dir(".wh.f"),
        Entry::symlink(".wh.f", "/etc/passwd"),
        Entry::symlink(".wh.f", ""),
        Entry::hardlink(".wh.f", "no/such"),
        Entry::hardlink(".wh.f", "../../etc/passwd"),
        Entry::fifo(".wh.f"),
        Entry::char(".wh.f", 1, 3),
        Entry::block(".wh.f", 0, 0),
        Entry::of(b'Z', ".wh.f"),
        Entry::file(".wh.f/", ""),
    ];
    for entry in odd {
        let layers = || [lower_f(), tar().add(entry.clone())];
        if entry.header()[..6] == *b".wh.f/" {
            // A regular file whose name ends in a slash is an error whatever it is called.
            assert_eq!(apply(&container(), &layers()).map(drop).map_err(|error| error.kind()), Err(ErrorKind::TypeConflict));
        } else {
            gives(&container(), &layers(), tree()).events(&[(Reason::OddMarker, 1)]);
        }
        refuses(&strict(), &layers(), ErrorKind::InvalidWhiteout, (0, if entry.header()[5] == b'/' { ".wh.f/" } else { ".wh.f" }));
    }
    for entry in [marker(".wh.f"), Entry::of(0, ".wh.f"), Entry::of(0, ".wh.f").v7()] {
        for policy in both() {
            gives(&policy, &[lower_f(), tar().add(entry.clone())], tree()).events(&[]);
        }
    }
}

#[test]
fn an_odd_opaque_marker_is_honoured_with_an_event_and_strict_refuses_it() {
    let layers = || [lower_d_x(), tar().dir("d/.wh..wh..opq")];
    gives(&container(), &layers(), kept_d()).events(&[(Reason::OddMarker, 1)]);
    refuses(&strict(), &layers(), ErrorKind::InvalidWhiteout, (0, "d/.wh..wh..opq"));
    // A knob of its own.
    let refused = with(container(), |policy| policy.odd_markers = safe_layers::Oddities::Refuse);
    refuses(&refused, &layers(), ErrorKind::InvalidWhiteout, (0, "d/.wh..wh..opq"));
    let honoured = with(strict(), |policy| policy.odd_markers = safe_layers::Oddities::Tolerate);
    gives(&honoured, &layers(), kept_d()).events(&[(Reason::OddMarker, 1)]);
}

#[test]
fn a_character_device_0_0_with_the_name_of_a_marker_stays_an_error() {
    let layers = |name| [lower_f(), tar().add(Entry::char(name, 0, 0))];
    for name in [".wh.f", ".wh..wh..opq", ".wh..wh.plnk"] {
        refuses(&container(), &layers(name), ErrorKind::OverlaySmuggling, (0, name));
        refuses(&strict(), &layers(name), ErrorKind::DeviceNode, (0, name));
    }
}

#[test]
fn aufs_metadata_is_skipped_with_an_event() {
    for policy in both() {
        let layer = tar()
            .dir(".wh..wh.plnk")
            .file(".wh..wh.plnk/123.456", "body")
            .file(".wh..wh.aufs", "")
            .file("d/.wh..wh.orph", "")
            .file("f", "x");
        gives(&policy, &[layer], tree().file("f", "x")).events(&[(Reason::AufsMetadataSkipped, 4)]);
        let layer = tar().file(".wh..wh..opq/f", "").file(".wh..wh..opq.", "").file(".wh..wh.", "");
        gives(&policy, &[lower_f(), layer], tree().file("f", "old")).events(&[(Reason::AufsMetadataSkipped, 3)]);
    }
}

#[test]
fn a_hardlink_to_aufs_metadata_or_to_a_marker_is_an_error() {
    for policy in both() {
        for target in [".wh..wh.plnk/1.2", ".wh.f", ".wh..wh..opq", "d/.wh.x", ".wh.d/x"] {
            let layer = tar().file(".wh..wh.plnk/1.2", "x").file(".wh.f", "").hardlink("h", target);
            refuses(&policy, &[layer], ErrorKind::InvalidWhiteout, (2, "h"));
        }
        gives(&policy, &[tar().file(".whf", "").hardlink("h", ".whf")], tree().file(".whf", "").hardlink("h", ".whf"));
    }
}

#[test]
fn a_marker_in_the_middle_of_a_path_is_an_error() {
    for policy in both() {
        for name in [".wh.d/f", "a/.wh.d/f", ".wh./f", ".wh.d/.wh.f"] {
            refuses(&policy, &[tar().file(name, "")], ErrorKind::InvalidWhiteout, (0, name));
            refuses(&policy, &[tar().dir(name)], ErrorKind::InvalidWhiteout, (0, name));
        }
        gives(&policy, &[tar().dir("wh.d").file("wh.d/f", "")], tree().dir("wh.d").file("wh.d/f", ""));
    }
}

#[test]
fn a_marker_through_a_symlinked_parent_hides_inside_the_root_and_strict_refuses_it() {
    for target in ["real", "/real", "../../real"] {
        let lower = || tar().dir("real").file("real/x", "old").file("real/y", "old").symlink("s", target);
        let want = tree().dir("real").symlink("s", target);
        gives(&container(), &[lower(), tar().file("s/.wh.x", "")], want.clone().file("real/y", "old"));
        gives(&container(), &[lower(), tar().file("s/.wh..wh..opq", "").file("real/z", "new")], want.clone().file("real/z", "new"));
        gives(&container(), &[lower(), tar().file("s/z", "new").file("real/.wh..wh..opq", "")], want.file("real/z", "new"));
        let strict = with(strict(), |policy| policy.symlinks = safe_layers::Symlinks::Keep);
        refuses(&strict, &[lower(), tar().file("s/.wh.x", "")], ErrorKind::SymlinkInPath, (0, "s/.wh.x"));
    }
}

#[test]
fn a_marker_through_a_link_to_the_host_hides_nothing_there() {
    for way in ways() {
        let world = way.world();
        let lower = tar().symlink("abs", world.canary("")).symlink("up", "../canary").symlink("in", world.canary("/dir"));
        let markers = ["abs/.wh.secret", "up/.wh.secret", "abs/.wh..wh..opq", "up/.wh..wh..opq", "in/.wh..wh..opq", ".wh.in"];
        let upper = markers.iter().fold(tar(), |tar, name| tar.file(name, ""));
        run(&world, &container(), &[lower, upper], way).unwrap();
        world.assert_outside_untouched("markers through links to the host");
        assert_eq!(world.tree().unwrap().paths(), ["abs", "up"]);
    }
}

#[test]
fn a_marker_through_a_dangling_link_makes_nothing() {
    gives(&container(), &[tar().symlink("s", "no/such"), tar().file("s/.wh.x", "")], tree().symlink("s", "no/such"));
}

#[test]
fn markers_hide_the_layers_below_and_not_the_ones_above() {
    for policy in both() {
        let layers = [lower_f(), tar().file(".wh.f", ""), tar().file("f", "third")];
        gives(&policy, &layers, tree().file("f", "third"));
        let layers = [lower_d_x(), tar().file("d/y", "second"), tar().file("d/.wh..wh..opq", "").file("d/z", "third")];
        gives(&policy, &layers, kept_d().file("d/z", "third"));
    }
}

#[test]
fn a_marker_in_the_lowest_layer_hides_nothing() {
    for policy in both() {
        gives(&policy, &[tar().file("f", "x").file(".wh.f", "").file(".wh..wh..opq", "")], tree().file("f", "x"));
    }
}

#[test]
fn a_marker_spares_a_directory_of_this_layer_that_took_the_place_of_a_lower_file() {
    let want = tree().implicit("f").file("f/x", "new");
    for order in orders(&[marker(".wh.f"), file("f/x", "new")]) {
        gives(&container(), &[lower_f(), layer(&order)], want.clone());
    }
    for order in orders(&[marker(".wh.f"), dir("f"), marker("f/.wh..wh..opq")]) {
        gives(&container(), &[lower_f(), layer(&order)], tree().dir("f"));
    }
}

#[test]
fn a_marker_hides_a_lower_directory_that_this_layer_replaces_by_a_file() {
    row(&lower_d_x_sub_w(), &[marker(".wh.d"), file("d", "new")], &tree().file("d", "new"));
}

/// The one thing about a marker that depends on where in the layer it stands.
#[test]
fn a_marker_is_in_the_directory_that_its_parent_leads_to_when_it_comes() -> Result<(), Error> {
    let lower = || tar().dir("run").dir("run/lock").dir("var").symlink("var/run", "/run");
    for marker in ["var/run/.wh..wh..opq", "var/run/.wh.lock"] {
        let before = tar().file(marker, "").dir("var/run").file("var/run/pid", "");
        let want = tree().dir("run").dir("var").dir("var/run").file("var/run/pid", "");
        assert_same(&want.tree(), &apply(&container(), &[lower(), before])?.tree, "before the directory");
        let after = tar().dir("var/run").file(marker, "").file("var/run/pid", "");
        let want = tree().dir("run").dir("run/lock").dir("var").dir("var/run").file("var/run/pid", "");
        assert_same(&want.tree(), &apply(&container(), &[lower(), after])?.tree, "after it");
    }
    Ok(())
}

#[test]
fn whiteouts_are_refused_where_the_policy_wants_none() {
    for policy in both() {
        let policy = with(policy, |policy| policy.whiteouts = Whiteouts::Reject);
        refuses(&policy, &[lower_f(), tar().file(".wh.f", "")], ErrorKind::InvalidWhiteout, (0, ".wh.f"));
        refuses(&policy, &[lower_f(), tar().file(".wh..wh..opq", "")], ErrorKind::InvalidWhiteout, (0, ".wh..wh..opq"));
        gives(&policy, &[lower_f(), tar().file(".whf", "")], tree().file("f", "old").file(".whf", ""));
    }
}

#[test]
fn in_place_markers_hide_what_stood_there() {
    let prepare = |root: &std::path::Path| {
        std::fs::create_dir(root.join("d")).unwrap();
        std::fs::write(root.join("d/x"), "old").unwrap();
        std::fs::write(root.join("f"), "old").unwrap();
        for path in ["d", ""] {
            std::fs::File::open(root.join(path)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    };
    for policy in both() {
        let upper = tar().file(".wh.f", "").file("d/y", "new").file("d/.wh..wh..opq", "");
        gives_in_place(&policy, prepare, &[upper], tree().implicit("d").file("d/y", "new"));
        gives_in_place(&policy, prepare, &[tar().file("d/y", "1").file("f", "2"), tar().file(".wh..wh..opq", "")], tree());
    }
}

#[test]
fn a_marker_counts_as_an_entry_and_one_that_hides_nothing_too() -> Result<(), Error> {
    let applied = apply(&container(), &[lower_f(), tar().file(".wh.f", "").file("no/.wh.g", "").file(".wh..wh..opq", "")])?;
    assert_eq!((applied.reports[1].entries.whiteouts, applied.reports[1].entries.total), (3, 3));
    Ok(())
}
