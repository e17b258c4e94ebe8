//! The root itself as a target, and objects that change their type halfway.

use safe_layers::ErrorKind::{NotADirectory, RootReplaced, SymlinkEscape};

use crate::common::builder::{Entry, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks, layers};

attacks! {
    /// The entry `.` is a symlink: the next layer lands at its target.
    root_symlink_dot "CVE-2021-29136" [Reject(RootReplaced), Reject(RootReplaced)]
        |w| layers([tar().symlink(".", w.canary("")), tar().file("pwn", "pwn")]);

    /// The entry `/.` is a symlink.
    root_symlink_slashdot "CVE-2021-29136" [Reject(RootReplaced), Reject(RootReplaced)]
        |w| tar().symlink("/.", w.canary("")).file("pwn", "pwn");

    /// The entry `.` is a regular file.
    root_file "" [Reject(RootReplaced), Reject(RootReplaced)]
        |_| tar().file(".", "pwn").file("ok", "x");

    /// The root loses all permissions before its children come.
    root_mode_0000 "" [Accept, Accept]
        |_| tar().add(Entry::dir("./").mode(0)).file("a/b", "x").file_there("a/b", "x");

    /// A directory becomes a link to another: a stale handle writes to the wrong one.
    swap_dir_to_symlink_inroot "CVE-2021-32803" [Contain, Accept]
        |_| tar()
            .dir("a")
            .dir("b")
            .file("a/1", "x")
            .symlink("a", "b")
            .file("a/2", "two")
            .file_there("b/2", "two")
            .link_there("a", "b");

    /// Directory, file, directory again: a stale handle writes into the removed one.
    swap_dir_file_dir "" [Contain, Accept]
        |_| tar()
            .dir("a")
            .file("a/1", "one")
            .file("a", "file")
            .dir("a")
            .file("a/2", "two")
            .file_there("a/2", "two")
            .not_there("a/1");

    /// A regular file as a parent.
    swap_file_parent "" [Reject(NotADirectory), Contain]
        |_| tar().file("n", "x").file("n/foo/bar", "y");

    /// The attributes kept for a directory go to the link that took its place.
    deferred_chmod_dir_swapped "CVE-2021-31566 CVE-2021-23177" [Reject(SymlinkEscape), Accept]
        |w| tar()
            .add(Entry::dir("d").mode(0o777).uid(1234).mtime(1))
            .symlink("d", w.canary("/dir"))
            .link_there("d", w.canary("/dir"));

    /// The attributes kept for a directory go through a parent that became a link.
    deferred_chmod_parent_swapped "CVE-2021-31566" [Reject(SymlinkEscape), Accept]
        |w| tar()
            .dir("p")
            .add(Entry::dir("p/dir").mode(0o777).uid(1234).mtime(1))
            .symlink("p", w.canary(""))
            .link_there("p", w.canary(""));

    /// Removing a directory must not follow the link inside.
    recursive_delete_follows "" [Reject(SymlinkEscape), Accept]
        |w| tar().dir("a").symlink("a/l", w.canary("/dir")).file("a", "file").file_there("a", "file");
}
