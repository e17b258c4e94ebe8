//! What can happen, in one table, and who is at fault: [`ErrorKind`], [`Class`].

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Class {
    /// The layer asks for what it must not have under this policy.
    Hostile,
    /// The layer is not well formed.
    Corrupt,
    /// The bytes are not the ones that were claimed.
    Mismatch,
    /// A limit was reached.
    Limit,
    /// The layer needs what this crate, the filesystem or the caller's privilege does not offer.
    Unsupported,
    /// The operating system or the caller's reader failed.
    Io,
    /// The caller cancelled.
    Cancelled,
}

impl Class {
    /// The name, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hostile => "Hostile",
            Self::Corrupt => "Corrupt",
            Self::Mismatch => "Mismatch",
            Self::Limit => "Limit",
            Self::Unsupported => "Unsupported",
            Self::Io => "Io",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Declares [`ErrorKind`] with the class and the meaning of each kind in one table.
macro_rules! error_kinds {
    ($($kind:ident $class:ident $doc:literal,)*) => {
        /// What happened. The name is the `kind` of the JSON form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub enum ErrorKind { $(#[doc = $doc] $kind,)* }

        impl ErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Who is at fault.
            #[must_use]
            pub fn class(self) -> Class {
                match self { $(Self::$kind => Class::$class,)* }
            }

            /// The name, as in JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }
        }
    };
}

error_kinds! {
    PathTraversal Hostile "A name holds a `..` component.",
    AbsolutePath Hostile "A name starts with `/` and the policy wants relative ones.",
    InvalidName Hostile "A name is empty, or holds a NUL.",
    NameTooLong Limit "A component is over 255 bytes, or a path over `path_bytes`.",
    RootReplaced Hostile "The root entry is not a directory.",
    SymlinkEscape Hostile "A symlink's target is absolute or climbs above the root, and the policy wants neither.",
    SymlinkInPath Hostile "A parent of the entry is a symlink and the policy wants none.",
    SymlinkLoop Hostile "More than 40 symlinks on the way to a parent.",
    InvalidLinkTarget Hostile "A link's target is empty, holds a NUL, or is too long.",
    HardlinkEscape Hostile "A hardlink's target is not a name below the root.",
    HardlinkTargetMissing Corrupt "A hardlink's target is neither in the tree nor later in the layer.",
    HardlinkToSymlink Hostile "A hardlink's target is a symlink and the policy wants a regular file.",
    HardlinkToSpecial Hostile "A hardlink's target is a directory, or another kind that the policy does not link.",
    NotADirectory Hostile "A parent of the entry is there and is no directory.",
    DeviceNode Hostile "A device, and the policy wants none.",
    SpecialFile Hostile "A FIFO, and the policy wants none.",
    InvalidWhiteout Hostile "A `.wh.` name that hides nothing sensible, or stands where no marker may.",
    OverlaySmuggling Hostile "A ready-made overlayfs whiteout: a character device 0:0.",
    ForbiddenXattr Hostile "An extended attribute outside the allow-list, and the policy wants none.",
    ForbiddenMode Hostile "Mode bits that the policy does not allow.",
    BadMode Corrupt "A mode field holds more than permission bits.",
    NumberOutOfRange Corrupt "A number is negative or too large for its field's meaning.",
    BadNumber Corrupt "A number field is not a number.",
    BadHeader Corrupt "A block is not a tar header.",
    BadChecksum Corrupt "A header's checksum is wrong.",
    TypeConflict Hostile "The name and the type of an entry contradict each other.",
    SizeOnNonRegular Hostile "A type that has no body declares one.",
    SizeConflict Hostile "Two sizes for one entry differ.",
    PaxMalformed Corrupt "A PAX record breaks the grammar.",
    PaxConflict Hostile "Two extension records for one entry contradict each other.",
    PaxGlobal Hostile "A global PAX header sets what only an entry may set.",
    DanglingExtension Corrupt "An extension header has no entry after it.",
    UnsupportedType Unsupported "An unknown or unsupported typeflag.",
    SparseMalformed Corrupt "A sparse map is incomplete, or not ascending, or does not fit its sizes.",
    Truncated Corrupt "The archive ends too early.",
    TrailingData Corrupt "Bytes after the end.",
    BadCompression Corrupt "The compressed stream is not well formed, or ends too early.",
    WindowTooLarge Limit "A zstd frame wants a larger window than `zstd_window`.",
    MediaTypeMismatch Mismatch "The blob is not of the declared media type.",
    UnsupportedMediaType Unsupported "A media type that is not one of a layer, or an encrypted one.",
    LimitExceeded Limit "A limit was reached; `Error::limit` names it.",
    DuplicateEntry Hostile "A second entry of the same name, and the policy wants none.",
    DigestMismatch Mismatch "The blob's digest is not the claimed one.",
    DiffIdMismatch Mismatch "The digest of the uncompressed layer is not the claimed one.",
    LayerCountMismatch Mismatch "The number of layers is not the number that was claimed.",
    SizeMismatch Mismatch "The blob's size is not the claimed one.",
    BadDigest Corrupt "A digest is not `sha256:` or `sha512:` with lower-case hex of the right length.",
    AmbiguousManifest Hostile "A document can be read in two ways.",
    ManifestMalformed Corrupt "A document is not what its media type says.",
    SignatureInvalid Mismatch "No signature that the caller trusts is over the image, or his verifier refused it.",
    ImageMissing Unsupported "No manifest of an index has the wanted name and platform.",
    BlobMissing Unsupported "A blob or a file that an image needs is not in it.",
    LayoutSymlink Hostile "A blob of an image layout is not a regular file.",
    MountCrossing Hostile "The way to a parent leads into another mount.",
    ParentMissing Corrupt "A parent is missing and the policy makes none.",
    UnmappedId Unsupported "An owner outside the mapped ranges.",
    XattrUnsupported Unsupported "An extended attribute that the filesystem or the caller's privilege refuses.",
    LowerRequired Unsupported "The entry needs the lower layers, which were not given.",
    Cancelled Cancelled "The caller cancelled.",
    DeadlineExceeded Limit "The deadline passed.",
    Io Io "The operating system or the caller's reader failed.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_the_name_that_it_has_in_code() {
        let classes = [Class::Hostile, Class::Corrupt, Class::Mismatch, Class::Limit, Class::Unsupported, Class::Io, Class::Cancelled];
        for class in classes {
            assert_eq!(class.as_str(), format!("{class:?}"));
        }
    }
}
