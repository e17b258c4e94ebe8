//! What is left behind, what stood there before, and who else is writing.

use safe_layers::ErrorKind::{PathTraversal, SymlinkInPath};

use crate::common::builder::{Entry, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// A thousand good files, then a bad one.
    tx_late_reject "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().each(0..1000, |i| Entry::file(format!("good/f{i}"), "x")).file("../canary/pwn", "pwn").not_there("good");

    /// An earlier archive has left a link out of the root.
    tx_two_step_preplanted "CVE-2025-45582" [Reject(SymlinkInPath), Contain]
        |_| tar().file("x/pwn", "pwn").over_symlink("x", "../canary");

    /// Links wait at the names that temporary files might have.
    tx_predictable_temp "" [Accept, Accept]
        |w| tar()
            .file("f", "pwn")
            .over_symlink(".tmp", w.canary("/file"))
            .over_symlink("f.tmp", w.canary("/file"))
            .over_symlink("f.part", w.canary("/file"))
            .over_symlink(".f.tmp", w.canary("/file"))
            .over_symlink("f~", w.canary("/file"))
            .file_there("f", "pwn");

    /// The file in the destination is a hardlink to one outside.
    tx_preexisting_hardlink "" [Accept, Accept]
        |_| tar()
            .add(Entry::file("f", "pwn").mode(0o777).uid(1234))
            .over_hardlink("f", "canary/file")
            .file_there("f", "pwn");

    /// Another process swaps a directory for a link while files are written into it.
    race_dir_swap "CVE-2018-15664 CVE-2025-47290" [Contain, Contain]
        |w| tar()
            .dir("a")
            .each(0..20_000, |i| Entry::file(format!("a/f{i}"), "pwn"))
            .swapped("a", w.canary("/dir"));
}
