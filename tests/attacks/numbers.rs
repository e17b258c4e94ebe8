//! Numbers at the edge of their fields.

use safe_layers::ErrorKind::{BadNumber, PaxMalformed};

use crate::common::builder::{Entry, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// The largest time.
    num_mtime_max "CVE-2025-25724" [Contain, Contain]
        |_| tar().add(Entry::file("f", "x").mtime(i128::from(i64::MAX)));

    /// Times before 1970, in base-256 and in PAX.
    num_mtime_negative "" [Contain, Accept]
        |_| tar()
            .add(Entry::file("f", "x").mtime(-1))
            .add(Entry::file("g", "x").pax("mtime", "-1.5"))
            .there("f")
            .there("g");

    /// PAX times that only a lenient parser of floats takes.
    num_pax_mtime_garbage "" [Reject(PaxMalformed), Contain]
        |_| tar().add(Entry::file("f", "x").pax("mtime", "1e400")).add(Entry::file("g", "x").pax("mtime", "nan"));

    /// A mode that is not octal.
    num_mode_garbage "" [Reject(BadNumber), Reject(BadNumber)]
        |_| tar().add(Entry::file("f", "x").patch(100, b"zzzzzzz\0")).file("last", "x");
}
