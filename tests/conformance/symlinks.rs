//! §7 Symlinks.

use safe_layers::{ErrorKind, Policy, Reason, Symlinks};

use crate::check::*;

fn keep() -> [Policy; 2] {
    [with(strict(), |policy| policy.symlinks = Symlinks::Keep), container()]
}

#[test]
fn a_target_is_stored_byte_for_byte() {
    for policy in keep() {
        for target in [&b"a/../b/./c//"[..], b"/abs", b"//", b".", b"..", b"../../../etc/passwd", b"\xff\n", b" "] {
            gives(&policy, &[tar().symlink("s", target)], tree().symlink("s", target)).events(&[]);
        }
    }
}

#[test]
fn an_empty_target_and_one_with_a_nul_are_errors() {
    for policy in keep() {
        refuses(&policy, &[tar().symlink("s", "")], ErrorKind::InvalidLinkTarget, (0, "s"));
        let layer = tar().add(Entry::symlink("s", "t").pax("linkpath", "t\0u"));
        let error = apply(&policy, &[layer]).unwrap_err();
        assert_eq!((error.kind(), error.location().entry), (ErrorKind::InvalidLinkTarget, Some(0)));
    }
}

#[test]
fn a_target_of_4095_bytes_passes_and_a_longer_one_is_an_error() {
    for policy in keep() {
        let (most, over) = ("t".repeat(4095), "t".repeat(4096));
        gives(&policy, &[tar().symlink("s", &most)], tree().symlink("s", &most));
        let error = refuses(&policy, &[tar().symlink("s", &over)], ErrorKind::LimitExceeded, (0, "s"));
        assert_eq!(error.limit().map(|limit| (limit.name, limit.value)), Some(("link_bytes", 4095)));
    }
}

#[test]
fn an_escaping_target_is_kept_by_container_and_refused_by_strict() {
    for (name, target) in [("s", "/etc"), ("s", ".."), ("d/s", "../.."), ("d/s", "x/../../../y"), ("s", "/")] {
        let layer = || tar().dir("d").symlink(name, target);
        gives(&container(), &[layer()], tree().dir("d").symlink(name, target));
        refuses(&strict(), &[layer()], ErrorKind::SymlinkEscape, (1, name));
    }
    for policy in both() {
        for target in ["..", "../x", "dangling", "../d/s", "."] {
            gives(&policy, &[tar().dir("d").symlink("d/s", target)], tree().dir("d").symlink("d/s", target));
        }
    }
}

#[test]
fn symlinks_are_refused_where_the_policy_wants_none() {
    for policy in both() {
        let policy = with(policy, |policy| policy.symlinks = Symlinks::Reject);
        refuses(&policy, &[tar().file("f", "x").symlink("s", "f")], ErrorKind::SymlinkEscape, (1, "s"));
        gives(&policy, &[tar().file("f", "x")], tree().file("f", "x"));
    }
}

#[test]
fn owner_time_and_mode_of_a_link_do_not_reach_its_target() {
    for policy in keep() {
        let link = Entry::symlink("s", "f").mode(0o000).mtime(5);
        gives(&policy, &[tar().file("f", "x").add(link)], tree().file("f", "x").symlink("s", "f").mtime(5, 0));
    }
    if needs_root("another owner") {
        let link = Entry::symlink("s", "f").uid(7).gid(8);
        gives(&container(), &[tar().file("f", "x").add(link)], tree().file("f", "x").symlink("s", "f").owner(7, 8));
    }
}

#[test]
fn the_attributes_of_a_link_to_the_host_do_not_reach_the_host() {
    for way in ways() {
        let world = way.world();
        let link = |name, target: String| Entry::symlink(name, target).mode(0o4777).mtime(5).pax("SCHILY.xattr.user.k", "v");
        let layer = tar().add(link("f", world.canary("/file"))).add(link("d", world.canary("/dir"))).add(link("e", world.canary("/exec")));
        run(&world, &container(), &[layer], way).unwrap();
        world.assert_outside_untouched("attributes of a link");
    }
}

#[test]
fn xattrs_of_a_symlink_are_dropped_with_an_event() {
    for policy in keep() {
        let layer = tar().file("f", "x").add(Entry::symlink("s", "f").pax("SCHILY.xattr.user.k", "v"));
        gives(&policy, &[layer], tree().file("f", "x").symlink("s", "f")).events(&[(Reason::XattrOnSpecialDropped, 1)]);
    }
}
