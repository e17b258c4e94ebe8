//! The peers that decode with flate2's default, miniz_oxide, one run each: `peers-miniz tar BLOB DEST`,
//! `peers-miniz oci-unpack REFERENCE DEST`.

#[path = "../../zlib-rs/src/tar_crate.rs"]
mod tar_crate;

use std::error::Error;
use std::path::Path;

use oci_unpack::{Reference, Unpacker};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [program, source, dest] = words.as_slice() else { return Err("PROGRAM SOURCE DEST".into()) };
    match program.as_str() {
        "tar" => tar_crate::unpack(Path::new(source), Path::new(dest)),
        "oci-unpack" => {
            // The sandbox costs a few calls once, and not every kernel has it.
            let unpacker = Unpacker::new(Reference::try_from(source.as_str())?).require_sandbox(false);
            Ok(unpacker.unpack(dest)?)
        }
        _ => Err("no such program".into()),
    }
}
