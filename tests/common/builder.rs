//! A builder of tar archives that lays out every header by hand, so that malformed ones are possible.
//!
//! Written from the descriptions of the formats alone (POSIX pax, *ustar Interchange Format* and *pax Header Block*; GNU tar manual,
//! *Basic Tar Format*; RFC 1952 for gzip; RFC 8878 for Zstandard). It shares no code with the parser under test.
//! An archive is a list of [`Piece`]s, so that one of many GiB costs no memory: [`Source::open`] generates it as it is read.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use flate2::{Compress, Compression, Crc, FlushCompress};

pub const BLOCK: usize = 512;

/// A part of a stream, generated when it is read.
#[derive(Clone)]
pub enum Piece {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// These bytes, so many times.
    Repeat(Arc<[u8]>, u64),
    /// What the function gives for each number of the range.
    Lazy(Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>, Range<u64>),
}

/// A stream that can be opened any number of times.
#[derive(Clone, Default)]
pub struct Source {
    pieces: Vec<Piece>,
}

impl Source {
    pub fn push(&mut self, bytes: impl AsRef<[u8]>) {
        if !bytes.as_ref().is_empty() {
            self.pieces.push(Piece::Bytes(bytes.as_ref().into()));
        }
    }

    pub fn repeat(&mut self, bytes: impl AsRef<[u8]>, count: u64) {
        if !bytes.as_ref().is_empty() && count > 0 {
            self.pieces.push(Piece::Repeat(bytes.as_ref().into(), count));
        }
    }

    pub fn lazy(&mut self, range: Range<u64>, make: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) {
        self.pieces.push(Piece::Lazy(Arc::new(make), range));
    }

    pub fn append(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
    }

    /// Starts at the first byte.
    pub fn open(&self) -> Reader {
        Reader { pieces: self.pieces.clone().into_iter(), now: None }
    }

    /// The whole stream, in memory.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.open().read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// The whole stream, if it has at most `most` bytes.
    pub fn bytes_up_to(&self, most: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open().take(most + 1).read_to_end(&mut bytes).unwrap();
        (bytes.len() as u64 <= most).then_some(bytes)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        let mut source = Self::default();
        source.push(bytes);
        source
    }
}

/// Reads a [`Source`].
pub struct Reader {
    pieces: std::vec::IntoIter<Piece>,
    now: Option<Cursor>,
}

struct Cursor {
    piece: Piece,
    chunk: Arc<[u8]>,
    at: usize,
}

impl Cursor {
    fn of(piece: Piece) -> Self {
        Self { piece, chunk: Arc::new([]), at: 0 }
    }

    /// Takes the next chunk of the piece, if it has one more.
    fn advance(&mut self) -> bool {
        self.at = 0;
        self.chunk = match &mut self.piece {
            Piece::Bytes(bytes) if bytes.is_empty() => return false,
            Piece::Bytes(bytes) => std::mem::replace(bytes, Arc::new([])),
            Piece::Repeat(_, 0) => return false,
            Piece::Repeat(bytes, count) => {
                // Whole pages at a time: a run of one byte is read in one copy.
                let times = (64 * 1024 / bytes.len() as u64).clamp(1, *count);
                *count -= times;
                if times == 1 { bytes.clone() } else { bytes.repeat(times as usize).into() }
            }
            Piece::Lazy(make, range) => match range.next() {
                None => return false,
                Some(i) => make(i).into(),
            },
        };
        true
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(cursor) = &mut self.now else {
                let Some(piece) = self.pieces.next() else { return Ok(0) };
                self.now = Some(Cursor::of(piece));
                continue;
            };
            let rest = &cursor.chunk[cursor.at..];
            if !rest.is_empty() {
                let len = rest.len().min(buffer.len());
                buffer[..len].copy_from_slice(&rest[..len]);
                cursor.at += len;
                return Ok(len);
            }
            if !cursor.advance() {
                self.now = None;
            }
        }
    }
}

/// Gives at most so many bytes for each read: the result must not depend on it.
pub struct Chunks<R>(pub R, pub usize);

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.1);
        self.0.read(&mut buffer[..len])
    }
}

/// A number field of the header: where it starts and how many bytes it has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Mode,
    Uid,
    Gid,
    Size,
    Mtime,
    DevMajor,
    DevMinor,
}

impl Field {
    fn place(self) -> (usize, usize) {
        match self {
            Self::Mode => (100, 8),
            Self::Uid => (108, 8),
            Self::Gid => (116, 8),
            Self::Size => (124, 12),
            Self::Mtime => (136, 12),
            Self::DevMajor => (329, 8),
            Self::DevMinor => (337, 8),
        }
    }
}

/// The dialect that bytes 257..265 claim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    V7,
    Ustar,
    Gnu,
}

/// What stands in the checksum field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Right,
    OffByOne,
    /// The sum of signed bytes, as some old tars wrote it.
    Signed,
    Zeros,
    Blank,
}

/// How a name over 100 bytes is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LongNames {
    Pax,
    Gnu,
    Cut,
}

/// A number field in octal, or in base-256 where octal cannot hold it.
pub fn number(value: i128, width: usize) -> Vec<u8> {
    let digits = width - 1;
    if (0..1_i128 << (3 * digits)).contains(&value) {
        return format!("{value:0digits$o}\0").into_bytes();
    }
    base256(value, width)
}

/// A number field in base-256: two's complement, the first bit set (GNU tar manual, *Basic Tar Format*).
pub fn base256(value: i128, width: usize) -> Vec<u8> {
    let mut field = value.to_be_bytes()[16 - width..].to_vec();
    field[0] = if value < 0 { 0xff } else { 0x80 | (field[0] & 0x7f) };
    field
}

/// One PAX record, its length computed: `LEN KEY=VALUE\n`.
pub fn record(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let rest = [b" ", key.as_ref(), b"=", value.as_ref(), b"\n"].concat();
    let mut len = rest.len();
    while len != len.to_string().len() + rest.len() {
        len = len.to_string().len() + rest.len();
    }
    [len.to_string().as_bytes(), &rest].concat()
}

/// One continuation block of an old GNU sparse map: 21 regions and whether one more follows.
pub fn sparse_continuation(regions: &[(u64, u64)], more: bool) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    for (slot, (offset, len)) in block.chunks_exact_mut(24).zip(regions) {
        slot[..12].copy_from_slice(&number(i128::from(*offset), 12));
        slot[12..].copy_from_slice(&number(i128::from(*len), 12));
    }
    block[504] = u8::from(more);
    block
}

/// An entry: its header, the extension headers before it and its body.
#[derive(Clone)]
pub struct Entry {
    typeflag: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    magic: Magic,
    numbers: Vec<(Field, i128)>,
    base256: Vec<Field>,
    prefix: Vec<u8>,
    owner_names: [Vec<u8>; 2],
    patches: Vec<(usize, Vec<u8>)>,
    checksum: Checksum,
    long_names: LongNames,
    records: Vec<u8>,
    sparse_blocks: Vec<u8>,
    body: Source,
    len: u64,
    padded: bool,
}

impl Entry {
    pub fn of(typeflag: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            typeflag,
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            magic: Magic::Ustar,
            numbers: Vec::new(),
            base256: Vec::new(),
            prefix: Vec::new(),
            owner_names: [b"root".to_vec(), b"root".to_vec()],
            patches: Vec::new(),
            checksum: Checksum::Right,
            long_names: LongNames::Pax,
            records: Vec::new(),
            sparse_blocks: Vec::new(),
            body: Source::default(),
            len: 0,
            padded: true,
        }
    }

    pub fn file(name: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        Self::of(b'0', name).body(body)
    }

    pub fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::of(b'5', name)
    }

    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::of(b'2', name).link(target)
    }

    pub fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::of(b'1', name).link(target)
    }

    pub fn fifo(name: impl AsRef<[u8]>) -> Self {
        Self::of(b'6', name)
    }

    pub fn char(name: impl AsRef<[u8]>, major: i128, minor: i128) -> Self {
        Self::of(b'3', name).number(Field::DevMajor, major).number(Field::DevMinor, minor)
    }

    pub fn block(name: impl AsRef<[u8]>, major: i128, minor: i128) -> Self {
        Self::of(b'4', name).number(Field::DevMajor, major).number(Field::DevMinor, minor)
    }

    /// A PAX header (`x`) whose body is exactly `records`.
    pub fn pax_header(records: impl AsRef<[u8]>) -> Self {
        Self::of(b'x', "PaxHeaders.0/x").body(records)
    }

    /// A global PAX header (`g`) whose body is exactly `records`.
    pub fn global_header(records: impl AsRef<[u8]>) -> Self {
        Self::of(b'g', "pax_global_header").body(records)
    }

    /// A GNU long name (`L`) whose body is exactly `name`: the NUL at its end is the caller's.
    pub fn gnu_long_name(name: impl AsRef<[u8]>) -> Self {
        Self::of(b'L', "././@LongLink").gnu().body(name)
    }

    /// A GNU long link (`K`) whose body is exactly `target`.
    pub fn gnu_long_link(target: impl AsRef<[u8]>) -> Self {
        Self::of(b'K', "././@LongLink").gnu().body(target)
    }

    /// A sparse file of the old GNU form: `regions` of the file and its real size; more than four go to continuation blocks.
    pub fn gnu_sparse(name: impl AsRef<[u8]>, regions: &[(u64, u64)], real_size: u64, data: impl AsRef<[u8]>) -> Self {
        let mut entry = Self::of(b'S', name).gnu().body(data).patch(483, number(i128::from(real_size), 12));
        let (own, more) = regions.split_at(regions.len().min(4));
        for (slot, (offset, len)) in own.iter().enumerate() {
            entry = entry.patch(386 + 24 * slot, [number(i128::from(*offset), 12), number(i128::from(*len), 12)].concat());
        }
        let chunks = more.chunks(21).collect::<Vec<_>>();
        for (i, chunk) in chunks.iter().enumerate() {
            entry.sparse_blocks.extend(sparse_continuation(chunk, i + 1 < chunks.len()));
        }
        if more.is_empty() { entry } else { entry.patch(482, [1]) }
    }

    pub fn link(mut self, target: impl AsRef<[u8]>) -> Self {
        self.link = target.as_ref().to_vec();
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.len = body.as_ref().len() as u64;
        self.body = body.as_ref().to_vec().into();
        self
    }

    /// Bytes repeated as the body, in no memory.
    pub fn body_run(mut self, bytes: impl AsRef<[u8]>, count: u64) -> Self {
        self.len += bytes.as_ref().len() as u64 * count;
        self.body.repeat(bytes, count);
        self
    }

    /// Bytes at the end of the body.
    pub fn body_more(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.len += bytes.as_ref().len() as u64;
        self.body.push(bytes);
        self
    }

    pub fn number(mut self, field: Field, value: i128) -> Self {
        self.numbers.push((field, value));
        self
    }

    pub fn mode(self, mode: i128) -> Self {
        self.number(Field::Mode, mode)
    }

    pub fn uid(self, uid: i128) -> Self {
        self.number(Field::Uid, uid)
    }

    pub fn gid(self, gid: i128) -> Self {
        self.number(Field::Gid, gid)
    }

    pub fn mtime(self, seconds: i128) -> Self {
        self.number(Field::Mtime, seconds)
    }

    /// Declares this size whatever the body has.
    pub fn size(self, len: i128) -> Self {
        self.number(Field::Size, len)
    }

    /// Writes `field` in base-256 though octal would hold it.
    pub fn base256(mut self, field: Field) -> Self {
        self.base256.push(field);
        self
    }

    pub fn gnu(mut self) -> Self {
        self.magic = Magic::Gnu;
        self
    }

    pub fn v7(mut self) -> Self {
        self.magic = Magic::V7;
        self
    }

    pub fn prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.prefix = prefix.as_ref().to_vec();
        self
    }

    pub fn owner_names(mut self, user: &str, group: &str) -> Self {
        self.owner_names = [user.into(), group.into()];
        self
    }

    /// Overwrites bytes of the header; the checksum is computed after it.
    pub fn patch(mut self, offset: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.patches.push((offset, bytes.as_ref().to_vec()));
        self
    }

    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = checksum;
        self
    }

    pub fn long_names(mut self, how: LongNames) -> Self {
        self.long_names = how;
        self
    }

    /// A record in the PAX header of this entry.
    pub fn pax(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax_raw(record(key, value))
    }

    /// Bytes in the PAX header of this entry.
    pub fn pax_raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.records.extend(bytes.as_ref());
        self
    }

    pub fn unpadded(mut self) -> Self {
        self.padded = false;
        self
    }

    /// The header block alone, names cut at 100 bytes.
    pub fn header(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, most: usize, bytes: &[u8]| {
            let len = bytes.len().min(most);
            block[at..at + len].copy_from_slice(&bytes[..len]);
        };
        put(0, 100, &self.name);
        put(157, 100, &self.link);
        put(156, 1, &[self.typeflag]);
        match self.magic {
            Magic::V7 => {}
            Magic::Ustar => put(257, 8, b"ustar\x0000"),
            Magic::Gnu => put(257, 8, b"ustar  \0"),
        }
        if self.magic != Magic::V7 {
            put(265, 32, &self.owner_names[0]);
            put(297, 32, &self.owner_names[1]);
            put(345, 155, &self.prefix);
        }
        let mode = match self.typeflag {
            b'5' => 0o755,
            b'2' => 0o777,
            _ => 0o644,
        };
        let defaults =
            [(Field::Mode, mode), (Field::Uid, 0), (Field::Gid, 0), (Field::Size, i128::from(self.len)), (Field::Mtime, 1_700_000_000)];
        for (field, value) in defaults.iter().chain(&self.numbers) {
            let (at, width) = field.place();
            put(at, width, &if self.base256.contains(field) { base256(*value, width) } else { number(*value, width) });
        }
        for (at, bytes) in &self.patches {
            put(*at, bytes.len(), bytes);
        }
        self.sum(&mut block);
        block
    }

    fn sum(&self, block: &mut [u8; BLOCK]) {
        block[148..156].fill(b' ');
        let unsigned: i64 = block.iter().map(|byte| i64::from(*byte)).sum();
        let signed: i64 = block.iter().map(|byte| i64::from(byte.cast_signed())).sum();
        let field = match self.checksum {
            Checksum::Right => format!("{unsigned:06o}\0 "),
            Checksum::OffByOne => format!("{:06o}\0 ", unsigned + 1),
            Checksum::Signed => format!("{signed:06o}\0 "),
            Checksum::Zeros => "\0".repeat(8),
            Checksum::Blank => " ".repeat(8),
        };
        block[148..156].copy_from_slice(field.as_bytes());
    }

    /// The entry as it stands in an archive: extension headers, header, body, padding.
    pub fn source(&self) -> Source {
        let mut source = Source::default();
        let mut records = Vec::new();
        let long = |bytes: &[u8]| bytes.len() > 100 && self.prefix.is_empty();
        match self.long_names {
            LongNames::Gnu => {
                source.append(Self::gnu_long_name([&self.name[..], b"\0"].concat()).source());
                if long(&self.link) {
                    source.append(Self::gnu_long_link([&self.link[..], b"\0"].concat()).source());
                }
            }
            LongNames::Pax => {
                if long(&self.name) {
                    records.extend(record("path", &self.name));
                }
                if long(&self.link) {
                    records.extend(record("linkpath", &self.link));
                }
            }
            LongNames::Cut => {}
        }
        records.extend(&self.records);
        if !records.is_empty() {
            source.append(Self::pax_header(records).source());
        }
        source.push(self.header());
        source.push(&self.sparse_blocks);
        source.append(self.body.clone());
        if self.padded {
            source.push(vec![0; self.len.next_multiple_of(BLOCK as u64).abs_diff(self.len) as usize]);
        }
        source
    }
}

/// An archive in the making: entries, then the end blocks.
#[derive(Clone)]
pub struct Tar {
    source: Source,
    end_blocks: u64,
    trailing: Vec<u8>,
    keep: Option<usize>,
}

/// Starts an archive that ends with two zero blocks.
pub fn tar() -> Tar {
    Tar { source: Source::default(), end_blocks: 2, trailing: Vec::new(), keep: None }
}

impl Tar {
    pub fn add(mut self, entry: Entry) -> Self {
        self.source.append(entry.source());
        self
    }

    /// Goes on with the entries of another.
    pub fn then(mut self, other: Self) -> Self {
        self.source.append(other.source);
        self
    }

    pub fn file(self, name: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        self.add(Entry::file(name, body))
    }

    pub fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.add(Entry::dir(name))
    }

    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.add(Entry::symlink(name, target))
    }

    pub fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.add(Entry::hardlink(name, target))
    }

    pub fn fifo(self, name: impl AsRef<[u8]>) -> Self {
        self.add(Entry::fifo(name))
    }

    pub fn pax_header(self, records: impl AsRef<[u8]>) -> Self {
        self.add(Entry::pax_header(records))
    }

    pub fn global_header(self, records: impl AsRef<[u8]>) -> Self {
        self.add(Entry::global_header(records))
    }

    pub fn gnu_long_name(self, name: impl AsRef<[u8]>) -> Self {
        self.add(Entry::gnu_long_name(name))
    }

    pub fn gnu_long_link(self, target: impl AsRef<[u8]>) -> Self {
        self.add(Entry::gnu_long_link(target))
    }

    /// One entry for each number, made when it is read.
    pub fn each(mut self, range: Range<u64>, make: impl Fn(u64) -> Entry + Send + Sync + 'static) -> Self {
        self.source.lazy(range, move |i| make(i).source().bytes());
        self
    }

    /// The same entry so many times.
    pub fn times(mut self, count: u64, entry: &Entry) -> Self {
        self.source.repeat(entry.source().bytes(), count);
        self
    }

    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.source.push(bytes);
        self
    }

    pub fn raw_run(mut self, bytes: impl AsRef<[u8]>, count: u64) -> Self {
        self.source.repeat(bytes, count);
        self
    }

    pub fn zero_blocks(self, count: usize) -> Self {
        self.raw(vec![0; BLOCK * count])
    }

    /// How many zero blocks end the archive: 2 where this is not called.
    pub fn end_blocks(mut self, count: u64) -> Self {
        self.end_blocks = count;
        self
    }

    /// Bytes after the end blocks.
    pub fn trailing(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.trailing.extend(bytes.as_ref());
        self
    }

    /// Keeps the first `len` bytes only.
    pub fn cut_at(mut self, len: usize) -> Self {
        self.keep = Some(len);
        self
    }

    pub fn source(&self) -> Source {
        let mut source = self.source.clone();
        source.repeat([0; BLOCK], self.end_blocks);
        source.push(&self.trailing);
        match self.keep {
            Some(len) => source.bytes()[..len].to_vec().into(),
            None => source,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.source().bytes()
    }

    pub fn gzip(&self) -> Source {
        Gzip::OK.wrap(&self.source())
    }

    pub fn zstd(&self) -> Source {
        Zstd::OK.wrap(&self.source())
    }
}

impl From<Tar> for Source {
    fn from(tar: Tar) -> Self {
        tar.source()
    }
}

/// Where a gzip stream is cut into members.
#[derive(Clone, Copy)]
pub enum Split {
    Whole,
    /// Into so many members of one length.
    Into(usize),
    /// Into two, at this byte.
    At(usize),
}

/// How a gzip stream is written: [`Gzip::OK`] and what is odd about it.
#[derive(Clone, Copy)]
pub struct Gzip {
    pub split: Split,
    pub file_name: &'static str,
    pub bad_crc: bool,
    pub no_trailer: bool,
    pub empty_members: u64,
    pub trailing: &'static [u8],
}

impl Gzip {
    pub const OK: Self = Self { split: Split::Whole, file_name: "", bad_crc: false, no_trailer: false, empty_members: 0, trailing: b"" };

    pub fn wrap(&self, plain: &Source) -> Source {
        let mut out = Source::default();
        for part in self.parts(plain) {
            out.append(self.member(&part));
            out.repeat(Self::OK.member(&Source::default()).bytes(), self.empty_members);
        }
        out.push(self.trailing);
        out
    }

    fn parts(&self, plain: &Source) -> Vec<Source> {
        match self.split {
            Split::Whole => vec![plain.clone()],
            Split::At(at) => {
                let bytes = plain.bytes();
                vec![bytes[..at].to_vec().into(), bytes[at..].to_vec().into()]
            }
            Split::Into(count) => {
                let bytes = plain.bytes();
                bytes.chunks(bytes.len().div_ceil(count)).map(|part| part.to_vec().into()).collect()
            }
        }
    }

    /// One member (RFC 1952, 2.3). Each piece is deflated alone and ends with a full flush, so repeated ones are deflated once.
    fn member(&self, plain: &Source) -> Source {
        let mut out = Source::default();
        let flags = if self.file_name.is_empty() { 0 } else { 8 };
        out.push([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 2, 0xff]);
        if flags != 0 {
            out.push([self.file_name.as_bytes(), b"\0"].concat());
        }
        for piece in &plain.pieces {
            deflate_piece(piece, &mut out);
        }
        // The last block: fixed codes, nothing but its end (RFC 1951, 3.2.6).
        out.push([3, 0]);
        if !self.no_trailer {
            let (plain, flip) = (plain.clone(), if self.bad_crc { 0xdead_beef } else { 0 });
            out.lazy(0..1, move |_| {
                let crc = checksum(&plain);
                [(crc.sum() ^ flip).to_le_bytes(), crc.amount().to_le_bytes()].concat()
            });
        }
        out
    }
}

fn deflate_piece(piece: &Piece, out: &mut Source) {
    match piece {
        Piece::Bytes(bytes) => out.push(deflate(bytes)),
        Piece::Repeat(bytes, count) => {
            let batch = ((1 << 20) / bytes.len() as u64).clamp(1, *count);
            out.repeat(deflate(&bytes.repeat(batch as usize)), count / batch);
            out.push(deflate(&bytes.repeat((count % batch) as usize)));
        }
        Piece::Lazy(make, range) => {
            let (make, end) = (make.clone(), range.end);
            let batches = range.clone().step_by(1024).collect::<Vec<_>>();
            out.lazy(0..batches.len() as u64, move |i| {
                let first = batches[i as usize];
                deflate(&(first..end.min(first + 1024)).flat_map(|i| make(i)).collect::<Vec<_>>())
            });
        }
    }
}

/// Deflates to whole bytes, without the last block.
fn deflate(plain: &[u8]) -> Vec<u8> {
    if plain.is_empty() {
        return Vec::new();
    }
    let mut deflater = Compress::new(Compression::new(6), false);
    let mut out = Vec::with_capacity(plain.len() + plain.len() / 100 + 1024);
    deflater.compress_vec(plain, &mut out, FlushCompress::Full).unwrap();
    assert_eq!(deflater.total_in(), plain.len() as u64);
    out
}

fn checksum(plain: &Source) -> Crc {
    let mut crc = Crc::new();
    let mut buffer = vec![0; 64 * 1024];
    for piece in &plain.pieces {
        if let Piece::Repeat(bytes, count) = piece {
            crc.combine(&repeated(bytes, *count));
            continue;
        }
        let mut reader = Source { pieces: vec![piece.clone()] }.open();
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => break,
                len => crc.update(&buffer[..len]),
            }
        }
    }
    crc
}

/// The checksum of repeated bytes, by doubling.
fn repeated(bytes: &[u8], count: u64) -> Crc {
    let (mut all, mut power, mut count) = (Crc::new(), Crc::new(), count);
    power.update(bytes);
    while count > 0 {
        if count & 1 == 1 {
            all.combine(&power);
        }
        let mut twice = Crc::new();
        twice.combine(&power);
        twice.combine(&power);
        (power, count) = (twice, count >> 1);
    }
    all
}

/// A skippable frame (RFC 8878, 3.1.2) that declares `declared` bytes and has `content`.
#[derive(Clone, Copy)]
pub struct Skippable {
    pub magic: u32,
    pub declared: u32,
    pub content: &'static [u8],
}

impl Skippable {
    fn bytes(&self) -> Vec<u8> {
        [&(0x184d_2a50 + self.magic).to_le_bytes(), &self.declared.to_le_bytes(), self.content].concat()
    }
}

/// How a zstd stream is written, of raw and run-length blocks alone: [`Zstd::OK`] and what is odd about it.
#[derive(Clone, Copy)]
pub struct Zstd {
    pub frames: usize,
    pub window_log: u8,
    /// The content size of a frame in a single segment, which has no window of its own.
    pub single_segment: Option<u64>,
    pub dictionary: Option<u32>,
    pub bad_checksum: bool,
    pub skippable_first: Option<Skippable>,
    pub skippable: Option<Skippable>,
    pub trailing: &'static [u8],
}

impl Zstd {
    pub const OK: Self = Self {
        frames: 1,
        window_log: 20,
        single_segment: None,
        dictionary: None,
        bad_checksum: false,
        skippable_first: None,
        skippable: None,
        trailing: b"",
    };

    pub fn wrap(&self, plain: &Source) -> Source {
        let mut out = Source::default();
        out.push(self.skippable_first.map_or(Vec::new(), |frame| frame.bytes()));
        let parts = match self.frames {
            1 => vec![plain.clone()],
            count => {
                let bytes = plain.bytes();
                bytes.chunks(bytes.len().div_ceil(count)).map(|part| part.to_vec().into()).collect()
            }
        };
        for part in parts {
            out.append(self.frame(&part));
            out.push(self.skippable.map_or(Vec::new(), |frame| frame.bytes()));
        }
        out.push(self.trailing);
        out
    }

    /// One frame (RFC 8878, 3.1.1).
    fn frame(&self, plain: &Source) -> Source {
        let mut out = Source::default();
        let descriptor = if self.single_segment.is_some() { 0b1110_0000 } else { 0 }
            | if self.dictionary.is_some() { 0b11 } else { 0 }
            | if self.bad_checksum { 0b100 } else { 0 };
        out.push([0x28, 0xb5, 0x2f, 0xfd, descriptor]);
        if self.single_segment.is_none() {
            out.push([(self.window_log - 10) << 3]);
        }
        out.push(self.dictionary.map_or(Vec::new(), |id| id.to_le_bytes().to_vec()));
        out.push(self.single_segment.map_or(Vec::new(), |len| len.to_le_bytes().to_vec()));
        for piece in &plain.pieces {
            zstd_blocks(piece, &mut out);
        }
        // An empty raw block, the last.
        out.push([1, 0, 0]);
        if self.bad_checksum {
            out.push([0xde, 0xad, 0xbe, 0xef]);
        }
        out
    }
}

/// The largest block (RFC 8878, 3.1.1.2.4).
const ZSTD_BLOCK: u64 = 128 * 1024;

fn zstd_blocks(piece: &Piece, out: &mut Source) {
    if let Piece::Repeat(bytes, count) = piece
        && let [byte] = bytes[..]
    {
        let run = |len: u64| [&((len as u32) << 3 | 2).to_le_bytes()[..3], &[byte]].concat();
        out.repeat(run(ZSTD_BLOCK), count / ZSTD_BLOCK);
        out.repeat(run(count % ZSTD_BLOCK), u64::from(count % ZSTD_BLOCK > 0));
        return;
    }
    for chunk in (Source { pieces: vec![piece.clone()] }).bytes().chunks(ZSTD_BLOCK as usize) {
        out.push([&((chunk.len() as u32) << 3).to_le_bytes()[..3], chunk].concat());
    }
}
