//! The lossless conversions between sizes that the standard library leaves to the caller.

/// Gives a length in memory as the unit of archives and limits. Lossless: `usize` has at most 64 bits.
pub(crate) fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Gives the smaller of `limit` and `len`, as a length in memory.
pub(crate) fn min_usize(limit: u64, len: usize) -> usize {
    usize::try_from(limit).map_or(len, |limit| limit.min(len))
}
