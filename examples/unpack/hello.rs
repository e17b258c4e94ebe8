//! The layer that ships with the program, and what is claimed of it. `tests/hello_layer.rs` builds it and holds these to it.

/// The blob: a gzip-compressed layer.
pub(crate) const LAYER: &[u8] = include_bytes!("../data/hello-layer.tar.gz");
/// Its size, in bytes.
pub(crate) const BLOB_SIZE: u64 = 364;
/// The digest of the blob.
pub(crate) const BLOB_DIGEST: &str = "sha256:74af2b6a96b2d78c9caa75f41d0ab1aa64a85c0dd01e31d479fff5f8d5f2c537";
/// The digest of its uncompressed bytes.
pub(crate) const DIFF_ID: &str = "sha256:4b6e83d26989c256ec5fcdecd88927f37fb099961198c43a37de414c3c261fd9";
