//! Sparse maps.

use safe_layers::ErrorKind::{LimitExceeded, PathTraversal, SparseMalformed};

use crate::common::builder::{Entry, sparse_continuation, tar};
use crate::harness::Outcome::{Contain, Reject};
use crate::harness::{Details as _, attacks};

/// A sparse file of the PAX form 1.0, whose map stands at the start of its body.
fn pax_sparse(name: &str, real_size: &str, map: &str) -> Entry {
    Entry::file("GNUSparseFile.0/f", map)
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0")
        .pax("GNU.sparse.name", name)
        .pax("GNU.sparse.realsize", real_size)
}

attacks! {
    /// One byte of data, 8 EiB of file.
    sp_realsize_bomb "" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar().add(Entry::gnu_sparse("f", &[(0, 1)], u64::MAX >> 1, "x")).file("last", "x");

    /// Twenty thousand continuation blocks of a sparse map.
    sp_old_ext_endless "CVE-2026-32288" [Reject(LimitExceeded), Contain]
        |_| tar()
            .add(Entry::gnu_sparse("f", &[(0, 0)], 0o1000, "").patch(482, [1]))
            .raw_run(sparse_continuation(&[], true), 20_000)
            .raw(sparse_continuation(&[], false))
            .file("last", "x");

    /// Sparse regions that go backwards.
    sp_overlap "" [Reject(SparseMalformed), Reject(SparseMalformed)]
        |_| tar()
            .add(Entry::gnu_sparse("f", &[(1024, 512), (0, 512)], 2048, "A".repeat(1024)))
            .file("last", "x");

    /// A sparse offset that overflows with its length.
    sp_offset_overflow "" [Reject(SparseMalformed), Reject(SparseMalformed)]
        |_| tar()
            .add(Entry::gnu_sparse("f", &[(u64::MAX >> 1, 512)], 2048, "A".repeat(512)))
            .file("last", "x");

    /// A sparse map of three million empty regions.
    sp_pax10_huge_map "CVE-2025-58183" [Reject(LimitExceeded), Reject(LimitExceeded)]
        |_| tar()
            .add(pax_sparse("f", "0", "3000000\n").body_run("0\n0\n", 3_000_000).body_more([0; 248]))
            .file("last", "x")
            .gzip();

    /// The sparse name leads out, the header's is clean.
    sp_pax_name_traversal "" [Reject(PathTraversal), Reject(PathTraversal)]
        |_| tar().add(pax_sparse("../canary/pwn", "1", "1\n0\n1\n").body_more([0; 506]).body_more("x"));

    /// A sparse name without a map renames a plain file.
    sp_pax_orphan_name "" [Reject(SparseMalformed), Reject(SparseMalformed)]
        |_| tar().add(Entry::file("visible", "x").pax("GNU.sparse.name", "renamed")).not_there("renamed");
}
