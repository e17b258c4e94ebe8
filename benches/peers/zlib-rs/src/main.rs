//! The peers that decode with zlib-rs, one run each: `peers-zlib-rs PROGRAM BLOB DEST BLOB_DIGEST DIFF_ID`.

mod tar_crate;

use std::error::Error;
use std::path::Path;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use oci_image::{ImageLayer, LayerStore, UnpackOptions};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, BufReader};

/// As large as this crate's own pieces, so that the number of reads makes no difference.
const BUFFER: usize = 256 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [program, blob, dest, digest, diff_id] = words.as_slice() else { return Err("PROGRAM BLOB DEST BLOB_DIGEST DIFF_ID".into()) };
    let (blob, dest) = (Path::new(blob), Path::new(dest));
    match program.as_str() {
        "tar" => tar_crate::unpack(blob, dest),
        "oci-image" => {
            std::fs::create_dir(dest)?;
            oci_image::apply_layer_file(blob, dest, &UnpackOptions::default())?;
            Ok(())
        }
        "oci-image-store" => store(blob, dest, &ImageLayer { blob: digest.parse()?, diff_id: diff_id.parse()? }),
        "astral-tokio-tar" => tokio::runtime::Runtime::new()?.block_on(astral(blob, dest)),
        _ => Err("no such program".into()),
    }
}

/// The store of oci-image, which verifies both digests: the blob on its way in, the layer when it is unpacked.
fn store(blob: &Path, dest: &Path, layer: &ImageLayer) -> Result<(), Box<dyn Error>> {
    let store = LayerStore::open(dest)?;
    store.put_blob(&layer.blob, std::fs::File::open(blob)?)?;
    store.add_image(&layer.blob, std::slice::from_ref(layer), &UnpackOptions::default())?;
    Ok(())
}

async fn astral(blob: &Path, dest: &Path) -> Result<(), Box<dyn Error>> {
    let mut file = tokio::fs::File::open(blob).await?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic).await?;
    file.rewind().await?;
    file.set_max_buf_size(BUFFER);
    let file = BufReader::with_capacity(BUFFER, file);
    let reader: Box<dyn AsyncRead + Send + Unpin> = match magic {
        [0x1f, 0x8b, ..] => {
            let mut decoder = GzipDecoder::new(file);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(ZstdDecoder::new(file)),
        _ => Box::new(file),
    };
    tokio::fs::create_dir(dest).await?;
    let builder = tokio_tar::ArchiveBuilder::new(reader).set_preserve_permissions(true).set_preserve_mtime(true).set_unpack_xattrs(true);
    builder.build().unpack(dest).await?;
    Ok(())
}
