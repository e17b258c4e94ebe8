//! Headers that two readers understand differently.

use safe_layers::ErrorKind::{
    BadChecksum, BadHeader, BadNumber, InvalidName, NumberOutOfRange, PaxConflict, SizeOnNonRegular, SpecialFile, Truncated, TypeConflict,
    UnsupportedType,
};

use crate::common::builder::{BLOCK, Checksum, Entry, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

/// The header of a file that must not come out.
fn hidden() -> [u8; BLOCK] {
    Entry::file("hidden", "").header()
}

attacks! {
    /// A symlink with a size: its body looks like a header.
    hdr_symlink_size "" [Reject(SizeOnNonRegular), Reject(SizeOnNonRegular)]
        |_| tar()
            .add(Entry::symlink("s", "in").body(hidden()))
            .file("last", "x")
            .not_there("hidden");

    /// A directory with a size.
    hdr_dir_size "" [Reject(SizeOnNonRegular), Reject(SizeOnNonRegular)]
        |_| tar()
            .add(Entry::dir("d/").body(hidden()))
            .file("last", "x")
            .not_there("hidden");

    /// A hardlink with a size.
    hdr_hardlink_size "" [Reject(SizeOnNonRegular), Reject(SizeOnNonRegular)]
        |_| tar()
            .file("f", "x")
            .add(Entry::hardlink("h", "f").body(hidden()))
            .file("last", "x")
            .not_there("hidden");

    /// A FIFO with a size.
    hdr_fifo_size "" [Reject(SpecialFile), Reject(SizeOnNonRegular)]
        |_| tar()
            .add(Entry::fifo("p").body(hidden()))
            .file("last", "x")
            .not_there("hidden");

    /// A negative size in base-256.
    hdr_size_b256_negative "CVE-2025-8194" [Reject(NumberOutOfRange), Reject(NumberOutOfRange)]
        |_| tar().add(Entry::file("f", "x").size(-512)).file("last", "x");

    /// A size of 2^62 in a tiny archive.
    hdr_size_b256_huge "" [Reject(Truncated), Reject(Truncated)]
        |_| tar().add(Entry::file("f", "x").size(1 << 62)).end_blocks(0);

    /// A size that is not octal.
    hdr_size_garbage "" [Reject(BadNumber), Reject(BadNumber)]
        |_| tar().add(Entry::file("f", "x").patch(124, b"123456789zz\0")).file("last", "x");

    /// A size with a minus sign.
    hdr_size_minus_octal "" [Reject(BadNumber), Reject(BadNumber)]
        |_| tar().add(Entry::file("f", "x").patch(124, b"-0000000001\0")).file("last", "x");

    /// A bad checksum in the middle: who resumes finds another entry.
    hdr_bad_checksum_mid "" [Reject(BadChecksum), Reject(BadChecksum)]
        |_| tar()
            .file("a", "x")
            .add(Entry::file("broken", "x").checksum(Checksum::OffByOne))
            .file("resync", "evil")
            .not_there("resync");

    /// A checksum of zeros.
    hdr_checksum_blank "" [Reject(BadChecksum), Reject(BadChecksum)]
        |_| tar().add(Entry::file("a", "x").checksum(Checksum::Zeros)).file("b", "x");

    /// A v7 file with a trailing slash is a directory, and this one has a body.
    hdr_v7_trailing_slash "" [Reject(TypeConflict), Reject(TypeConflict)]
        |_| tar()
            .add(Entry::of(b'\0', "d/").body(hidden()).v7())
            .file("last", "x")
            .not_there("hidden");

    /// A ustar file with a trailing slash and a body.
    hdr_reg_trailing_slash "" [Reject(TypeConflict), Reject(TypeConflict)]
        |_| tar().file("d/", "data").file("last", "x");

    /// An unknown type whose body looks like a header.
    hdr_unknown_typeflag "" [Reject(UnsupportedType), Contain]
        |_| tar()
            .add(Entry::of(b'Z', "z").body(hidden()))
            .file("last", "x")
            .not_there("hidden");

    /// A GNU header with data where ustar has its prefix.
    hdr_gnu_prefix "" [Contain, Contain]
        |_| tar().add(Entry::file("pwn", "x").gnu().prefix("../canary")).file("last", "x");

    /// The ustar magic without its version: prefix or not?
    hdr_ustar_nul_version "" [Reject(BadHeader), Reject(BadHeader)]
        |_| tar().add(Entry::file("pwn", "x").prefix("../canary").patch(257, b"ustar\0\0\0")).file("last", "x");

    /// A long name that goes on behind its NUL.
    hdr_l_hidden_suffix "" [Reject(InvalidName), Contain]
        |_| tar().gnu_long_name("ok\0/../canary/pwn\0").add(Entry::file("h", "x").gnu());

    /// Two long names and a long link for one file.
    hdr_l_l_k "" [Reject(PaxConflict), Contain]
        |_| tar()
            .gnu_long_name("first\0")
            .gnu_long_name("second\0")
            .gnu_long_link("../canary\0")
            .add(Entry::file("h", "x").gnu())
            .not_there("first");

    /// The obsolete GNU record that renames and links.
    hdr_n_old_gnu_names "CVE-2006-6097" [Reject(UnsupportedType), Contain]
        |_| tar()
            .add(Entry::of(b'N', "././@MangledNames").body("Rename x to ../canary/pwn\nSymlink ../canary to y\n").gnu())
            .file("x", "pwn")
            .file("y/pwn", "pwn");

    /// A volume header with a huge size.
    hdr_v_volume_loop "" [Reject(UnsupportedType), Reject(UnsupportedType)]
        |_| tar().add(Entry::of(b'V', "vol").gnu().size(1 << 40)).file("f", "x");

    /// Name and link name fill their fields, without a NUL.
    hdr_name_100_unterminated "" [Contain, Accept]
        |_| tar()
            .file("n".repeat(100), "x")
            .symlink("s", "t".repeat(100))
            .any_file_there("n".repeat(100))
            .link_there("s", "t".repeat(100));
}
