//! PAX records that two readers understand differently.

use safe_layers::ErrorKind::{BadHeader, DanglingExtension, NumberOutOfRange, PaxConflict, PaxGlobal, PaxMalformed};

use crate::common::builder::{BLOCK, Entry, record, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

/// The header of a file that must not come out.
fn hidden() -> [u8; BLOCK] {
    Entry::file("hidden", "").header()
}

/// The header of a symlink that must not come out.
fn smuggled() -> [u8; BLOCK] {
    Entry::symlink("smuggled", "/etc/shadow").mode(0o777).header()
}

attacks! {
    /// PAX says 2048, the header 8: who ignores PAX finds a link in the body.
    pax_size_larger "CVE-2026-33055 RUSTSEC-2026-0068" [Contain, Contain]
        |_| tar()
            .add(
                Entry::file("regular.txt", "regular\n")
                    .body_more([0; 504])
                    .body_more(smuggled())
                    .body_more([0; 1024])
                    .size(8)
                    .pax("size", "2048"),
            )
            .file("last", "x")
            .not_there("smuggled");

    /// The header says 0, PAX the size of a nested archive, whose entries leak out.
    pax_size_tarmageddon "CVE-2025-62518 CVE-2025-59825" [Accept, Accept]
        |_| tar()
            .add(Entry::file("inner.tar", tar().file("leaked", "evil").bytes()).size(0).pax("size", "2048"))
            .file("last", "x")
            .there("inner.tar")
            .there("last")
            .not_there("leaked");

    /// PAX says 0, the header 1536: who ignores PAX swallows entries.
    pax_size_smaller "CVE-2026-33055" [Contain, Contain]
        |_| tar().add(Entry::file("big", "").size(1536).pax("size", "0")).file("visible", "v").file("last", "x");

    /// A PAX size is for the file, not for the long name between.
    pax_size_applies_to_l "GHSA-vmf3-w455-68vh" [Contain, Contain]
        |_| tar()
            .pax_header("13 size=1024\n")
            .gnu_long_name("longname.txt\0")
            .add(Entry::file("short", "A".repeat(512)).body_more(hidden()).size(1024).gnu())
            .file("last", "x")
            .there("last")
            .not_there("hidden");

    /// Two paths in one PAX header.
    pax_dup_path "" [Reject(PaxConflict), Contain]
        |_| tar().add(Entry::file("h", "x").pax("path", "first").pax("path", "second")).not_there("first");

    /// Two sizes in one PAX header.
    pax_dup_size "" [Reject(PaxConflict), Contain]
        |_| tar().add(Entry::file("f", "0123456789").pax("size", "3").pax("size", "10")).file("last", "x");

    /// A PAX path and another GNU long name for one entry.
    pax_vs_gnu_l "" [Reject(PaxConflict), Reject(PaxConflict)]
        |_| tar().pax_header(record("path", "paxname")).gnu_long_name("gnuname\0").add(Entry::file("hdr", "x").gnu());

    /// A PAX linkpath and another GNU long link for one symlink.
    pax_linkpath_vs_gnu_k "" [Reject(PaxConflict), Reject(PaxConflict)]
        |_| tar()
            .pax_header("16 linkpath=in1\n")
            .gnu_long_link("../canary\0")
            .add(Entry::symlink("s", "in2").gnu())
            .file("s/pwn", "pwn");

    /// A global PAX path.
    pax_global_path "" [Reject(PaxGlobal), Contain]
        |_| tar().global_header("14 path=gpath\n").file("one", "1").file("two", "2").not_there("gpath");

    /// A global PAX size, which puts readers out of step.
    pax_global_size "" [Reject(PaxGlobal), Reject(PaxGlobal)]
        |_| tar()
            .global_header("13 size=1024\n")
            .add(Entry::file("one", [&[b'A'; BLOCK][..], &tar().file("hidden", "evil").end_blocks(0).bytes()].concat()).size(1024))
            .file("two", "")
            .not_there("hidden");

    /// A global PAX linkpath gives every link another target.
    pax_global_linkpath "" [Reject(PaxGlobal), Contain]
        |_| tar().global_header(record("linkpath", "../canary")).symlink("s", "inside").file("s/pwn", "pwn");

    /// An xattr value with a newline and what looks like a path record.
    pax_record_newline_injection "" [Contain, Accept]
        |_| tar()
            .add(Entry::file("clean", "x").pax("SCHILY.xattr.user.a", "v\n17 path=injected\n"))
            .there("clean")
            .not_there("injected");

    /// A record longer than its header.
    pax_len_too_long "CVE-2024-6232" [Reject(PaxMalformed), Reject(PaxMalformed)]
        |_| tar().pax_header("99 path=evil\n").file("hdr", "x");

    /// A record of length 0.
    pax_len_zero "CVE-2019-20907" [Reject(PaxMalformed), Reject(PaxMalformed)]
        |_| tar().pax_header("0 path=evil\n").file("hdr", "x");

    /// A record without its newline.
    pax_no_newline "" [Reject(PaxMalformed), Reject(PaxMalformed)]
        |_| tar().pax_header("13 path=evilX").file("hdr", "x");

    /// A record without `=`.
    pax_no_equals "" [Reject(PaxMalformed), Reject(PaxMalformed)]
        |_| tar().pax_header("11 pathfoo\n").file("hdr", "x");

    /// A negative PAX size.
    pax_size_negative "GHSA-8x88-c5mf-7j5w CVE-2025-8194" [Reject(PaxMalformed), Reject(PaxMalformed)]
        |_| tar().pax_header("13 size=-512\n").file("f", "x").file("last", "x");

    /// A PAX size with a plus sign.
    pax_size_plus "" [Reject(PaxMalformed), Reject(PaxMalformed)]
        |_| tar().pax_header("11 size=+5\n").file("f", "01234").file("last", "x");

    /// A PAX size over 64 bits.
    pax_size_overflow "" [Reject(NumberOutOfRange), Reject(NumberOutOfRange)]
        |_| tar().add(Entry::file("f", "x").pax("size", "18446744073709551617")).file("last", "x");

    /// A PAX header with no entry after it.
    pax_dangling_eof "" [Reject(DanglingExtension), Reject(DanglingExtension)]
        |_| tar().file("f", "x").pax_header(record("path", "ghost"));

    /// An empty PAX path.
    pax_empty_value "" [Reject(PaxMalformed), Contain]
        |_| tar().pax_header("8 path=\n").file("hdr", "x");

    /// A PAX header in a v7 header block.
    pax_on_gnu_carrier "" [Reject(BadHeader), Contain]
        |_| tar().add(Entry::pax_header(record("path", "v7pax")).v7()).add(Entry::file("hdr", "x").v7());

    /// The PAX header's own name leads out, for who writes unknown types as files.
    pax_header_name_traversal "" [Accept, Accept]
        |_| tar().add(Entry::of(b'x', "../canary/pwn").body("11 mtime=1\n")).file("f", "x").there("f");
}
