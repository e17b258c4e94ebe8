//! The tar crate as its users call it, with everything kept that it can keep: owners, modes, times and xattrs. Nothing is verified.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::path::Path;

/// As large as this crate's own pieces, so that the number of reads makes no difference.
const BUFFER: usize = 256 << 10;

pub fn unpack(blob: &Path, dest: &Path) -> Result<(), Box<dyn Error>> {
    let mut archive = tar::Archive::new(decoded(blob)?);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_preserve_mtime(true);
    archive.set_unpack_xattrs(true);
    std::fs::create_dir(dest)?;
    archive.unpack(dest)?;
    Ok(())
}

fn decoded(blob: &Path) -> Result<Box<dyn Read>, Box<dyn Error>> {
    let mut file = File::open(blob)?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    file.rewind()?;
    let file = BufReader::with_capacity(BUFFER, file);
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}
