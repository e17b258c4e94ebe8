//! Symlinks that lead out of the root.

use safe_layers::ErrorKind::{HardlinkToSymlink, InvalidLinkTarget, PathTraversal, SymlinkEscape, SymlinkInPath, SymlinkLoop};

use crate::common::builder::{Entry, Tar, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

/// Sixteen levels of long names, each with a link of one letter: the way by the links is short, the real path over `PATH_MAX`.
fn path_max() -> Tar {
    let long = "d".repeat(247);
    let (mut tar, mut real) = (tar(), String::new());
    for short in 'a'..='p' {
        tar = tar.dir(format!("{real}{long}")).symlink(format!("{real}{short}"), &long);
        real += &format!("{long}/");
    }
    let deep = format!("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/{}", "l".repeat(254));
    tar.symlink(&deep, "../".repeat(16)).symlink("escape", format!("{deep}/../canary")).file("escape/pwn", "pwn")
}

attacks! {
    /// A relative link out of the root, then a file below it.
    sym_rel_write_through "CVE-2014-6407 CVE-2026-26158 CVE-2015-8860 CVE-2021-38511" [Reject(SymlinkEscape), Contain]
        |_| tar().symlink("x", "../canary").file("x/pwn", "pwn").there("x");

    /// An absolute link, then a file below it.
    sym_abs_write_through "CVE-2014-6407 CVE-2014-9356 CVE-2026-46703 CVE-2026-23745 CVE-2026-42496" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("x", w.canary("")).file("x/pwn", "pwn").link_there("x", w.canary(""));

    /// A link, then a file of the same name: opening for writing follows.
    sym_final_overwrite_abs "CVE-2026-23745 CVE-2014-6407" [Reject(SymlinkEscape), Accept]
        |w| tar().symlink("x", w.canary("/file")).file("x", "pwn").file_there("x", "pwn");

    /// A dangling link, then a file of the same name: creating makes the target.
    sym_final_dangling_create "" [Reject(SymlinkEscape), Accept]
        |w| tar().symlink("x", w.canary("/created")).file("x", "pwn").file_there("x", "pwn");

    /// A link, then a directory of the same name whose mode goes to the target.
    sym_dir_chmod "CVE-2026-33056 RUSTSEC-2026-0067 RUSTSEC-2026-0113" [Reject(SymlinkEscape), Accept]
        |w| tar().symlink("foo", w.canary("/dir")).add(Entry::dir("foo").mode(0o777)).dir_there("foo");

    /// Each of two links looks harmless where it stands, together they leave.
    sym_two_hop "CVE-2026-17106" [Reject(SymlinkInPath), Contain]
        |_| tar()
            .dir("inner")
            .symlink("inner/go_up", "..")
            .symlink("inner/go_up/escape", "../canary")
            .file("inner/go_up/escape/pwn", "pwn");

    /// `link/../x`: text says the root, the kernel the target's parent.
    sym_dotdot_after_dirlink "CVE-2025-4138" [Reject(PathTraversal), Reject(PathTraversal)]
        |w| tar().symlink("d", w.canary("/dir")).file("d/../pwn", "pwn");

    /// Missing parents made through a link out of the root.
    sym_mkdir_implied "CVE-2026-42574 CVE-2014-6407 CVE-2021-38511" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("x", w.canary("")).file("x/new/sub/pwn", "pwn");

    /// A symlink made through a link out of the root.
    sym_symlink_through "" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("x", w.canary("")).symlink("x/l", "/etc");

    /// A hardlink whose new name lies below a link out of the root.
    sym_hardlink_dest_through "" [Reject(SymlinkEscape), Contain]
        |w| tar().file("f", "pwn").symlink("x", w.canary("")).hardlink("x/h", "f");

    /// A magic link of procfs as a parent.
    sym_proc_self_root "CVE-2018-15664" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("x", format!("/proc/self/root{}", w.canary(""))).file("x/pwn", "pwn");

    /// Two links that point at each other must not hang.
    sym_loop "" [Reject(SymlinkLoop), Reject(SymlinkLoop)]
        |_| tar().symlink("a", "b").symlink("b", "a").file("a/x", "pwn");

    /// Fifty links in a row, more than the kernel follows, the last leads out.
    sym_chain_50 "" [Reject(SymlinkEscape), Contain]
        |_| (0..49)
            .fold(tar().symlink("l0x", "../canary"), |tar, i| tar.symlink(format!("z{i}"), format!("z{}", i + 1)))
            .symlink("z49", "l0x")
            .file("z0/pwn", "pwn");

    /// A path over `PATH_MAX` for realpath that the kernel resolves by short links.
    sym_path_max_realpath "CVE-2025-4517 CVE-2025-4330" [Reject(SymlinkEscape), Contain]
        |_| path_max();

    /// `current` is `.`, so `current/..` is the parent, not the root.
    sym_current_parent "CVE-2025-4330 CVE-2025-4138" [Reject(SymlinkEscape), Contain]
        |_| tar().symlink("current", ".").symlink("parent", "current/..").file("parent/canary/pwn", "pwn");

    /// A link that dangles when it is made and leaves once another gives it meaning.
    sym_retarget_later "CVE-2025-4330" [Reject(SymlinkEscape), Contain]
        |_| tar().dir("sub").symlink("x", "sub/up/../canary").symlink("sub/up", "..").file("x/pwn", "pwn");

    /// A directory that a cache knows becomes a link.
    sym_dircache_poison "CVE-2021-32803 CVE-2021-37701" [Reject(SymlinkEscape), Contain]
        |w| tar()
            .dir("foo")
            .file("foo/a", "x")
            .symlink("foo", w.canary(""))
            .file("foo/pwn", "pwn")
            .link_there("foo", w.canary(""));

    /// A link whose own name ends in a slash.
    sym_slash_name "CVE-2021-37712" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("foo/", w.canary("")).file("foo/pwn", "pwn");

    /// A directory becomes a link to `/`, then back.
    sym_to_root_abs "CVE-2014-6407 CVE-2014-9356" [Reject(SymlinkEscape), Contain]
        |w| tar()
            .dir("foo")
            .file("foo/t", "x")
            .symlink("foo", "/")
            .file(format!("foo{}", w.canary("/pwn")), "pwn")
            .dir("foo")
            .file("foo/t2", "x");

    /// A target that ends in `/..`, which a search for `/../` misses.
    sym_target_trailing_dotdot "CVE-2026-26157" [Reject(SymlinkEscape), Contain]
        |_| tar().symlink("x", "../canary/dir/..").file("x/pwn", "pwn");

    /// A symlink named `..`.
    sym_name_dotdot "" [Reject(PathTraversal), Reject(PathTraversal)]
        |w| tar().dir("etc").file("etc/passwd", "in").symlink("..", w.canary("")).file("pwn", "pwn");

    /// A symlink to nothing.
    sym_empty_target "" [Reject(InvalidLinkTarget), Reject(InvalidLinkTarget)]
        |_| tar().symlink("x", "").file("ok", "x");

    /// A NUL in a PAX linkpath.
    sym_target_nul "GHSA-gvwx-54wh-qm9j" [Reject(InvalidLinkTarget), Reject(InvalidLinkTarget)]
        |_| tar().add(Entry::symlink("x", "safe").pax("linkpath", "safe\0/../../x"));

    /// An absolute link into the root, true only until the tree is moved.
    sym_abs_into_dest "CVE-2025-59343" [Reject(SymlinkEscape), Contain]
        |w| tar().dir("in").symlink("x", w.dest("/in")).file("x/pwn", "pwn").link_there("x", w.dest("/in"));

    /// A hardlink to a link moves its relative target to another depth.
    sym_hardlinked_shallower "CVE-2026-11940" [Reject(HardlinkToSymlink), Contain]
        |_| tar()
            .dir("a")
            .dir("a/b")
            .symlink("a/b/s", "../canary")
            .hardlink("s", "a/b/s")
            .file("s/pwn", "pwn");
}
