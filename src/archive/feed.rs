//! The only file that counts the stream's bytes: cuts slices of any length into blocks and payloads.

use super::header::BLOCK;
use crate::blob::is_compressed;
use crate::convert::{len_u64, min_usize};

/// Takes blocks and payloads from the front of the input and holds a block that came in part.
#[derive(Debug)]
pub(super) struct Feed {
    carry: [u8; BLOCK],
    carried: usize,
    position: u64,
}

/// One block and its offset in the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub(super) at: u64,
    pub(super) bytes: &'a [u8; BLOCK],
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { carry: [0; BLOCK], carried: 0, position: 0 }
    }

    /// Bytes taken from the stream so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether a block came in part.
    pub(super) fn is_inside_block(&self) -> bool {
        self.carried != 0
    }

    /// Whether the whole stream is part of one block, and a compressed one at that.
    pub(super) fn is_compressed_again(&self) -> bool {
        let start = self.carry.get(..self.carried).unwrap_or_default();
        self.position == len_u64(self.carried) && is_compressed(start)
    }

    /// Gives the next block; `None` if the input is used up before it is whole.
    pub(super) fn block<'b, 'a: 'b>(&'b mut self, input: &mut &'a [u8]) -> Option<Block<'b>> {
        if self.carried == 0
            && let Some((bytes, rest)) = input.split_first_chunk::<BLOCK>()
        {
            let at = self.position;
            *input = rest;
            self.advance(BLOCK);
            return Some(Block { at, bytes });
        }
        let room = self.carry.get_mut(self.carried..).unwrap_or_default();
        let len = room.len().min(input.len());
        let (head, rest) = input.split_at_checked(len)?;
        room.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        *input = rest;
        self.advance(len);
        self.carried = self.carried.saturating_add(len);
        if self.carried < BLOCK {
            return None;
        }
        self.carried = 0;
        Some(Block { at: self.position.saturating_sub(len_u64(BLOCK)), bytes: &self.carry })
    }

    /// Gives what the input has, at most `limit` bytes. Not for use inside a block.
    pub(super) fn take<'a>(&mut self, input: &mut &'a [u8], limit: u64) -> &'a [u8] {
        let len = min_usize(limit, input.len());
        let (head, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
        *input = rest;
        self.advance(head.len());
        head
    }

    /// Skips at most `left` bytes and takes them off it; true once none is left.
    pub(super) fn skip(&mut self, input: &mut &[u8], left: &mut u64) -> bool {
        let skipped = self.take(input, *left).len();
        *left = left.saturating_sub(len_u64(skipped));
        *left == 0
    }

    /// Counts `len` bytes that nobody feeds.
    #[cfg(feature = "image")]
    pub(super) fn pass_over(&mut self, len: u64) {
        self.position = self.position.saturating_add(len);
    }

    fn advance(&mut self, len: usize) {
        // Nobody feeds 2^64 bytes.
        self.position = self.position.saturating_add(len_u64(len));
    }
}

/// Bytes that pad `len` bytes to whole blocks.
pub(super) fn padding(len: u64) -> u64 {
    // 2^64 is a whole number of blocks, so the wrapped negative has the right remainder.
    len.wrapping_neg() & 511
}

/// Whether every byte is 0. Looks at all of them, which compiles to wide instructions.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |all, byte| all | byte) == 0
}
