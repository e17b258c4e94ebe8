//! Digests of bytes, as the OCI image specification writes them. No files, no claims.

use std::fmt;

use sha2::Digest as _;

use crate::error::{Error, ErrorKind};

/// A digest: `sha256:` or `sha512:` and the hash.
///
/// Once you hold one it is well formed: a known algorithm, the exact length, and safe as part of a file name.
///
/// ```
/// use safe_layers::Digest;
/// let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// assert_eq!(Digest::parse(text)?.to_string(), text);
/// assert!(Digest::parse("sha256:../../etc/passwd").is_err());
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Value);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Value {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// A hash algorithm that the OCI image specification registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, the one in use.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// Parses `sha256:` with 64 or `sha512:` with 128 lower-case hex digits (OCI image-spec `descriptor.md`, *Digests*).
    ///
    /// # Errors
    /// [`ErrorKind::BadDigest`] on anything else.
    pub fn parse(text: impl AsRef<str>) -> Result<Self, Error> {
        let text = text.as_ref();
        let value = match text.split_once(':') {
            Some(("sha256", hex)) => parse_hex(hex).map(Value::Sha256),
            Some(("sha512", hex)) => parse_hex(hex).map(Value::Sha512),
            _ => None,
        };
        value.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(160).flat_map(char::escape_default).collect();
            Error::new(ErrorKind::BadDigest, format!("\"{shown}\" is not sha256: or sha512: with lower-case hex of the exact length"))
        })
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Value::Sha256(_) => Algorithm::Sha256,
            Value::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The hash itself: 32 or 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Value::Sha256(bytes) => bytes,
            Value::Sha512(bytes) => bytes,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Value::Sha256(_) => "sha256:",
            Value::Sha512(_) => "sha512:",
        })?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn parse_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)?.checked_shl(4)? | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}

/// Hashes bytes as they pass.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Starts a hash.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Hashes `bytes` after those before.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// Gives the digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(match self.0 {
            State::Sha256(hash) => Value::Sha256(hash.finalize().into()),
            State::Sha512(hash) => Value::Sha512(hash.finalize().into()),
        })
    }
}

/// Gives the chain id of a stack of layers, bottom first (OCI image-spec `config.md`, *Layer ChainID*), or none for no layer.
///
/// `C0 = D0; Cn = sha256(Cn-1 + " " + Dn)`, over the text of the digests.
#[must_use]
pub fn chain_id(diff_ids: &[Digest]) -> Option<Digest> {
    let mut digests = diff_ids.iter().copied();
    let first = digests.next()?;
    Some(digests.fold(first, |chain, diff_id| {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(format!("{chain} {diff_id}").as_bytes());
        hasher.finish()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn a_digest_round_trips_in_both_algorithms() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = of(algorithm, b"abc");
            assert_eq!(Digest::parse(digest.to_string()), Ok(digest));
            assert_eq!(digest.to_string().parse(), Ok(digest));
            assert_eq!(digest.algorithm(), algorithm);
        }
        assert_eq!(of(Algorithm::Sha256, b"").to_string(), EMPTY);
    }

    #[test]
    fn only_the_exact_form_is_a_digest() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        let long = format!("{EMPTY}0");
        let sha512_short = EMPTY.replace("sha256", "sha512");
        let short = EMPTY.trim_end_matches("855");
        for bad in [
            "",
            "sha256:",
            "sha256",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:../../x",
            " sha256:",
            &upper,
            &long,
            short,
            &sha512_short,
        ] {
            assert_eq!(Digest::parse(bad).map_err(|e| e.kind()), Err(ErrorKind::BadDigest), "{bad}");
        }
    }

    #[test]
    fn a_chain_id_hashes_the_text_of_the_chain_and_the_next_diff_id() {
        let (a, b) = (of(Algorithm::Sha256, b"a"), of(Algorithm::Sha256, b"b"));
        assert_eq!(chain_id(&[]), None);
        assert_eq!(chain_id(&[a]), Some(a));
        assert_eq!(chain_id(&[a, b]), Some(of(Algorithm::Sha256, format!("{a} {b}").as_bytes())));
    }
}
