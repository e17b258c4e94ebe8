//! Markers that remove what they should not.

use safe_layers::ErrorKind::{HardlinkEscape, InvalidWhiteout, SymlinkEscape, SymlinkInPath};

use crate::common::builder::{Tar, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks, layers};

/// The layer below, for markers to hide.
fn lower() -> Tar {
    tar().dir("etc").file("etc/passwd", "in").file("top", "t")
}

attacks! {
    /// A marker at the root for its parent.
    wh_root_parent "" [Reject(InvalidWhiteout), Reject(InvalidWhiteout)]
        |_| layers([lower(), tar().file(".wh...", "")]).there("etc/passwd");

    /// A marker for `..`.
    wh_parent "" [Reject(InvalidWhiteout), Reject(InvalidWhiteout)]
        |_| layers([lower(), tar().file("etc/.wh...", "")]).there("etc/passwd");

    /// A marker for the root itself.
    wh_root_dot "" [Reject(InvalidWhiteout), Reject(InvalidWhiteout)]
        |_| layers([lower(), tar().file(".wh..", "")]).there("etc/passwd");

    /// A marker with no name.
    wh_empty "" [Reject(InvalidWhiteout), Reject(InvalidWhiteout)]
        |_| layers([lower(), tar().file("etc/.wh.", "")]).there("etc/passwd");

    /// A marker below a link out of the root.
    wh_through_symlink "CVE-2026-46703" [Reject(SymlinkInPath), Contain]
        |w| layers([tar().symlink("l", w.canary("")), tar().file("l/.wh.file", "")]);

    /// An opaque marker below a link out of the root.
    wh_opq_through_symlink "" [Reject(SymlinkInPath), Contain]
        |w| layers([tar().symlink("l", w.canary("/dir")), tar().file("l/.wh..wh..opq", "")]);

    /// A hardlink to AUFS metadata, which is never unpacked.
    wh_plnk_hardlink "" [Contain, Contain]
        |_| tar()
            .dir(".wh..wh.plnk")
            .file(".wh..wh.plnk/1.2", "plnk")
            .hardlink("x", ".wh..wh.plnk/1.2")
            .not_there(".wh..wh.plnk");

    /// A hardlink that leaves through the AUFS metadata directory.
    wh_plnk_traversal "" [Reject(HardlinkEscape), Reject(HardlinkEscape)]
        |_| tar().file(".wh..wh.plnk/secret", "a").hardlink("x", ".wh..wh.plnk/../../canary/secret");

    /// A marker that is a symlink.
    wh_type_symlink "" [Contain, Contain]
        |w| layers([lower(), tar().symlink(".wh.top", w.canary("/file"))]).not_there(".wh.top");

    /// A marker after the new file of the same layer.
    wh_same_layer_order "" [Accept, Accept]
        |_| layers([lower(), tar().file("top", "new").file(".wh.top", "")]).file_there("top", "new");

    /// An opaque marker after what its own layer put there.
    wh_opq_after_entries "" [Accept, Accept]
        |_| layers([lower(), tar().file("etc/new", "n").file("etc/.wh..wh..opq", "")])
            .file_there("etc/new", "n")
            .not_there("etc/passwd");

    /// A marker for a name that is not UTF-8.
    wh_non_utf8 "" [Accept, Accept]
        |_| layers([tar().file(b"foo\xff", "low"), tar().file(b".wh.foo\xff", "")])
            .not_there(b"foo\xff")
            .not_there(b".wh.foo\xff");

    /// Honouring a marker must not follow a link inside the directory.
    wh_recursive_delete_symlink "" [Reject(SymlinkEscape), Accept]
        |w| layers([tar().dir("a").symlink("a/l", w.canary("/dir")).file("a/f", "x"), tar().file(".wh.a", "")])
            .not_there("a");

    /// A marker, a link in the place of the hidden directory, a file below it.
    wh_hides_escaping_then_write "" [Reject(SymlinkEscape), Contain]
        |w| layers([lower(), tar().file(".wh.etc", "").symlink("etc", w.canary("")).file("etc/pwn", "pwn")])
            .link_there("etc", w.canary(""));

    /// A marker's name as a directory.
    wh_component "" [Contain, Contain]
        |_| layers([lower(), tar().file(".wh.etc/x", "n")]).there("etc/passwd");
}
