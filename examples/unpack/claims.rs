//! What is claimed of each LAYER.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use safe_layers::{Compression, Digest, Error, Expect};

use super::args::{Preset, usage};
use super::failure::Failure;

/// One LAYER and what is claimed of it.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) file: OsString,
    pub(crate) blob: Option<BlobClaim>,
    pub(crate) diff_id: Option<Digest>,
    pub(crate) media_type: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BlobClaim {
    pub(crate) digest: Digest,
    pub(crate) size: Option<u64>,
}

impl Layer {
    /// Makes the claim of this layer.
    ///
    /// Without a media type, strict takes the file's extension for a claim; the other presets let the bytes decide.
    pub(crate) fn expect(&self, preset: Preset) -> Result<Expect, Error> {
        let expect = match (self.blob, self.diff_id) {
            (Some(blob), diff_id) => blob_expect(blob, diff_id),
            (None, Some(diff_id)) => Expect::diff_id(diff_id),
            (None, None) => Expect::dangerous_unverified(),
        };
        match (&self.media_type, preset, extension(&self.file)) {
            (Some(media_type), ..) => expect.media_type(media_type),
            (None, Preset::Strict, Some(compression)) => Ok(expect.compression(compression)),
            _ => Ok(expect),
        }
    }
}

fn blob_expect(blob: BlobClaim, diff_id: Option<Digest>) -> Expect {
    let mut expect = Expect::blob(blob.digest);
    if let Some(size) = blob.size {
        expect = expect.size(size);
    }
    match diff_id {
        Some(diff_id) => expect.and_diff_id(diff_id),
        None => expect,
    }
}

fn extension(file: &OsStr) -> Option<Compression> {
    let extensions =
        [(".tar", Compression::None), (".tar.gz", Compression::Gzip), (".tgz", Compression::Gzip), (".tar.zst", Compression::Zstd)];
    extensions.into_iter().find(|(end, _)| file.as_bytes().ends_with(end.as_bytes())).map(|(_, compression)| compression)
}

pub(crate) fn blob_claim(text: &str) -> Result<BlobClaim, Failure> {
    let Some((text, size)) = text.split_once('@') else { return Ok(BlobClaim { digest: digest(text)?, size: None }) };
    match size.parse() {
        Ok(size) => Ok(BlobClaim { digest: digest(text)?, size: Some(size) }),
        Err(_) => usage("--blob: the size after `@` is not a whole number of bytes"),
    }
}

pub(crate) fn digest(text: &str) -> Result<Digest, Failure> {
    Digest::parse(text).or_else(|error| usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_a_claim_in_strict_alone() {
        for (file, compression) in [
            ("a.tar", Some(Compression::None)),
            ("a.tar.gz", Some(Compression::Gzip)),
            ("a.tgz", Some(Compression::Gzip)),
            ("a.tar.zst", Some(Compression::Zstd)),
            ("a.zip", None),
        ] {
            assert_eq!(extension(OsStr::new(file)), compression, "{file}");
        }
    }
}
