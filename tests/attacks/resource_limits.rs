//! Small layers that cost much.

use safe_layers::ErrorKind::LimitExceeded;

use crate::common::builder::{Entry, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// Six thousand levels of directories.
    lim_deep_nesting "CVE-2024-28863" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar().file("d/".repeat(6000) + "f", "x").with(|policy| policy.limits.depth = 1024);

    /// More entries than the limit.
    lim_many_entries "" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar()
            .each(0..300_000, |i| Entry::file(format!("d/f{i}"), ""))
            .gzip()
            .with(|policy| policy.limits.entries = 100_000)
            .slow();

    /// A GNU long name that declares 4 GiB.
    lim_longname_4g "CVE-2022-2879" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar().add(Entry::gnu_long_name("AAAA").size(1 << 32)).end_blocks(0);

    /// A PAX record of 64 MiB.
    lim_pax_64m "CVE-2022-2879" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar()
            .add(Entry::pax_header("67108864 comment=").body_run("A", 67_108_846).body_more("\n"))
            .file("f", "x")
            .gzip();

    /// A PAX header that declares 8 EiB.
    lim_pax_huge_declared "CVE-2022-2879" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar().add(Entry::pax_header("12 path=abc\n").size(i128::from(i64::MAX))).file("f", "x").end_blocks(0);

    /// Ten thousand extension headers for one entry.
    lim_extension_chain "" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar()
            .each(0..20_000, |i| match i % 2 {
                0 => Entry::pax_header("12 path=abc\n"),
                _ => Entry::gnu_long_name(format!("n{}\0", i / 2)),
            })
            .file("f", "x");

    /// Twenty thousand xattrs on one file.
    lim_xattrs_many "" [Reject(LimitExceeded), Contain]
        |_| tar()
            .add((0..20_000).fold(Entry::file("f", "x"), |entry, i| entry.pax(format!("SCHILY.xattr.user.k{i}"), "v")))
            .gzip();

    /// More names of one inode than filesystems hold.
    lim_emlink "" [Reject(LimitExceeded), Contain]
        |_| tar()
            .file("f", "x")
            .each(0..70_000, |i| Entry::hardlink(format!("l/{i}"), "f"))
            .gzip()
            .slow();

    /// One directory a hundred thousand times.
    lim_wide_dup_dir "" [Contain, Accept]
        |_| tar().times(100_000, &Entry::dir("d")).file("d/x", "x").gzip().any_file_there("d/x").slow();
}
