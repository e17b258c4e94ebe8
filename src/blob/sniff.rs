//! Finds out from a blob's first bytes what it is, holds that against the claim, and decodes accordingly: [`Decoder`].

use super::decode::{Codec, cut_short, empty_blob};
use super::expect::MediaClaim;
use super::magic::{Held, Look, look, may_become};
use super::output::Output;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::observe::{Compression, Notes, Oddities};

/// Decodes one blob.
#[derive(Debug)]
pub(super) struct Decoder {
    stage: Stage,
    claim: MediaClaim,
    limits: Limits,
    oddities: Oddities,
}

#[derive(Debug)]
enum Stage {
    /// The first bytes do not say yet what the blob is.
    Looking(Held<4>),
    /// They do: `held` are those of them that are not decoded yet, from `from` on.
    Decoding { codec: Codec, held: Held<4>, from: usize },
    /// The blob ended before it said so, and is not plain.
    TooShort(Held<4>),
}

impl Decoder {
    pub(super) fn new(claim: MediaClaim, limits: &Limits, oddities: Oddities) -> Self {
        Self { stage: Stage::Looking(Held::EMPTY), claim, limits: limits.clone(), oddities }
    }

    /// As [`Codec::decode`]; bytes that are too few to know the form are kept.
    pub(super) fn decode(&mut self, input: &mut &[u8], output: &mut Output<'_>) -> Result<(), Error> {
        if let Stage::Looking(held) = &mut self.stage {
            let mut held = *held;
            let compression = loop {
                if let Look::Is(compression) = look(held.as_slice()) {
                    break compression;
                }
                let Some(byte) = input.split_off_first() else {
                    self.stage = Stage::Looking(held);
                    return Ok(());
                };
                held.push(*byte);
            };
            self.settle(compression, held)?;
        }
        let Stage::Decoding { codec, held, from } = &mut self.stage else { return Ok(()) };
        let mut first = held.as_slice().get(*from..).unwrap_or_default();
        if !first.is_empty() {
            let result = codec.decode(&mut first, output);
            *from = held.as_slice().len().saturating_sub(first.len());
            result?;
        }
        if first.is_empty() { codec.decode(input, output) } else { Ok(()) }
    }

    /// Says that no input comes any more. What is still inside is drained by [`decode`](Self::decode) with empty input.
    pub(super) fn end_of_input(&mut self) {
        let Stage::Looking(held) = self.stage else { return };
        let is_compressed = matches!(self.claim, MediaClaim::Exactly(Compression::Gzip | Compression::Zstd));
        self.stage = if held.as_slice().is_empty() || is_compressed {
            Stage::TooShort(held)
        } else {
            // No whole magic: plain bytes.
            Stage::Decoding { codec: Codec::Plain, held, from: 0 }
        };
    }

    /// As [`Codec::finish`].
    pub(super) fn finish(&self, notes: &mut Notes, decoded: u64) -> Result<(), Error> {
        match (&self.stage, self.claim) {
            (Stage::Decoding { codec, .. }, _) => codec.finish(notes, decoded),
            (Stage::TooShort(held), _) if held.as_slice().is_empty() => empty_blob(notes, "the blob has no bytes"),
            (Stage::TooShort(held), MediaClaim::Exactly(declared)) if !may_become(held.as_slice(), declared) => {
                Err(mismatch(declared, Compression::None))
            }
            (Stage::TooShort(_) | Stage::Looking(_), _) => Err(cut_short("its first bytes")),
        }
    }

    /// How the blob is compressed, once its first bytes or its end have said so.
    pub(super) fn compression(&self) -> Option<Compression> {
        match &self.stage {
            Stage::Looking(_) => None,
            Stage::TooShort(_) => Some(Compression::None),
            Stage::Decoding { codec, .. } => Some(codec.compression()),
        }
    }

    /// Whether what comes from now on is given as it is.
    pub(super) fn passes(&self) -> bool {
        match &self.stage {
            Stage::Decoding { codec: Codec::Plain, held, from } => *from >= held.as_slice().len(),
            Stage::Decoding { .. } | Stage::Looking(_) | Stage::TooShort(_) => false,
        }
    }

    /// Takes what the first bytes say, if the claim agrees.
    fn settle(&mut self, found: Compression, held: Held<4>) -> Result<(), Error> {
        match self.claim {
            MediaClaim::Exactly(declared) if declared != found => return Err(mismatch(declared, found)),
            MediaClaim::Exactly(_) | MediaClaim::Undeclared | MediaClaim::Sniff => {}
        }
        let codec = Codec::new(found, &self.limits, self.oddities)?;
        self.stage = Stage::Decoding { codec, held, from: 0 };
        Ok(())
    }
}

fn mismatch(declared: Compression, found: Compression) -> Error {
    Error::new(ErrorKind::MediaTypeMismatch, format!("declared as {declared:?}, but the first bytes are of {found:?}"))
}
