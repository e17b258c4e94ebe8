//! Compressed streams that are more or less than they say.

use safe_layers::Compression;
use safe_layers::ErrorKind::{BadCompression, BadHeader, MediaTypeMismatch, TrailingData, WindowTooLarge};

use crate::common::builder::{Gzip, Skippable, Split, Zstd, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// The first member is a whole archive, the second holds another.
    gz_hidden_member "" [Reject(TrailingData), Reject(TrailingData)]
        |_| Gzip { split: Split::At(2048), ..Gzip::OK }
            .wrap(&tar().file("a", "x").zero_blocks(2).file("hidden", "evil").source()).not_there("hidden");

    /// Bytes after the last member.
    gz_trailing_garbage "" [Reject(TrailingData), Reject(TrailingData)]
        |_| Gzip { trailing: b"GARBAGEGARBAGE", ..Gzip::OK }.wrap(&tar().file("a", "x").source());

    /// A wrong CRC, noticed when everything is written.
    gz_bad_crc "" [Reject(BadCompression), Reject(BadCompression)]
        |_| Gzip { bad_crc: true, ..Gzip::OK }.wrap(&tar().file("a", "x").source()).not_there("a");

    /// A stream without its trailer.
    gz_truncated "" [Reject(BadCompression), Reject(BadCompression)]
        |_| Gzip { no_trailer: true, ..Gzip::OK }.wrap(&tar().file("a", "A".repeat(4096)).source());

    /// A file name in the gzip header that leads out.
    gz_fname_traversal "" [Accept, Accept]
        |_| Gzip { file_name: "../canary/pwn", ..Gzip::OK }.wrap(&tar().file("a", "x").source()).there("a");

    /// Twenty thousand empty members.
    gz_empty_members "" [Contain, Contain]
        |_| Gzip { empty_members: 20_000, ..Gzip::OK }.wrap(&tar().file("a", "x").source());

    /// A window of 2 GiB.
    zst_window_31 "" [Reject(WindowTooLarge), Reject(WindowTooLarge)]
        |_| Zstd { window_log: 31, ..Zstd::OK }.wrap(&tar().file("a", "x").source());

    /// A frame in one segment that declares 4 EiB.
    zst_fcs_huge "" [Reject(WindowTooLarge), Reject(WindowTooLarge)]
        |_| Zstd { single_segment: Some(1 << 62), ..Zstd::OK }.wrap(&tar().file("a", "x").source());

    /// A skippable frame that declares 4 GiB and has a byte.
    zst_skippable_huge "" [Reject(BadCompression), Reject(BadCompression)]
        |_| Zstd { skippable: Some(Skippable { magic: 0, declared: u32::MAX, content: b"x" }), ..Zstd::OK }
            .wrap(&tar().file("a", "x").source());

    /// Bytes after the last frame.
    zst_trailing_garbage "" [Reject(TrailingData), Reject(TrailingData)]
        |_| Zstd { trailing: b"GARBAGEGARBAGE", ..Zstd::OK }.wrap(&tar().file("a", "x").source());

    /// A wrong content checksum.
    zst_bad_checksum "" [Reject(BadCompression), Reject(BadCompression)]
        |_| Zstd { bad_checksum: true, ..Zstd::OK }.wrap(&tar().file("a", "x").source()).not_there("a");

    /// A frame that needs a dictionary.
    zst_dict_id "" [Reject(BadCompression), Reject(BadCompression)]
        |_| Zstd { dictionary: Some(0x1234), ..Zstd::OK }.wrap(&tar().file("a", "x").source());

    /// gzip that is called plain tar.
    mis_gzip_named_tar "" [Reject(MediaTypeMismatch), Contain]
        |_| tar().file("a", "x").gzip().declared(Compression::None);

    /// Plain tar that is called gzip.
    mis_tar_named_gzip "" [Reject(MediaTypeMismatch), Contain]
        |_| tar().file("a", "x").declared(Compression::Gzip);

    /// gzip in gzip, for who peels until it fits.
    mis_gzip_in_gzip "" [Reject(BadHeader), Reject(BadHeader)]
        |_| Gzip::OK.wrap(&tar().file("a", "x").gzip()).not_there("a");
}
