//! What an unpack may cost: [`Limits`], one number for each way to make it expensive.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Declares [`Limits`] with unit, meaning, default and source of each number in one table.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident = $default:expr;)*) => {
        /// The bounds of one apply. Each has a name, a unit, a default and the source of the number; the error names limit and value.
        ///
        /// ```
        /// let mut limits = safe_layers::Limits::default();
        /// limits.total_bytes = 1 << 30;
        /// limits.set("entries", "100000")?;
        /// assert_eq!(limits.entries, 100_000);
        /// # Ok::<(), safe_layers::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: u64,)*
            /// Time for one apply, from its first byte. Checked between blocks: it cannot interrupt the caller's `Read`.
            ///
            /// Default none. Over it: [`ErrorKind::DeadlineExceeded`].
            pub deadline: Option<Duration>,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* deadline: None }
            }
        }

        impl Limits {
            /// The names that [`set`](Self::set) takes.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)* "deadline"];

            /// Sets the limit called `name`, for tools that take limits as text: a whole number in the limit's unit, for `deadline` seconds.
            ///
            /// # Errors
            /// [`ErrorKind::BadNumber`] where the name is none of [`NAMES`](Self::NAMES) or the value is not a whole number; `Ok` means that the limit is set.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
                let number = || {
                    value.parse::<u64>().map_err(|_| Error::new(ErrorKind::BadNumber, format!("limit {name}: a whole number is needed")))
                };
                match name {
                    $(stringify!($name) => self.$name = number()?,)*
                    "deadline" => self.deadline = Some(Duration::from_secs(number()?)),
                    _ => return Err(Error::new(ErrorKind::BadNumber, format!("no limit has the name {name}"))),
                }
                Ok(())
            }
        }
    };
}

limits! {
    /// Entries of one layer, and objects made for it: directories without an entry count too. Default 4 M: an order above the largest published images, which hold a few hundred thousand.
    entries = 4_000_000;
    /// Bytes decoded from one blob (skipped and trailing ones too) and, apart from that, the sum of the logical sizes of its files, in bytes.
    ///
    /// Default 64 GiB: above any published layer, below most disks.
    total_bytes = 64 * GIB;
    /// Logical size of one file, in bytes. Default: as `total_bytes`.
    file_bytes = 64 * GIB;
    /// Size of one blob as stored, in bytes. Default 64 GiB, as `total_bytes`: an uncompressed blob is as large as its layer.
    blob_bytes = 64 * GIB;
    /// Decoded bytes for each stored one, asked once [`RATIO_FLOOR`] bytes are decoded.
    ///
    /// Default 1,000: deflate ends at 1,032, real layers stay below 100.
    ratio = 1_000;
    /// Length of a path, in bytes. Default 4,096: Linux `PATH_MAX`. Over it: [`ErrorKind::NameTooLong`].
    path_bytes = 4_096;
    /// Components of a path, and levels of the directory it resolves to. Default 256: real images stay below 40.
    depth = 256;
    /// Length of a symlink's target, in bytes. Default 4,095: Linux `PATH_MAX` without the NUL.
    link_bytes = 4_095;
    /// Names of one inode. Default 65,000: ext4's `EXT4_LINK_MAX`, the lowest of the usual filesystems.
    links = 65_000;
    /// Extension headers (PAX and GNU) of one entry, in bytes; their header blocks and padding count.
    ///
    /// Default 1 MiB: what Go's `archive/tar` and libarchive allow a special file.
    header_bytes = 1 << 20;
    /// Extended attributes of one entry. Default 256: real ones have a handful.
    xattrs = 256;
    /// Extended attributes of one entry, names and values, in bytes. Default 128 KiB: Linux allows one value 64 KiB (`XATTR_SIZE_MAX`).
    xattr_bytes = 128 << 10;
    /// Segments of one sparse file. Default 65,536, which is 1 MiB in memory.
    sparse_segments = 65_536;
    /// gzip members and zstd frames of one blob. Default 4 M: eStargz and zstd:chunked have one for each file or chunk.
    members = 4_000_000;
    /// Hardlinks whose target comes later in the layer. Default 65,536.
    deferred_links = 65_536;
    /// Memory for hardlinks whose target comes later and for default ACLs, which wait for the end, in bytes. Default 16 MiB.
    deferred_bytes = 16 << 20;
    /// Memory for the merged tree of an image that is flattened, in bytes: a file costs 256 and its name, and so on, as
    /// `Image::flatten` says. Default 1 GiB: about three million files, an order above the largest published images.
    tree_bytes = GIB;
    /// Events that a report holds in full; beyond it they are counted. Default 1,000.
    events = 1_000;
    /// Window of a zstd frame, in bytes. Default 128 MiB: what `zstd -d` allows. Over it: [`ErrorKind::WindowTooLarge`].
    zstd_window = 128 << 20;
}

const GIB: u64 = 1 << 30;

/// Bytes decoded before [`Limits::ratio`] is asked: 64 MiB, so that small blobs of zeros pass.
pub const RATIO_FLOOR: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_by_its_name() {
        for name in Limits::NAMES {
            let mut limits = Limits::default();
            assert_eq!(limits.set(name, "7"), Ok(()), "{name}");
            assert_ne!(limits, Limits::default(), "{name}");
        }
    }

    #[test]
    fn an_unknown_limit_or_a_value_that_is_no_number_is_refused() {
        let mut limits = Limits::default();
        for (name, value) in [("entry", "7"), ("entries", "-1"), ("entries", "1k"), ("deadline", "")] {
            assert_eq!(limits.set(name, value).map_err(|e| e.kind()), Err(ErrorKind::BadNumber));
        }
        assert_eq!(limits, Limits::default());
    }
}
