//! Every number of an archive: octal and base-256 fields, PAX integers and PAX times, each by its exact grammar.

use crate::error::{Error, ErrorKind};
use crate::observe::{Notes, Reason};

/// A time since 1970 whose nanoseconds are always below a second: the kernel gives larger values another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

impl Timestamp {
    /// Makes a time of seconds, counted down before 1970, and the nanoseconds after them; `None` if those make a second or more.
    #[must_use]
    pub fn new(secs: i64, nanos: u32) -> Option<Self> {
        (nanos < NANOS_PER_SEC).then_some(Self { secs, nanos })
    }

    pub(super) fn from_secs(secs: i64) -> Self {
        Self { secs, nanos: 0 }
    }

    /// Seconds since 1970, rounded down.
    #[must_use]
    pub fn secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds after [`secs`](Self::secs), below 1,000,000,000.
    #[must_use]
    pub fn nanos(self) -> u32 {
        self.nanos
    }
}

const NANOS_PER_SEC: u32 = 1_000_000_000;

/// Reads the number fields of one header; knows where it stands and what becomes of a blank field.
pub(super) struct Fields<'n> {
    pub(super) notes: &'n mut Notes,
    pub(super) at: u64,
}

impl Fields<'_> {
    /// # Errors
    /// `BadNumber`, also for a blank field where oddities are refused, and `NumberOutOfRange` for a negative number or one over 64 bits.
    pub(super) fn unsigned(&mut self, name: &'static str, field: &[u8]) -> Result<u64, Error> {
        u64::try_from(self.number(name, field)?).map_err(|_| out_of_range(name))
    }

    /// # Errors
    /// `BadNumber`, also for a blank field where oddities are refused, and `NumberOutOfRange` for a number over 64 bits.
    pub(super) fn signed(&mut self, name: &'static str, field: &[u8]) -> Result<i64, Error> {
        i64::try_from(self.number(name, field)?).map_err(|_| out_of_range(name))
    }

    fn number(&mut self, name: &'static str, field: &[u8]) -> Result<i128, Error> {
        match parse(field) {
            Ok(Some(number)) => Ok(number),
            Ok(None) => {
                self.notes.odd(Reason::BlankNumber, ErrorKind::BadNumber, self.at, format!("{name} is blank"))?;
                Ok(0)
            }
            Err(NotANumber) => Err(Error::new(ErrorKind::BadNumber, format!("{name} is neither octal nor base-256"))),
        }
    }
}

/// Says that a number is too large, or negative where it must not be.
pub(super) fn out_of_range(name: &str) -> Error {
    Error::new(ErrorKind::NumberOutOfRange, format!("{name} is out of range"))
}

/// The bytes of a field are no number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotANumber;

/// Reads a field of at most 12 bytes: base-256 if its first bit is set, else octal. `None` if it is blank.
pub(super) fn parse(field: &[u8]) -> Result<Option<i128>, NotANumber> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => Ok(Some(base256(*first, rest))),
        _ => Ok(octal(field)?.map(i128::from)),
    }
}

/// Two's complement, big end first; the top bit of `first` is the mark of base-256 and the next one the sign.
fn base256(first: u8, rest: &[u8]) -> i128 {
    let top = if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first).wrapping_sub(0x100) };
    // Cannot lose bits: 12 bytes are 96 bits.
    rest.iter().fold(top, |number, byte| (number << 8) | i128::from(*byte))
}

/// Leading spaces, digits, then nothing but NULs and spaces. `None` if there are no digits.
pub(super) fn octal(field: &[u8]) -> Result<Option<u64>, NotANumber> {
    let mut rest = field;
    while let [b' ', tail @ ..] = rest {
        rest = tail;
    }
    let mut number = None;
    while let [digit @ b'0'..=b'7', tail @ ..] = rest {
        // Cannot lose bits: 12 digits are 36 bits.
        number = Some((number.unwrap_or(0) << 3) | u64::from(digit & 7));
        rest = tail;
    }
    if rest.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(number) } else { Err(NotANumber) }
}

/// Reads a PAX integer, `[0-9]+`.
///
/// # Errors
/// `PaxMalformed` where it is none, `NumberOutOfRange` over 64 bits.
pub(super) fn pax_integer(name: &str, text: &[u8]) -> Result<u64, Error> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Error::new(ErrorKind::PaxMalformed, format!("{name} is not a whole number")));
    }
    text.iter().try_fold(0, |number, digit| push_digit(number, *digit)).ok_or_else(|| out_of_range(name))
}

/// Appends a decimal digit to `number`; `None` over 64 bits.
pub(super) fn push_digit(number: u64, digit: u8) -> Option<u64> {
    number.checked_mul(10)?.checked_add(u64::from(digit & 0xf))
}

/// Reads a PAX time, `-?[0-9]+(\.[0-9]*)?`, rounded down to a nanosecond.
///
/// # Errors
/// `PaxMalformed` where it is none, `NumberOutOfRange` where the seconds have over 64 bits.
pub(super) fn pax_time(name: &str, text: &[u8]) -> Result<Timestamp, Error> {
    let (sign, text) = match text {
        [b'-', rest @ ..] => (Sign::Minus, rest),
        _ => (Sign::Plus, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = pax_integer(name, parts.next().unwrap_or_default())?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(Error::new(ErrorKind::PaxMalformed, format!("{name} is not a time")));
    }
    floor(sign, whole, fraction).ok_or_else(|| out_of_range(name))
}

enum Sign {
    Plus,
    Minus,
}

fn floor(sign: Sign, whole: u64, fraction: &[u8]) -> Option<Timestamp> {
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0_u32, |nanos, digit| nanos.wrapping_mul(10).wrapping_add(u32::from(digit & 0xf)));
    let whole = i128::from(whole);
    match sign {
        Sign::Plus => Timestamp::new(i64::try_from(whole).ok()?, nanos),
        Sign::Minus => {
            let beyond = fraction.iter().skip(9).any(|digit| *digit != b'0');
            let below = nanos.wrapping_add(u32::from(beyond));
            let secs = whole.wrapping_neg();
            if below == 0 {
                return Timestamp::new(i64::try_from(secs).ok()?, 0);
            }
            Timestamp::new(i64::try_from(secs.wrapping_sub(1)).ok()?, NANOS_PER_SEC.wrapping_sub(below))
        }
    }
}
