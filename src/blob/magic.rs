//! Tells gzip, zstd and plain bytes apart by their first bytes: [`look`]. Pure.

use crate::observe::Compression;

/// What the first bytes of a blob or of a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// More bytes are needed.
    Undecided,
    /// This; [`Compression::None`] where no magic fits.
    Is(Compression),
}

/// Looks at the first bytes, of which there may be too few (RFC 1952 2.3.1; RFC 8878 3.1.1 and 3.1.2).
///
/// Decides as soon as it can: four bytes always do.
pub(super) fn look(start: &[u8]) -> Look {
    match start {
        [0x1f, 0x8b, ..] => Look::Is(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Look::Is(Compression::Zstd),
        [] | [0x1f | 0x28 | 0x50..=0x5f] => Look::Undecided,
        [0x28, 0xb5] | [0x28, 0xb5, 0x2f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] => Look::Undecided,
        _ => Look::Is(Compression::None),
    }
}

/// Whether bytes start as a gzip or zstd stream does.
pub(crate) fn is_compressed(start: &[u8]) -> bool {
    matches!(look(start), Look::Is(Compression::Gzip | Compression::Zstd))
}

/// Whether `start`, which is too short to decide, may be the start of `compression`'s magic.
pub(super) fn may_become(start: &[u8], compression: Compression) -> bool {
    match compression {
        Compression::None => true,
        Compression::Gzip => start == [0x1f],
        Compression::Zstd => start != [0x1f],
    }
}

/// The first bytes of something, `N` at most: kept until there are enough to judge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Held<N> {
    pub(super) const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// Adds a byte, unless all places are taken.
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The bytes once all places are taken.
    pub(super) fn whole(&self) -> Option<[u8; N]> {
        (self.len == N).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_magic_is_known_at_its_last_byte_and_undecided_before() {
        for magic in [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd], &[0x50, 0x2a, 0x4d, 0x18], &[0x5f, 0x2a, 0x4d, 0x18]] {
            let compression = if magic.len() == 2 { Compression::Gzip } else { Compression::Zstd };
            for cut in 0..magic.len() {
                assert_eq!(look(&magic[..cut]), Look::Undecided);
                let mut other = magic.to_vec();
                other[cut] ^= 0x80;
                assert_eq!(look(&other[..=cut]), Look::Is(Compression::None), "{other:?}");
            }
            assert_eq!(look(magic), Look::Is(compression));
            assert_eq!(look(&[magic, b"more"].concat()), Look::Is(compression));
        }
    }

    #[test]
    fn four_bytes_always_decide() {
        for first in 0..=u8::MAX {
            for rest in [[0x8b, 0, 0], [0xb5, 0x2f, 0], [0x2a, 0x4d, 0], [0x2a, 0x4d, 0x18], [0xb5, 0x2f, 0xfd]] {
                assert_ne!(look(&[first, rest[0], rest[1], rest[2]]), Look::Undecided);
            }
        }
    }
}
