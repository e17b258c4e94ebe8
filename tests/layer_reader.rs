//! Entries without a filesystem: what `LayerReader` gives, and that it always ends.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

mod common;

use common::builder::{BLOCK, Chunks, tar};
use safe_layers::{Error, ErrorKind, Expect, LayerReader, Location, Policy, Reason};

/// The first entry's body, or the error of reading it; and what the end of the blob says.
fn first_body(archive: &[u8], chunk: usize) -> (Result<Vec<u8>, Error>, Result<(), Error>) {
    let blob = Chunks(archive, chunk);
    let mut layer = LayerReader::new(blob, &Expect::dangerous_unverified(), Policy::container());
    layer.next_entry().unwrap().unwrap();
    let mut body = Vec::new();
    let read = layer.read_body(&mut |_, piece| body.extend_from_slice(piece)).map(|()| body);
    (read, layer.finish().map(drop))
}

#[test]
fn a_body_comes_whole_from_reads_of_any_size() {
    let archive = tar().file("f", "content").file("g", "other").bytes();
    for chunk in [1, 3, BLOCK, usize::MAX] {
        assert_eq!(first_body(&archive, chunk), (Ok(b"content".to_vec()), Ok(())));
    }
}

#[test]
fn what_the_end_brings_is_told_with_it() {
    let archive = tar().file("f", "").end_blocks(0).bytes();
    let layer = LayerReader::new(archive.as_slice(), &Expect::dangerous_unverified(), Policy::container());
    let end = layer.finish().unwrap();
    assert_eq!(end.events.counts().iter().collect::<Vec<_>>(), [(&Reason::EndOfArchiveMissing, &1)]);
    let whole = tar().file("f", "").bytes();
    let layer = LayerReader::new(whole.as_slice(), &Expect::dangerous_unverified(), Policy::container());
    assert!(layer.finish().unwrap().events.counts().is_empty());
}

#[test]
fn a_blob_that_ends_in_a_body_is_an_error_and_not_an_endless_read() {
    let archive = tar().file("f", "content").bytes();
    // In the body, and in its padding.
    for len in [BLOCK, BLOCK + 3, BLOCK + 7, BLOCK + 100] {
        for chunk in [1, usize::MAX] {
            let (read, end) = first_body(&archive[..len], chunk);
            let error = end.unwrap_err();
            let place = Location { entry: Some(0), offset: Some(len as u64), path: None };
            assert_eq!((error.kind(), Location { path: None, ..error.location().clone() }), (ErrorKind::Truncated, place));
            assert_eq!(read.unwrap_err(), error, "{len} bytes");
        }
    }
}

/// Says that it is at its end, then gives more.
struct Resumes<'a>(Vec<&'a [u8]>);

impl std::io::Read for Resumes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let part = self.0.remove(0);
        buffer[..part.len()].copy_from_slice(part);
        Ok(part.len())
    }
}

#[test]
fn the_end_of_a_blob_is_where_its_reader_first_says_so() {
    let archive = tar().file("f", "x").bytes();
    let (half, rest) = archive.split_at(BLOCK);
    for (parts, whole) in
        [(vec![&b""[..], b"x"], true), (vec![half, b"", rest], false), (vec![&archive[..], b"", b"junk"], true), (vec![half, rest], true)]
    {
        let layer = LayerReader::new(Resumes(parts), &Expect::dangerous_unverified(), Policy::container());
        assert_eq!(layer.finish().is_ok(), whole);
    }
}
