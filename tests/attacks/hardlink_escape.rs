//! Hardlinks to what is not below the root.

use safe_layers::ErrorKind::{HardlinkEscape, HardlinkTargetMissing, HardlinkToSpecial, InvalidLinkTarget, SymlinkEscape};

use crate::common::builder::{Entry, tar};
use crate::harness::Outcome::{Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// A hardlink to a file outside makes it readable in the image.
    hl_dotdot_read "CVE-2026-42497 CVE-2026-24842" [Reject(HardlinkEscape), Reject(HardlinkEscape)]
        |_| tar().hardlink("h", "../canary/secret");

    /// A hardlink to an absolute path of the host.
    hl_abs_read "CVE-2018-20990 CVE-2026-23745" [Reject(HardlinkEscape), Contain]
        |w| tar().hardlink("h", w.canary("/secret")).not_there("h");

    /// A hardlink to `/..` and on.
    hl_slash_dotdot "" [Reject(HardlinkEscape), Reject(HardlinkEscape)]
        |_| tar().hardlink("h", "/../canary/secret");

    /// A hardlink to a file outside, then a file of that name written through it.
    hl_then_overwrite "CVE-2018-20990 CVE-2018-20834 CVE-2014-6407" [Reject(HardlinkEscape), Reject(HardlinkEscape)]
        |_| tar().hardlink("h", "../canary/file").file("h", "pwn");

    /// A hardlink's own mode, owner and time for the inode outside.
    hl_entry_metadata "CVE-2026-42497" [Reject(HardlinkEscape), Reject(HardlinkEscape)]
        |_| tar().add(Entry::hardlink("h", "../canary/file").mode(0o4777).uid(1234).mtime(1));

    /// A hardlink whose target's parent is a link out of the root.
    hl_target_through_symlink "CVE-2025-48387 CVE-2026-26960" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("s", w.canary("")).hardlink("h", "s/secret").not_there("h");

    /// Two links that are harmless alone lead a hardlink's target outside.
    hl_symlink_chain_nodetar "CVE-2026-26960" [Reject(HardlinkEscape), Contain]
        |_| tar()
            .dir("a/b/c")
            .symlink("a/b/c/up", "../..")
            .symlink("a/b/escape", "c/up/../..")
            .hardlink("exfil", "a/b/escape/canary/secret")
            .not_there("exfil");

    /// A hardlink to a symlink, then a file of the hardlink's name.
    hl_to_symlink_overwrite "" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("s", w.canary("/file")).hardlink("h", "s").file("h", "pwn");

    /// A hardlink to a symlink, whose mode is then set by following.
    hl_to_symlink_chmod "CVE-2026-4360" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("s", w.canary("/secret")).add(Entry::hardlink("h", "s").mode(0o777));

    /// A hardlink to a directory outside, then a file below it.
    hl_dir_loophole "" [Reject(HardlinkEscape), Reject(HardlinkEscape)]
        |_| tar().hardlink("lv", "../canary").file("lv/pwn", "pwn");

    /// A hardlink to itself: removing the old name first loses the file.
    hl_self "" [Reject(HardlinkTargetMissing), Contain]
        |_| tar().file("h", "keep").hardlink("h", "h");

    /// A hardlink to what is not there.
    hl_missing_target "" [Reject(HardlinkTargetMissing), Reject(HardlinkTargetMissing)]
        |_| tar().hardlink("h", "nope");

    /// A hardlink with an empty target.
    hl_empty_target "" [Reject(InvalidLinkTarget), Reject(InvalidLinkTarget)]
        |_| tar().hardlink("h", "").file("ok", "x");

    /// A hardlink to a directory.
    hl_to_dir "" [Reject(HardlinkToSpecial), Reject(HardlinkToSpecial)]
        |_| tar().dir("d").hardlink("h", "d");

    /// A hardlink that carries data for the shared inode outside.
    hl_with_data "" [Reject(HardlinkEscape), Reject(HardlinkEscape)]
        |_| tar().add(Entry::hardlink("h", "../canary/file").body("modified"));

    /// A target that exists in the process's working directory.
    hl_cwd_relative "CVE-2026-50163" [Reject(HardlinkTargetMissing), Reject(HardlinkTargetMissing)]
        |_| tar().hardlink("h", "secret").not_there("h");

    /// A hardlink to a sibling whose path has the root's as a string prefix.
    hl_sibling_prefix "CVE-2026-17106" [Reject(HardlinkEscape), Reject(HardlinkEscape)]
        |_| tar().hardlink("grab", "../dest-evil/secret").not_there("grab");

    /// A hardlink to the placeholder that some tars write for a delayed link.
    hl_placeholder_confusion "" [Reject(SymlinkEscape), Contain]
        |w| tar()
            .symlink("s", w.canary("/file"))
            .hardlink("p", "s")
            .hardlink("q", "p")
            .file("q", "pwn")
            .file("s/../t", "x");
}
