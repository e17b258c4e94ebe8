//! The only file that calls the caller's reader: [`Filler`].

use std::io::{self, Read};

use crate::error::Error;

/// The caller's reader, read in whole buffers.
///
/// A decoder loses what it made in the very call that finds a fault: it must be fed the same however the reads are cut.
#[derive(Debug)]
pub(crate) struct Filler<R> {
    reader: R,
    next: Next,
}

/// What the reader's next call is for.
#[derive(Debug)]
enum Next {
    /// More bytes.
    Read,
    /// Nothing: it failed so after it had given bytes that were handed on first.
    Fail(Error),
    /// Nothing: it said that it is at its end. Whatever it would say later belongs to no blob that was judged.
    End,
}

impl<R: Read> Filler<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, next: Next::Read }
    }

    /// Fills `buffer`, but at the reader's end; 0 is its end. `check` is asked before each read.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], check: &dyn Fn() -> Result<(), Error>) -> Result<usize, Error> {
        let mut filled = 0_usize;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match std::mem::replace(&mut self.next, Next::Read) {
                Next::Read => {}
                Next::Fail(error) => return Err(error),
                Next::End => {
                    self.next = Next::End;
                    break;
                }
            }
            match check().and_then(|()| read_once(&mut self.reader, room)) {
                Ok(0) => self.next = Next::End,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if filled == 0 => return Err(error),
                Err(error) => {
                    self.next = Next::Fail(error);
                    break;
                }
            }
        }
        Ok(filled)
    }
}

/// Reads once; an interrupted read is retried.
fn read_once(reader: &mut impl Read, room: &mut [u8]) -> Result<usize, Error> {
    const READING: &str = "reading the blob";
    loop {
        match reader.read(room) {
            // A `Read` that lies must not make bytes of an earlier piece count again.
            Ok(count) if count > room.len() => {
                return Err(Error::io(READING, &io::Error::other("the reader gave more bytes than it was asked for")));
            }
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(READING, &error)),
        }
    }
}
