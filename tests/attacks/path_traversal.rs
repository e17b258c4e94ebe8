//! Names that lead out of the root.

use safe_layers::ErrorKind::{AbsolutePath, InvalidName, PathTraversal, RootReplaced};

use crate::common::builder::{Entry, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// A name with `..` lands beside the root.
    name_dotdot "CVE-2007-4559 CVE-2001-1267 CVE-2024-24579" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().file("ok", "x").file("../canary/pwn", "pwn");

    /// A real component first, then two `..`: the depth goes negative late.
    name_dotdot_deep "CVE-2026-26157 CVE-2016-6321" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().dir("a").file("a/../../canary/pwn", "pwn");

    /// An absolute name.
    name_absolute "CVE-2021-32804 CVE-2002-0399" [Reject(AbsolutePath), Accept]
        |w| tar().file(w.canary("/pwn"), "pwn");

    /// Stripping the leading `/` leaves a `..` at the front.
    name_slash_dotdot "CVE-2026-29786" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().file("/../canary/pwn", "pwn");

    /// Several leading slashes outlive the removal of one.
    name_multi_slash "CVE-2021-32804" [Reject(AbsolutePath), Accept]
        |w| tar().file(format!("///{}", w.canary("/pwn")), "pwn");

    /// `.` and empty components hide the `..` from a prefix check.
    name_dot_slash_mix "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().file("././/../canary/pwn", "pwn");

    /// A regular file whose whole name is `..`.
    name_bare_dotdot_file "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().file("..", "pwn");

    /// A directory entry `..` gives mode and owner to the root's parent.
    name_bare_dotdot_dir "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().add(Entry::dir("..").mode(0o777).uid(1234));

    /// No file at all: only a directory is made outside.
    name_dotdot_mkdir "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().dir("../canary/newdir");

    /// `..` that stays inside, where two readers see two places.
    name_dotdot_inside "" [Reject(PathTraversal), Contain]
        |_| tar().dir("a/b").file("a/b/../c", "x");

    /// The ustar prefix field holds the `..`, the name is clean.
    name_ustar_prefix_dotdot "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().add(Entry::file("pwn", "pwn").prefix("../canary"));

    /// The PAX path holds the `..`, the header's name is clean.
    name_pax_path_dotdot "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().add(Entry::file("clean.txt", "pwn").pax("path", "../canary/pwn"));

    /// The GNU long name holds the `..`, the header's name is clean.
    name_gnu_l_dotdot "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().gnu_long_name("../canary/pwn\0").add(Entry::file("clean.txt", "pwn").gnu());

    /// A sibling whose path has the root's as a string prefix.
    name_sibling_prefix "CVE-2025-59343 CVE-2026-17106" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().file("../dest-evil/pwn", "pwn");

    /// An empty name.
    name_empty "" [Reject(InvalidName), Reject(InvalidName)]
        |_| tar().file("", "pwn").file("ok", "x");

    /// A regular file named `///` is the root itself.
    name_only_slashes "" [Reject(RootReplaced), Reject(RootReplaced)]
        |_| tar().file("///", "pwn");

    /// Windows separators: one ordinary component here.
    name_backslash "CVE-2021-37713 CVE-2021-37701" [Contain, Accept]
        |_| tar().file("..\\canary\\pwn", "x").any_file_there("..\\canary\\pwn");

    /// A NUL in a PAX path, where readers of C strings stop.
    name_nul_pax "GHSA-gvwx-54wh-qm9j" [Reject(InvalidName), Reject(InvalidName)]
        |_| tar().add(Entry::file("safe", "pwn").pax("path", "safe\0/../../canary/pwn"));

    /// `a/..` with mode 0000 would change the root.
    name_trailing_dotdot "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().dir("a").add(Entry::dir("a/..").mode(0)).file("b", "x");
}
