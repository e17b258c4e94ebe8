//! Maps of sparse files, right and wrong ones, in all four formats against a model.
//!
//! ```text
//! input:   flags, fault, segments of three bytes: shape, gap, len
//! flags:   3 old GNU, 0.0, 0.1, 1.0 · 4 numbers in base-256 or with a zero before them · 8 an attribute · 16 to the disk too
//!          224 size of the reads
//! fault:   see [`FAULTS`]
//! segment: shape 1 the gap goes back · 2 the gap in blocks · 4 the length in blocks · 8 the gap is a power of two
//!          16 an empty slot · 32 the length is near 2^64
//! ```

use std::fs;

use safe_layers::{EntryKind, ErrorKind, Expect, Ownership, Policy};

use super::Accepted;
use super::pass::{Run, limited, whole_and_cut};
use super::tar::{BLOCK, Header, end, pad, push, record, sum};
use super::world::World;

/// What is wrong beside the segments themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    CountHigh,
    CountLow,
    ByteMoreStored,
    ByteFewerStored,
    /// The file ends a byte before its last segment does.
    CutFile,
    HugeFile,
    /// A hole at the end: no fault.
    Hole,
}

const FAULTS: [Fault; 8] = [
    Fault::None,
    Fault::CountHigh,
    Fault::CountLow,
    Fault::ByteMoreStored,
    Fault::ByteFewerStored,
    Fault::CutFile,
    Fault::HugeFile,
    Fault::Hole,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    OldGnu,
    Pairs,
    List,
    InBody,
}

/// A file as its headers tell it.
struct File {
    format: Format,
    segments: Vec<(u64, u64)>,
    count: u64,
    real_size: u64,
    data: Vec<u8>,
    odd_numbers: bool,
}

/// More data than this is not worth the time.
const MOST_DATA: u64 = 1 << 16;
/// Slots of an old GNU map in the header, and in a block that goes on with it.
const SLOTS: (usize, usize) = (4, 21);

pub fn sparse(input: &[u8]) -> Accepted {
    let [flags, fault, segments @ ..] = input else { return Accepted::default() };
    let file = File::read(*flags, FAULTS[usize::from(fault & 7)], segments);
    let archive = file.archive(flags & 8 != 0);
    let mut accepted = Accepted::default();
    for policy in [limited(Policy::strict()), limited(Policy::container())] {
        let pass = whole_and_cut(&archive, &[1 + 37 * usize::from(flags >> 5)], &Expect::dangerous_unverified(), &policy);
        let faults = file.faults(&policy);
        match &pass.end {
            Err(error) => assert!(faults.contains(&error.kind()), "{faults:?} are in it: {error}"),
            Ok(_) => {
                assert!(faults.is_empty(), "accepted in spite of {faults:?}");
                let [(entry, runs), (last, _)] = &pass.entries[..] else { panic!("{} entries", pass.entries.len()) };
                assert_eq!(entry.kind(), &EntryKind::File { len: file.real_size });
                assert_eq!((entry.path().as_bytes(), last.path().as_bytes()), (&b"d/sparse"[..], &b"last"[..]));
                assert_eq!(runs, &file.runs());
            }
        }
        accepted.add(pass.accepted());
        if flags & 16 != 0 && pass.end.is_ok() {
            file.check_on_disk(archive.clone(), policy);
        }
    }
    accepted
}

impl File {
    fn read(flags: u8, fault: Fault, bytes: &[u8]) -> Self {
        let (mut segments, mut at, mut stored) = (Vec::new(), 0_u64, 0);
        for [shape, gap, len] in bytes.as_chunks::<3>().0 {
            let has = |bit: u8| shape & bit != 0;
            let scale = |bit, value: u8| u64::from(value) * if has(bit) { BLOCK as u64 } else { 1 };
            let gap = if has(8) { 1_u64.checked_shl(u32::from(gap % 65)).unwrap_or(u64::MAX) } else { scale(2, *gap) };
            let offset = if has(1) { at.saturating_sub(gap) } else { at.saturating_add(gap) };
            let (offset, len) = match () {
                () if has(16) => (0, 0),
                () if has(32) => (offset, u64::MAX - u64::from(*len)),
                () => (offset, scale(4, *len)),
            };
            if stored + len.min(MOST_DATA) > MOST_DATA {
                break;
            }
            // A length near 2^64 is of no body.
            stored += if has(32) { 0 } else { len };
            at = offset.saturating_add(len);
            segments.push((offset, len));
        }
        let stored = match fault {
            Fault::ByteMoreStored => stored + 1,
            Fault::ByteFewerStored => stored.saturating_sub(1),
            _ => stored,
        };
        let real_size = match fault {
            Fault::CutFile => at.saturating_sub(1),
            Fault::HugeFile => at.saturating_add(1 << 40),
            Fault::Hole => at.saturating_add(1000),
            _ => at,
        };
        let count = segments.len() as u64;
        let count = match fault {
            Fault::CountHigh => count + 1,
            Fault::CountLow => count.saturating_sub(1),
            _ => count,
        };
        let format = [Format::OldGnu, Format::Pairs, Format::List, Format::InBody][usize::from(flags & 3)];
        let data = (0..stored).map(|i| b'a' + (i % 23) as u8).collect();
        Self { format, segments, count, real_size, data, odd_numbers: flags & 4 != 0 }
    }

    /// The model: every kind of error that this file may give; none if it must be accepted.
    fn faults(&self, policy: &Policy) -> Vec<ErrorKind> {
        let (mut malformed, mut end, mut stored) = (false, 0_u128, 0_u128);
        for (offset, len) in self.segments.iter().map(|(offset, len)| (u128::from(*offset), u128::from(*len))) {
            let ends_the_list = self.format == Format::OldGnu && (offset, len) == (0, 0);
            malformed |= !ends_the_list && offset < end;
            end = end.max(offset + len);
            stored += len;
        }
        malformed |= end > u128::from(u64::MAX) || end > u128::from(self.real_size) || stored != self.data.len() as u128;
        let mut slots = self.segments.len() as u64;
        if self.format == Format::OldGnu {
            let ended = self.segments.iter().position(|slot| *slot == (0, 0));
            malformed |= ended.is_some_and(|at| self.segments[at..].iter().any(|slot| *slot != (0, 0)));
            let blocks = self.segments.len().saturating_sub(SLOTS.0).div_ceil(SLOTS.1);
            // Every slot of a block that goes on is paid for, and none may go on after the end.
            malformed |= ended.is_some_and(|at| blocks > 0 && at < SLOTS.0 + (blocks - 1) * SLOTS.1);
            slots = (self.segments.iter().take(SLOTS.0).filter(|slot| **slot != (0, 0)).count() + blocks * SLOTS.1) as u64;
        } else {
            malformed |= self.count != self.segments.len() as u64;
            slots = slots.max(self.count);
        }
        let over = slots > policy.limits.sparse_segments || self.real_size > policy.limits.total_bytes;
        let kinds = [(malformed, ErrorKind::SparseMalformed), (over, ErrorKind::LimitExceeded)];
        kinds.into_iter().filter_map(|(there, kind)| there.then_some(kind)).collect()
    }

    fn runs(&self) -> Vec<Run> {
        let (mut runs, mut data) = (Vec::<Run>::new(), &self.data[..]);
        for (offset, len) in self.segments.iter().filter(|(_, len)| *len > 0) {
            let (bytes, rest) = data.split_at(*len as usize);
            data = rest;
            match runs.last_mut() {
                Some(run) if run.offset + run.bytes.len() as u64 == *offset => run.bytes.extend(bytes),
                _ => runs.push(Run { offset: *offset, bytes: bytes.to_vec() }),
            }
        }
        runs
    }

    fn check_on_disk(&self, archive: Vec<u8>, mut policy: Policy) {
        policy.ownership = Ownership::SquashToCaller;
        let world = World::new();
        let result = world.run(&[archive], &policy, 1);
        assert!(result.is_ok(), "read, and not written: {result:?}");
        let mut wanted = vec![0; self.real_size as usize];
        for run in self.runs() {
            wanted[run.offset as usize..][..run.bytes.len()].copy_from_slice(&run.bytes);
        }
        assert!(fs::read(world.dest().join("d/sparse")).unwrap() == wanted, "the file on disk differs");
    }

    fn archive(&self, xattr: bool) -> Vec<u8> {
        let mut archive = Vec::new();
        let mut records = if xattr { record(b"SCHILY.xattr.user.x", b"value") } else { Vec::new() };
        records.extend(self.records());
        if !records.is_empty() {
            push(&mut archive, Header::of(b'x', b"x"), &records);
        }
        match self.format {
            Format::OldGnu => self.push_old_gnu(&mut archive),
            Format::Pairs | Format::List => push(&mut archive, Header::of(b'0', b"d/sparse"), &self.data),
            Format::InBody => {
                let lines = self.segments.iter().flat_map(|(offset, len)| [*offset, *len]);
                let mut body = std::iter::once(self.count).chain(lines).flat_map(|n| self.decimal(n, "\n")).collect();
                pad(&mut body);
                body.extend(&self.data);
                push(&mut archive, Header::of(b'0', b"GNUSparseFile.0/sparse"), &body);
            }
        }
        push(&mut archive, Header::of(b'0', b"last"), b"last");
        end(&mut archive);
        archive
    }

    fn decimal(&self, number: u64, after: &str) -> Vec<u8> {
        format!("{}{number}{after}", if self.odd_numbers { "0" } else { "" }).into_bytes()
    }

    fn records(&self) -> Vec<u8> {
        let number = |key: &str, value| record(key.as_bytes(), &self.decimal(value, ""));
        let size_and_count = || [number("GNU.sparse.size", self.real_size), number("GNU.sparse.numblocks", self.count)].concat();
        match self.format {
            Format::OldGnu => Vec::new(),
            Format::Pairs => {
                let pair =
                    |(offset, len): &(u64, u64)| [number("GNU.sparse.offset", *offset), number("GNU.sparse.numbytes", *len)].concat();
                [size_and_count(), self.segments.iter().flat_map(pair).collect()].concat()
            }
            Format::List => {
                let numbers = self.segments.iter().flat_map(|(offset, len)| [self.decimal(*offset, ""), self.decimal(*len, "")]);
                [size_and_count(), record(b"GNU.sparse.map", &numbers.collect::<Vec<_>>().join(&b','))].concat()
            }
            Format::InBody => {
                let version = [record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0")].concat();
                [version, record(b"GNU.sparse.name", b"d/sparse"), number("GNU.sparse.realsize", self.real_size)].concat()
            }
        }
    }

    fn push_old_gnu(&self, archive: &mut Vec<u8>) {
        let mut block = Header { size: self.data.len(), ..Header::of(b'S', b"d/sparse") }.block();
        block[257..265].copy_from_slice(b"ustar  \0");
        block[345..].fill(0);
        let (own, more) = self.segments.split_at(self.segments.len().min(SLOTS.0));
        self.fill_slots(&mut block[386..482], own);
        block[482] = u8::from(!more.is_empty());
        block[483..495].copy_from_slice(&self.field(self.real_size));
        sum(&mut block);
        archive.extend(block);
        let count = more.chunks(SLOTS.1).count();
        for (i, slots) in more.chunks(SLOTS.1).enumerate() {
            let mut block = [0; BLOCK];
            self.fill_slots(&mut block[..504], slots);
            block[504] = u8::from(i + 1 < count);
            archive.extend(block);
        }
        archive.extend(&self.data);
        pad(archive);
    }

    fn fill_slots(&self, place: &mut [u8], slots: &[(u64, u64)]) {
        for (slot, (offset, len)) in place.chunks_exact_mut(24).zip(slots) {
            slot[..12].copy_from_slice(&self.field(*offset));
            slot[12..].copy_from_slice(&self.field(*len));
        }
    }

    /// Octal where it fits, else base-256: two's complement, the first bit set.
    fn field(&self, number: u64) -> [u8; 12] {
        let mut field = [0; 12];
        if self.odd_numbers || number >= 1 << 33 {
            field[0] = 0x80;
            field[4..].copy_from_slice(&number.to_be_bytes());
        } else {
            field[..11].copy_from_slice(format!("{number:011o}").as_bytes());
        }
        field
    }
}
