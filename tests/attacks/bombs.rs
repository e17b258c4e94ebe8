//! Streams that grow.

use safe_layers::ErrorKind::{BadHeader, LimitExceeded, UnsupportedType};

use crate::common::builder::{Entry, Gzip, tar};
use crate::harness::Outcome::Reject;
use crate::harness::{Details as _, attacks};

/// A file of zeros, in no memory.
fn zeros(len: u64) -> Entry {
    Entry::file("zero", "").body_run([0], len)
}

attacks! {
    /// 1 GiB of zeros in 1 MiB.
    bomb_gzip_1g "" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar()
            .add(zeros(1 << 30))
            .gzip()
            .with(|policy| {
                policy.limits.total_bytes = 64 << 20;
                policy.limits.ratio = 200;
            })
            .slow();

    /// 64 GiB of zeros in 2 MiB.
    bomb_zstd_64g "" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar().add(zeros(64 << 30)).zstd().with(|policy| policy.limits.total_bytes = 64 << 20);

    /// The bomb stands after the end, where only draining meets it.
    bomb_after_eof "" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar()
            .file("a", "x")
            .zero_blocks(2)
            .raw_run([0], 16 << 30)
            .end_blocks(0)
            .zstd()
            .with(|policy| policy.limits.total_bytes = 64 << 20);

    /// The bomb is the body of an entry that may be skipped.
    bomb_in_skipped_entry "" [Reject(UnsupportedType), Reject(LimitExceeded)]
        |_| tar()
            .add(Entry::of(b'Z', "z").body_run([0], 16 << 30))
            .file("last", "x")
            .zstd()
            .with(|policy| policy.limits.total_bytes = 64 << 20);

    /// A bomb in a bomb.
    bomb_nested_gzip "" [Reject(BadHeader), Reject(BadHeader)]
        |_| Gzip::OK.wrap(&tar().add(zeros(1 << 30)).gzip());
}
