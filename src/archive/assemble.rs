//! One entry from its header and the extension headers before it: for each field the one rule that says which source counts.

use std::mem;

use super::body::Body;
use super::extensions::Extensions;
use super::feed::Block;
use super::header::{Continuation, Header};
use super::number::{Fields, Timestamp, out_of_range};
use super::pax::Pax;
use super::sparse::{BodyMap, Form, OldGnu, Progress, Segment, malformed};
use super::{Options, RawEntry};
use crate::error::{Error, ErrorKind};
use crate::observe::{Notes, Reason};

/// Puts entries together and holds what outlives one of them.
#[derive(Debug)]
pub(super) struct Assembler {
    pub(super) options: Options,
    pub(super) notes: Notes,
    pub(super) extensions: Extensions,
    /// Of the current entry, or of the next one between entries.
    index: u64,
    /// Of the current entry, for errors; empty until it is known. A copy, so that its memory is used again.
    path: Vec<u8>,
    /// The sum of the logical sizes of the sparse files so far.
    logical_bytes: u64,
}

/// An entry whose own header is read.
#[derive(Debug)]
pub(super) enum Assembled {
    Whole(Box<RawEntry>, Body),
    /// Another continuation block of an old GNU sparse map follows.
    OldGnu(Box<RawEntry>, Box<OldGnu>),
    /// Another block of a sparse map of format 1.0 follows.
    BodyMap(Box<RawEntry>, Box<BodyMap>),
}

impl Assembler {
    pub(super) fn new(options: Options) -> Self {
        let notes = Notes::new(options.oddities);
        Self { options, notes, extensions: Extensions::default(), index: 0, path: Vec::new(), logical_bytes: 0 }
    }

    /// Adds the current entry, or the next one, to an error.
    pub(super) fn locate(&self, error: Error) -> Error {
        let error = error.in_entry(self.index);
        if self.path.is_empty() { error } else { error.with_path(&self.path) }
    }

    /// Turns to the next entry.
    pub(super) fn end_entry(&mut self) {
        self.index = self.index.saturating_add(1);
        self.path.clear();
    }

    /// # Errors
    /// `DanglingExtension` if an extension header waits for an entry that does not come.
    pub(super) fn judge_dangling(&self) -> Result<(), Error> {
        if self.extensions.want_an_entry() {
            return Err(Error::new(ErrorKind::DanglingExtension, "extension headers with no entry after them"));
        }
        Ok(())
    }

    /// Makes the entry whose own header stands at `at`.
    pub(super) fn entry(&mut self, header: &Header<'_>, at: u64) -> Result<Assembled, Error> {
        if self.index >= self.options.limits.entries {
            return Err(Error::limit_exceeded("entries", self.options.limits.entries));
        }
        let mut extensions = mem::take(&mut self.extensions);
        let mut pax = extensions.pax.take().unwrap_or_default();
        let path = self.path_of(header, at, extensions.long_name.take(), &mut pax)?;
        self.path.extend_from_slice(&path);
        let link = self.link_of(header, at, extensions.long_link.take(), &mut pax)?;
        extensions.judge_repeats(&mut self.notes)?;
        let mut fields = Fields { notes: &mut self.notes, at };
        let size = size_of(header, &pax, &mut fields)?;
        let entry = RawEntry {
            index: self.index,
            offset: extensions.first.unwrap_or(at),
            header_offset: at,
            typeflag: header.typeflag(),
            path,
            link,
            mode: u32::try_from(fields.unsigned("mode", header.mode())?).map_err(|_| out_of_range("mode"))?,
            uid: or_header(pax.uid, fields.unsigned("uid", header.uid())?),
            gid: or_header(pax.gid, fields.unsigned("gid", header.gid())?),
            mtime: or_header(pax.mtime, Timestamp::from_secs(fields.signed("mtime", header.mtime())?)),
            size,
            real_size: size,
            sparse: false,
            device: device_of(header, &mut fields)?,
            xattrs: mem::take(&mut pax.xattrs).into_list(),
            events: Vec::new(),
        };
        self.body(header, at, Box::new(entry), pax)
    }

    /// Precedence: `GNU.sparse.name`, PAX `path`, GNU `L`, header.
    fn path_of(&mut self, header: &Header<'_>, at: u64, gnu: Option<Vec<u8>>, pax: &mut Pax) -> Result<Vec<u8>, Error> {
        let sparse = pax.sparse.name();
        self.judge_long_name(gnu.as_deref(), pax.path.as_deref(), at)?;
        self.judge_long_name(gnu.as_deref(), sparse, at)?;
        let sparse = sparse.map(<[u8]>::to_vec);
        Ok(sparse.or(pax.path.take()).or(gnu).unwrap_or_else(|| header.path()))
    }

    /// Precedence: PAX `linkpath`, GNU `K`, header.
    fn link_of(&mut self, header: &Header<'_>, at: u64, gnu: Option<Vec<u8>>, pax: &mut Pax) -> Result<Vec<u8>, Error> {
        self.judge_long_name(gnu.as_deref(), pax.linkpath.as_deref(), at)?;
        Ok(pax.linkpath.take().or(gnu).unwrap_or_else(|| header.link()))
    }

    /// Readers differ on which of the two long names counts, so they must agree.
    fn judge_long_name(&mut self, gnu: Option<&[u8]>, pax: Option<&[u8]>, at: u64) -> Result<(), Error> {
        match (gnu, pax) {
            (Some(gnu), Some(pax)) if gnu == pax => {
                self.notes.odd(Reason::LongNameTwice, ErrorKind::PaxConflict, at, "a GNU and a PAX long name for one entry")
            }
            (Some(_), Some(_)) => Err(Error::new(ErrorKind::PaxConflict, "GNU and PAX long names differ")),
            (None, _) | (_, None) => Ok(()),
        }
    }

    fn body(&mut self, header: &Header<'_>, at: u64, mut entry: Box<RawEntry>, pax: Box<Pax>) -> Result<Assembled, Error> {
        match (entry.typeflag, pax.sparse.form()?) {
            (b'S', Form::Dense) => self.old_gnu(header, at, entry),
            (_, Form::Dense) => {
                let body = Body::dense(entry.size, &self.options.limits);
                entry.events = self.notes.take();
                Ok(Assembled::Whole(entry, body))
            }
            (0 | b'0' | b'7', Form::Known { real_size, map }) => {
                self.make_sparse(&mut entry, real_size)?;
                let segments = map.finish(real_size, entry.size)?;
                Ok(self.whole_sparse(entry, segments))
            }
            (0 | b'0' | b'7', Form::InBody { real_size }) => {
                self.make_sparse(&mut entry, real_size)?;
                Ok(Assembled::BodyMap(entry, Box::new(BodyMap::new())))
            }
            (_, Form::Known { .. } | Form::InBody { .. }) => Err(malformed("GNU.sparse keys on a type that is no regular file")),
        }
    }

    fn old_gnu(&mut self, header: &Header<'_>, at: u64, mut entry: Box<RawEntry>) -> Result<Assembled, Error> {
        let sparse = header.sparse().ok_or_else(|| malformed("an old GNU sparse file in a header that is not GNU's"))?;
        let real_size = Fields { notes: &mut self.notes, at }.unsigned("the real size", sparse.real_size())?;
        self.make_sparse(&mut entry, real_size)?;
        let map = OldGnu::start(sparse, &self.options.limits)?;
        if sparse.goes_on() {
            return Ok(Assembled::OldGnu(entry, Box::new(map)));
        }
        let segments = map.finish(real_size, entry.size)?;
        Ok(self.whole_sparse(entry, segments))
    }

    /// Reads a continuation block of an old GNU sparse map.
    pub(super) fn continuation(&mut self, block: Block<'_>, entry: Box<RawEntry>, mut map: Box<OldGnu>) -> Result<Assembled, Error> {
        let block = Continuation::new(block);
        map.go_on(&block, &self.options.limits)?;
        if block.goes_on() {
            return Ok(Assembled::OldGnu(entry, map));
        }
        let segments = map.finish(entry.real_size, entry.size)?;
        Ok(self.whole_sparse(entry, segments))
    }

    /// Reads a block of the sparse map in the body.
    pub(super) fn map_block(&mut self, block: Block<'_>, entry: Box<RawEntry>, mut map: Box<BodyMap>) -> Result<Assembled, Error> {
        match map.block(block.bytes, &self.options.limits)? {
            Progress::More => Ok(Assembled::BodyMap(entry, map)),
            Progress::Done => {
                let segments = map.finish(entry.real_size, entry.size)?;
                Ok(self.whole_sparse(entry, segments))
            }
        }
    }

    /// Pays for the logical size: a few stored bytes may stand for exabytes.
    fn make_sparse(&mut self, entry: &mut RawEntry, real_size: u64) -> Result<(), Error> {
        let limits = &self.options.limits;
        if real_size > limits.file_bytes {
            return Err(Error::limit_exceeded("file_bytes", limits.file_bytes));
        }
        self.logical_bytes = self.logical_bytes.saturating_add(real_size);
        if self.logical_bytes > limits.total_bytes {
            return Err(Error::limit_exceeded("total_bytes", limits.total_bytes));
        }
        entry.sparse = true;
        entry.real_size = real_size;
        Ok(())
    }

    fn whole_sparse(&mut self, mut entry: Box<RawEntry>, segments: Vec<Segment>) -> Assembled {
        let body = Body::sparse(entry.size, segments, &self.options.limits);
        entry.events = self.notes.take();
        Assembled::Whole(entry, body)
    }
}

/// PAX before the header's field, which is read all the same: a header that is no header shows here.
fn or_header<T>(pax: Option<T>, header: T) -> T {
    pax.unwrap_or(header)
}

fn size_of(header: &Header<'_>, pax: &Pax, fields: &mut Fields<'_>) -> Result<u64, Error> {
    let declared = fields.unsigned("size", header.size())?;
    let Some(size) = pax.size else { return Ok(declared) };
    // A header that cannot hold the size holds 0.
    if declared != 0 && size != declared {
        let detail = format!("{declared} in the header, {size} in the PAX record");
        fields.notes.odd(Reason::SizeFromPax, ErrorKind::SizeConflict, fields.at, detail)?;
    }
    Ok(size)
}

fn device_of(header: &Header<'_>, fields: &mut Fields<'_>) -> Result<Option<(u64, u64)>, Error> {
    if !matches!(header.typeflag(), b'3' | b'4') {
        return Ok(None);
    }
    let (major, minor) = header.device();
    Ok(Some((fields.unsigned("device major", major)?, fields.unsigned("device minor", minor)?)))
}
