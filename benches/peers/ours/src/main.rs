//! This crate, and the floors under it: what its decoder, its hash and the system calls take alone.
//!
//! ```text
//! peers-ours unpack apply|apply_file THREADS BLOB BLOB_DIGEST DIFF_ID PARENT NAME    THREADS 0: the default
//! peers-ours decode BLOB                the decoder alone, to nothing
//! peers-ours hash FILE                  sha256 alone
//! peers-ours calls THREADS TAR DEST     the needed system calls alone
//! ```

mod calls;

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::num::NonZeroUsize;
use std::path::Path;

use safe_layers::{Digest, Expect, Policy, Root, Unpacker, ambient_authority};
use sha2::{Digest as _, Sha256};

/// Bytes read or decoded at once: those of the crate's own pieces.
const PIECE: usize = 256 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["unpack", how, threads, blob, digest, diff_id, parent, name] => {
            let expect = Expect::blob(Digest::parse(digest)?).and_diff_id(Digest::parse(diff_id)?);
            unpack(how, threads.parse()?, &File::open(blob)?, &expect, (Path::new(parent), name))
        }
        ["decode", blob] => decode(File::open(blob)?),
        ["hash", file] => hash(File::open(file)?),
        ["calls", threads, tar, dest] => calls::make(threads.parse()?, Path::new(tar), Path::new(dest)),
        _ => Err("unpack, decode, hash or calls".into()),
    }
}

/// Staged, both digests verified, committed: what the README shows.
fn unpack(how: &str, threads: usize, blob: &File, expect: &Expect, (parent, name): (&Path, &str)) -> Result<(), Box<dyn Error>> {
    let parent = Root::open_ambient(parent, ambient_authority())?;
    let mut unpacker = Unpacker::rootfs(parent, name, Policy::container())?;
    if let Some(threads) = NonZeroUsize::new(threads) {
        unpacker = unpacker.threads(threads);
    }
    let report = match how {
        "apply" => unpacker.apply(expect, blob)?,
        "apply_file" => unpacker.apply_file(expect, blob)?,
        _ => return Err("apply or apply_file".into()),
    };
    if report.verified.blob_digest.is_none() || report.verified.diff_id.is_none() {
        return Err("not both digests were verified".into());
    }
    unpacker.commit()?;
    Ok(())
}

fn decode(mut blob: File) -> Result<(), Box<dyn Error>> {
    let mut magic = [0; 4];
    blob.read_exact(&mut magic)?;
    blob.rewind()?;
    match magic {
        [0x1f, 0x8b, ..] => to_nothing(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(PIECE, blob))),
        [0x28, 0xb5, 0x2f, 0xfd] => to_nothing(zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(PIECE, blob))?),
        _ => to_nothing(blob),
    }
}

fn to_nothing(mut reader: impl Read) -> Result<(), Box<dyn Error>> {
    let mut piece = vec![0; PIECE];
    while reader.read(&mut piece)? != 0 {}
    Ok(())
}

fn hash(mut file: File) -> Result<(), Box<dyn Error>> {
    let (mut piece, mut hash) = (vec![0; PIECE], Sha256::new());
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    // Used, so that it is not optimised away.
    std::hint::black_box(hash.finalize());
    Ok(())
}
