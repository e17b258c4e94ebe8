//! What real images hold and strictness must not break.

use safe_layers::ErrorKind::{HardlinkEscape, SymlinkEscape};

use crate::common::builder::{Entry, Gzip, LongNames, Skippable, Split, Zstd, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks, layers};

const HI: Skippable = Skippable { magic: 0, declared: 2, content: b"hi" };
const TOC: Skippable = Skippable { magic: 5, declared: 3, content: b"toc" };

attacks! {
    /// A lower `lib -> usr/lib`, an upper file below `lib`.
    ok_usrmerge_write_through "" [Contain, Accept]
        |_| layers([tar().dir("usr/lib").symlink("lib", "usr/lib"), tar().file("lib/x", "u")])
            .file_there("usr/lib/x", "u")
            .link_there("lib", "usr/lib");

    /// An absolute link to what is missing as a parent.
    ok_abs_symlink_parent "" [Reject(SymlinkEscape), Accept]
        |_| layers([tar().dir("var").symlink("var/run", "/run"), tar().file("var/run/a/b/f", "c")])
            .file_there("run/a/b/f", "c");

    /// An absolute hardlink target inside the root, as some builders write.
    ok_hardlink_abs_inroot "" [Reject(HardlinkEscape), Accept]
        |_| tar()
            .file("usr/bin/perlbug", "p")
            .hardlink("usr/bin/perlthanks", "/usr/bin/perlbug")
            .file_there("usr/bin/perlthanks", "p");

    /// Names that begin with dots and are no `..`.
    ok_dotdot_prefix_names "" [Accept, Accept]
        |_| tar()
            .file("..a/x", "1")
            .file(".../y", "2")
            .file("a..b", "3")
            .there("..a/x")
            .there(".../y")
            .there("a..b");

    /// An upper file takes the place of a lower link.
    ok_file_over_symlink "" [Accept, Accept]
        |_| layers([
            tar().dir("bin").file("bin/busybox", "bb").symlink("bin/env", "busybox"),
            tar().file("bin/env", "real"),
        ]).file_there("bin/env", "real").file_there("bin/busybox", "bb");

    /// An upper file takes one name of a pair, the other keeps its content.
    ok_hardlink_broken_by_upper "" [Accept, Accept]
        |_| layers([tar().file("a", "old").hardlink("b", "a"), tar().file("b", "new")])
            .file_there("a", "old")
            .file_there("b", "new");

    /// The global comment of `git archive`.
    ok_global_comment "" [Accept, Accept]
        |_| tar().global_header("52 comment=0123456789abcdef0123456789abcdef01234567\n").file("f", "x").there("f");

    /// GNU long name and long link of one symlink.
    ok_gnu_longlink "" [Accept, Accept]
        |_| tar().add(Entry::symlink("n/".repeat(60) + "s", "t".repeat(150)).gnu().long_names(LongNames::Gnu));

    /// gzip members that end in the middle of a header.
    ok_gzip_members_midheader "" [Accept, Accept]
        |_| Gzip { split: Split::Into(7), ..Gzip::OK }.wrap(&tar().file("a", "1").file("b", "2").source()).there("a").there("b");

    /// Several frames with skippable ones between.
    ok_zstd_frames_skippable "" [Accept, Accept]
        |_| Zstd { frames: 3, skippable_first: Some(HI), skippable: Some(TOC), ..Zstd::OK }
            .wrap(&tar().file("a", "1").file("b", "2").source()).there("a").there("b");

    /// An id that needs base-256, without a name.
    ok_big_uid "" [Accept, Accept]
        |_| tar().add(Entry::file("f", "x").uid(3_000_000).gid(3_000_000).owner_names("", "")).uid_there("f", 3_000_000);

    /// Links that lead out and that nobody writes through.
    ok_verbatim_escaping_links "" [Reject(SymlinkEscape), Accept]
        |_| tar()
            .dir("d")
            .symlink("d/abs", "/etc/shadow")
            .symlink("d/rel", "../../../../etc/shadow")
            .link_there("d/abs", "/etc/shadow")
            .link_there("d/rel", "../../../../etc/shadow");
}
