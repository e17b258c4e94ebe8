//! Any bytes as a blob.
//!
//! ```text
//! input: flags, cut, blob
//! flags: 1 make the checksums right · 6 wrap as is, gzip, zstd, gzip in two members · 24 claim nothing, plain, gzip, zstd
//! cut:   sizes of the reads
//! ```

use safe_layers::{Compression, Expect, Policy};

use super::Accepted;
use super::pass::{limited, whole_and_cut};
use super::tar::{BLOCK, sum};

pub fn reader(input: &[u8]) -> Accepted {
    let [flags, cut, blob @ ..] = input else { return Accepted::default() };
    let blob = blob_of(*flags, blob);
    let claimed = match flags >> 3 & 3 {
        0 => Expect::dangerous_unverified(),
        1 => Expect::dangerous_unverified().compression(Compression::None),
        2 => Expect::dangerous_unverified().compression(Compression::Gzip),
        _ => Expect::dangerous_unverified().compression(Compression::Zstd),
    };
    let cut = usize::from(*cut);
    let mut accepted = Accepted::default();
    for policy in [limited(Policy::strict()), limited(Policy::container())] {
        let free = whole_and_cut(&blob, &[cut, 1, cut * 7], &Expect::dangerous_unverified(), &policy);
        let held = whole_and_cut(&blob, &[511, cut], &claimed, &policy);
        // A claim may refuse, and changes nothing else.
        if held.end.is_ok() {
            assert_eq!(free, held, "a claim that holds changed the result");
        }
        accepted.add(free.accepted());
    }
    accepted
}

/// The blob that flags and bytes stand for: the lower three bits above.
pub fn blob_of(flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut blob = bytes.to_vec();
    if flags & 1 != 0 {
        make_sums_right(&mut blob);
    }
    match flags >> 1 & 3 {
        0 => blob,
        1 => gzip(&blob),
        2 => zstd(&blob),
        _ => [gzip(&blob[..blob.len() / 2]), gzip(&blob[blob.len() / 2..])].concat(),
    }
}

/// Makes the checksum of every block right that names a dialect: few inputs would have one otherwise.
pub fn make_sums_right(blob: &mut [u8]) {
    let (blocks, _) = blob.as_chunks_mut::<BLOCK>();
    for block in blocks {
        if block[257..262] == *b"ustar" {
            sum(block);
        }
    }
}

/// One member of stored blocks (RFC 1951, 3.2.4; RFC 1952, 2.3).
fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    for chunk in plain.chunks(0xffff) {
        let len = chunk.len() as u16;
        out.push(0);
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(chunk);
    }
    out.extend([1, 0, 0, 0xff, 0xff]);
    out.extend(crc32(plain).to_le_bytes());
    out.extend((plain.len() as u32).to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 }))
}

/// One frame of raw blocks (RFC 8878, 3.1.1).
fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
    for chunk in plain.chunks(64 << 10) {
        out.extend(&((chunk.len() as u32) << 3).to_le_bytes()[..3]);
        out.extend(chunk);
    }
    out.extend([1, 0, 0]);
    out
}
