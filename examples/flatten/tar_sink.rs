//! Writes a merged tree as a tar: ustar headers, PAX records for what does not fit them.

use std::io::{self, Write};

use safe_layers::image::{FlatEntry, FlatKind, TreeSink};
use safe_layers::{DeviceKind, Error, Timestamp};
use tar::{EntryType, Header};

const BLOCK: u64 = 512;

/// Writes entries as they come.
pub(crate) struct TarSink<W> {
    out: W,
    /// Of the file at hand: its size, and how much of it is written.
    len: u64,
    at: u64,
}

impl<W: Write> TarSink<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, len: 0, at: 0 }
    }

    /// Writes the end of the archive. Without it, it is none.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 1024])?;
        Ok(self.out)
    }

    fn zeros(&mut self, to: u64) -> io::Result<()> {
        let count = to.saturating_sub(self.at);
        self.at = to;
        io::copy(&mut io::Read::take(io::repeat(0), count), &mut self.out).map(drop)
    }

    fn pad(&mut self, len: u64) -> io::Result<()> {
        let padded = len.checked_next_multiple_of(BLOCK).unwrap_or(len);
        self.at = len;
        self.zeros(padded)
    }

    fn records(&mut self, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let len = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let mut header = blank();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(len);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.pad(len)
    }
}

impl<W: Write> TreeSink for TarSink<W> {
    fn entry(&mut self, entry: &FlatEntry) -> io::Result<()> {
        let metadata = entry.metadata();
        let mut header = blank();
        header.set_mode(metadata.mode);
        header.set_uid(metadata.uid.into());
        header.set_gid(metadata.gid.into());
        header.set_mtime(u64::try_from(metadata.mtime.secs()).unwrap_or(0));
        let (name, link) = kind(entry, &mut header)?;
        let mut records = Vec::new();
        let fields = header.as_old_mut();
        for (key, text, field) in [("path", name, &mut fields.name), ("linkpath", link, &mut fields.linkname)] {
            match field.get_mut(..text.len()) {
                Some(room) => room.copy_from_slice(&text),
                None => record(&mut records, key.as_bytes(), &text),
            }
        }
        if metadata.mtime.secs() < 0 || metadata.mtime.nanos() > 0 {
            record(&mut records, b"mtime", decimal(metadata.mtime).as_bytes());
        }
        for xattr in &metadata.xattrs {
            record(&mut records, &[b"SCHILY.xattr.", xattr.name.as_slice()].concat(), &xattr.value);
        }
        self.records(&records)?;
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        (self.len, self.at) = (header.entry_size()?, 0);
        Ok(())
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.zeros(offset)?;
        self.at = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.out.write_all(bytes)
    }

    fn entry_end(&mut self) -> io::Result<()> {
        self.zeros(self.len)?;
        self.pad(self.len)
    }

    /// What was written cannot be taken back: [`finish`](Self::finish) is not called.
    fn abort(&mut self, _error: &Error) {}
}

/// A header whose numbers are 0: some readers want no blank ones.
fn blank() -> Header {
    let mut header = Header::new_ustar();
    header.set_mode(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Sets what only an entry of this kind has; gives its name and the target of a link.
fn kind(entry: &FlatEntry, header: &mut Header) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut name, mut link) = (entry.path().as_bytes().to_vec(), Vec::new());
    let entry_type = match entry.kind() {
        FlatKind::Directory => {
            name.extend_from_slice(if name.is_empty() { b"./" } else { b"/" });
            EntryType::Directory
        }
        FlatKind::File { len } => {
            header.set_size(*len);
            EntryType::Regular
        }
        FlatKind::Symlink(target) => {
            link.extend_from_slice(target.as_bytes());
            EntryType::Symlink
        }
        FlatKind::Hardlink(target) => {
            link.extend_from_slice(target.as_bytes());
            EntryType::Link
        }
        FlatKind::Fifo => EntryType::Fifo,
        FlatKind::Device(device) => {
            header.set_device_major(u32::try_from(device.major).map_err(io::Error::other)?)?;
            header.set_device_minor(u32::try_from(device.minor).map_err(io::Error::other)?)?;
            if device.kind == DeviceKind::Block { EntryType::Block } else { EntryType::Char }
        }
        other => return Err(io::Error::other(format!("no tar has {other:?}"))),
    };
    header.set_entry_type(entry_type);
    Ok((name, link))
}

/// Adds a PAX record, which counts its own length (POSIX pax, *pax Header Block*).
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len().saturating_add(value.len()).saturating_add(3);
    let with = |len: usize| rest.saturating_add(len.to_string().len());
    // Its digits may make it one longer.
    let len = with(with(rest));
    records.extend_from_slice(&[len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat());
}

/// A time as PAX writes it: the sign counts for the fraction too.
fn decimal(time: Timestamp) -> String {
    let (secs, nanos) = (time.secs(), time.nanos());
    match (secs < 0, nanos) {
        (true, 1..) => format!("-{}.{:09}", secs.saturating_add(1).unsigned_abs(), 1_000_000_000_u32.saturating_sub(nanos)),
        _ => format!("{secs}.{nanos:09}"),
    }
}
