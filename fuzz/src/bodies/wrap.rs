//! gzip members and zstd frames around an archive, against decoders that have the whole blob at once.
//!
//! ```text
//! input:  flags, then the blob itself or pieces of two bytes: kind, and how much of the archive it takes
//! flags:  1 the rest is the blob · 2 zstd · 4 the last three bytes flip a bit: place (two bytes), bit · 8 the archive is small
//!         224 size of the reads
//! pieces: see [`gzip_piece`] and [`zstd_piece`]; what is left of the archive is a last one
//! ```

use std::io::{Read as _, Write as _};

use flate2::{Compress, Compression, Crc, FlushCompress};
use safe_layers::{Algorithm, Error, ErrorKind, Expect, Hasher, Policy};

use super::Accepted;
use super::pass::{Pass, limited, whole_and_cut};
use super::tar::{Header, end, push, push_with_pax};

/// What this crate refuses and the decoders of its libraries do not, by the detail of the error.
const STRICTER: [(&str, &str); 7] = [
    ("reserved flags of a gzip member are set", "RFC 1952 2.3.1.2: must be zero"),
    ("the checksum of a gzip header is wrong", "a header that was changed"),
    ("over the limit zstd_window", "the caller's limit, which the library takes as a power of two"),
    ("over the limit members", "the caller's limit"),
    ("over the limit total_bytes", "the caller's limit"),
    ("the blob has only skippable frames", "no data is no layer, where oddities are refused"),
    ("the reserved bit of a zstd frame is set", "RFC 8878 3.1.1.1.1.4: must be zero"),
];

pub fn wrap(input: &[u8]) -> Accepted {
    let [flags, rest @ ..] = input else { return Accepted::default() };
    let blob = if flags & 1 != 0 { rest.to_vec() } else { wrapped(*flags, rest) };
    let sizes = [1 + 37 * usize::from(flags >> 5), 1];
    let mut accepted = Accepted::default();
    for policy in [limited(Policy::strict()), limited(Policy::container())] {
        let pass = whole_and_cut(&blob, &sizes, &Expect::dangerous_unverified(), &policy);
        accepted.add(pass.accepted());
        let plain = match &blob[..] {
            [0x1f, 0x8b, ..] => gunzip(&blob, policy.limits.total_bytes, &policy),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => unzstd(&blob, policy.limits.total_bytes),
            _ => continue,
        };
        match plain {
            None => assert!(pass.end.is_err(), "accepted, and the library refuses it"),
            Some(plain) => agrees(&pass, &blob, &plain, &policy),
        }
    }
    accepted
}

/// The same entries and the same end as of the decoded bytes alone, but for what is stricter here.
fn agrees(pass: &Pass, blob: &[u8], plain: &[u8], policy: &Policy) {
    let alone = Pass::take(plain, &Expect::dangerous_unverified(), policy);
    let kind = |pass: &Pass| pass.end.as_ref().map(drop).map_err(Error::kind);
    match &pass.end {
        Ok(_) => {
            assert_eq!(kind(&alone), Ok(()), "accepted, and alone it is not");
            assert_eq!(pass.entries, alone.entries);
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(plain);
            let claimed = Pass::take(blob, &Expect::diff_id(hasher.finish()), policy);
            assert!(claimed.end.is_ok(), "the decoded bytes differ: {:?}", claimed.end);
        }
        Err(error) => {
            let stricter = STRICTER.iter().any(|(detail, _)| error.detail().starts_with(detail));
            // Compressed again: read no further, and alone it is decoded.
            let again = error.kind() == ErrorKind::BadHeader;
            assert!(stricter || again || kind(pass) == kind(&alone), "{error}, and alone {:?}", alone.end);
        }
    }
}

/// All members, one after the other; then nothing, or zeros where they are tolerated. `None`: refused.
fn gunzip(mut blob: &[u8], most: u64, policy: &Policy) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    while blob.starts_with(&[0x1f, 0x8b]) {
        let mut member = flate2::bufread::GzDecoder::new(blob);
        member.by_ref().take(most + 1).read_to_end(&mut plain).ok()?;
        if plain.len() as u64 > most {
            return None;
        }
        blob = member.into_inner();
    }
    let tolerated = policy.oddities == Policy::container().oddities && blob.iter().all(|byte| *byte == 0);
    (blob.is_empty() || tolerated).then_some(plain)
}

fn unzstd(blob: &[u8], most: u64) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(blob).ok()?;
    decoder.window_log_max(20).ok()?;
    decoder.take(most + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= most).then_some(plain)
}

fn wrapped(flags: u8, program: &[u8]) -> Vec<u8> {
    let (program, flip) = match program {
        [program @ .., high, low, bit] if flags & 4 != 0 => (program, Some((usize::from(u16::from_be_bytes([*high, *low])), bit & 7))),
        _ => (program, None),
    };
    let archive = if flags & 8 != 0 { vec![0; 1024] } else { archive() };
    let (mut rest, mut blob) = (&archive[..], Vec::new());
    let piece = if flags & 2 != 0 { zstd_piece } else { gzip_piece };
    for [kind, len] in program.as_chunks::<2>().0.iter().take(64) {
        let (part, after) = rest.split_at(rest.len().min(usize::from(*len) * 32));
        let wrapped = piece(*kind, part);
        // Junk takes nothing.
        rest = if kind & 7 > 4 { rest } else { after };
        blob.extend(wrapped);
    }
    if !rest.is_empty() {
        blob.extend(piece(0, rest));
    }
    if let Some((place, bit)) = flip {
        let place = place % blob.len().max(1);
        if let Some(byte) = blob.get_mut(place) {
            *byte ^= 1 << bit;
        }
    }
    blob
}

/// One entry of every kind that both policies let in.
fn archive() -> Vec<u8> {
    let mut archive = Vec::new();
    push_with_pax(&mut archive, Header::of(b'0', b"d/file"), &[(b"user.x", b"value")], b"content, content, content");
    push(&mut archive, Header { link: b"file", ..Header::of(b'2', b"d/symlink") }, b"");
    push(&mut archive, Header { link: b"d/file", ..Header::of(b'1', b"hardlink") }, b"");
    push(&mut archive, Header::of(b'0', b".wh.gone"), b"");
    end(&mut archive);
    archive
}

/// 0 deflated · 1 stored · 2 with every optional part of the header · 3 with the parts that the upper bits name · 4 with a wrong header
/// checksum · 5 zeros · 6 junk · 7 a zstd frame
fn gzip_piece(kind: u8, plain: &[u8]) -> Vec<u8> {
    match kind & 7 {
        0 => member(plain, 6, 0),
        1 => member(plain, 0, 0),
        2 => member(plain, 9, 0b1_1111),
        3 => member(plain, 6, kind >> 3),
        4 => {
            let mut member = member(plain, 6, 0b10);
            member[10] ^= 1;
            member
        }
        5 => vec![0; usize::from(kind >> 3)],
        6 => vec![kind; 3],
        _ => zstd_piece(0, b"frame"),
    }
}

/// One member (RFC 1952, 2.3); `flags` are those of its header.
fn member(plain: &[u8], level: u32, flags: u8) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 0xff];
    let parts: [(u8, &[u8]); 3] = [(4, b"\x03\0abc"), (8, b"name\0"), (16, b"comment\0")];
    for (_, part) in parts.iter().filter(|(flag, _)| flags & flag != 0) {
        out.extend(*part);
    }
    if flags & 2 != 0 {
        let mut crc = Crc::new();
        crc.update(&out);
        out.extend(&crc.sum().to_le_bytes()[..2]);
    }
    let mut deflated = Vec::with_capacity(plain.len() + 1024);
    Compress::new(Compression::new(level), false).compress_vec(plain, &mut deflated, FlushCompress::Finish).unwrap();
    out.extend(deflated);
    let mut crc = Crc::new();
    crc.update(plain);
    out.extend([crc.sum().to_le_bytes(), (plain.len() as u32).to_le_bytes()].concat());
    out
}

/// 0 compressed · 1 with a checksum · 2 with its size · 3 with a window by the upper bits · 4 raw blocks · 5 a skippable frame · 6 junk
/// 7 a gzip member
fn zstd_piece(kind: u8, plain: &[u8]) -> Vec<u8> {
    let frame = |checksum: bool, size: bool, window: u32| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        if size {
            encoder.set_pledged_src_size(Some(plain.len() as u64)).unwrap();
        }
        if window > 0 {
            encoder.window_log(window).unwrap();
        }
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    match kind & 7 {
        0 => frame(false, false, 0),
        1 => frame(true, false, 0),
        2 => frame(true, true, 0),
        3 => frame(false, false, 10 + u32::from(kind >> 3) % 18),
        4 => {
            let block = [&((plain.len() as u32) << 3).to_le_bytes()[..3], plain].concat();
            [&[0x28, 0xb5, 0x2f, 0xfd, 0, kind & 0xf8], &block[..], &[1, 0, 0]].concat()
        }
        5 => [&[0x50 | kind >> 4, 0x2a, 0x4d, 0x18], &u32::from(kind >> 3).to_le_bytes()[..], &vec![kind; usize::from(kind >> 3)]].concat(),
        6 => vec![kind; 3],
        _ => member(b"member", 6, 0),
    }
}
