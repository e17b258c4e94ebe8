//! Names that two systems read differently.

use safe_layers::ErrorKind::{NameTooLong, SymlinkEscape};

use crate::common::builder::tar;
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// A name that is not UTF-8.
    nm_non_utf8 "" [Contain, Accept]
        |_| tar().file(b"ab\xffc", "x").there(b"ab\xffc");

    /// A terminal escape sequence in a name.
    nm_control_chars "" [Contain, Accept]
        |_| tar().file("a\n\u{1b}]0;pwn\u{7}b", "x");

    /// A directory and a link whose names differ in case only.
    nm_case_collision "CVE-2021-37701 CVE-2021-39134" [Reject(SymlinkEscape), Accept]
        |w| tar()
            .dir("Foo")
            .symlink("foo", w.canary(""))
            .file("Foo/pwn", "pwn")
            .any_file_there("Foo/pwn")
            .link_there("foo", w.canary(""));

    /// A directory and a link whose names differ in Unicode form only.
    nm_unicode_collision "CVE-2021-37712" [Reject(SymlinkEscape), Accept]
        |w| tar()
            .dir("caf\u{e9}")
            .symlink("cafe\u{301}", w.canary(""))
            .file("caf\u{e9}/pwn", "pwn")
            .any_file_there("caf\u{e9}/pwn");

    /// A component one byte too long.
    nm_component_256 "" [Reject(NameTooLong), Reject(NameTooLong)]
        |_| tar().file("a".repeat(256), "x");

    /// A path over `PATH_MAX`.
    nm_path_over_max "CVE-2025-4517" [Reject(NameTooLong), Contain]
        |_| tar().file(format!("{}/", "d".repeat(249)).repeat(20) + "f", "x");
}
