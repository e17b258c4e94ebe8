//! Where an archive ends, and what stands after it.

use safe_layers::ErrorKind::{BadHeader, DanglingExtension, TrailingData, Truncated};

use crate::common::builder::{Entry, tar};
use crate::harness::Outcome::{Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// One zero block, then more entries.
    eoa_single_zero_block "" [Reject(TrailingData), Reject(TrailingData)]
        |_| tar().file("a", "x").zero_blocks(1).file("after", "evil").not_there("after");

    /// A whole archive, then another.
    eoa_concat "" [Reject(TrailingData), Reject(TrailingData)]
        |_| tar().file("a", "x").zero_blocks(2).file("after", "evil").not_there("after");

    /// No end of archive.
    eoa_missing "" [Reject(Truncated), Contain]
        |_| tar().file("a", "x").end_blocks(0);

    /// The stream ends inside a body.
    eoa_truncated_data "" [Reject(Truncated), Reject(Truncated)]
        |_| tar().file("a", "x").file("big", "A".repeat(5000)).cut_at(2236);

    /// The stream ends inside a header.
    eoa_truncated_header "" [Reject(Truncated), Reject(Truncated)]
        |_| tar().file("a", "x").file("b", "x").cut_at(1124);

    /// Something else after the end.
    eoa_trailing_garbage "" [Reject(TrailingData), Contain]
        |_| tar().file("a", "x").trailing("G".repeat(512));

    /// A zero block between a long name and its entry.
    eoa_zero_between_l_and_file "" [Reject(DanglingExtension), Reject(DanglingExtension)]
        |_| tar().gnu_long_name("longname\0").zero_blocks(1).add(Entry::file("real", "x").gnu()).not_there("longname");

    /// A blob of no bytes.
    eoa_empty "" [Reject(Truncated), Contain]
        |_| tar().end_blocks(0);

    /// Not an archive.
    eoa_garbage "" [Reject(BadHeader), Reject(BadHeader)]
        |_| tar().raw("not a tar archive ".repeat(200)).end_blocks(0);
}
