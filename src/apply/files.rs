//! Makes regular files: the name at once, the body as it arrives, in the end the attributes; here or by a thread beside this one.

use std::sync::Arc;

use super::Applier;
use super::directories::Inheritance;
use super::fill::Job;
use super::objects::{clamped, fresh};
use super::parents::Place;
use crate::archive::{Timestamp, Xattr};
use crate::blob::{Buffer, PIECE, Part};
use crate::convert::len_u64;
use crate::entry::{ACCESS_ACL, CAPABILITY, Entry, Metadata, Name, Owner};
use crate::error::{Error, Location};
use crate::observe::Log;
use crate::root::{Attributes as _, Made, NewFile, always_held};

/// Mode of a file until its own is set: that of a new one, where a default ACL made it another.
const PRIVATE: u32 = 0o600;

/// A regular file whose body arrives.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: NewFile,
    /// Where it came from, where another thread may fill it.
    aside: Option<Location>,
    /// Parts of the body that are not written yet.
    parts: Vec<(u64, Part)>,
    metadata: Metadata,
    owner: Option<Owner>,
    inheritance: Inheritance,
    len: u64,
    /// Where the next write without a gap goes.
    end: u64,
}

impl OpenFile {
    /// Takes a part of the body. Those of a small file wait until it is complete, as it may lie in two pieces: one call writes them all.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], piece: Option<&Arc<Buffer>>) -> Result<(), Error> {
        self.end = offset.saturating_add(len_u64(bytes.len()));
        match piece {
            _ if !is_small(self.len) => return self.file.write_at(offset, bytes),
            Some(piece) => self.parts.push((offset, piece.share(bytes))),
            None => self.parts.push((offset, Part::Copied(bytes.into()))),
        }
        Ok(())
    }
}

/// Whether a file of so many bytes lies in two pieces at most.
fn is_small(len: u64) -> bool {
    len <= len_u64(PIECE)
}

impl Applier {
    /// Makes a regular file, always a new one: never written through what stands there.
    pub(super) fn file(&mut self, entry: Entry, owner: Option<Owner>, len: u64, log: &mut Log) -> Result<(), Error> {
        let (place, name) = self.place_for(&entry, log)?;
        let file = match self.new_file(&place, name)? {
            Made::New(file) => file,
            Made::Exists => {
                let stat = place.dir.stat_of(name)?;
                self.clear_place(&place, name, stat, log)?;
                fresh(self.new_file(&place, name)?)?
            }
        };
        self.landed(&place, &entry, name)?;
        let inheritance = self.directories.inheritance(place.node);
        let owner = owner.filter(|owner| !self.directories.gives(place.node, *owner));
        let mtime = entry.metadata().mtime;
        // Whatever may have to be told, a refused attribute or a clamped time, is told here.
        let silent = entry.metadata().xattrs.is_empty() && always_held(mtime) && inheritance == Inheritance::Nothing;
        let aside = (silent && is_small(len) && self.filling.is_wanted()).then(|| entry.location());
        let metadata = entry.into_metadata();
        self.open = Some(OpenFile { file, aside, parts: Vec::new(), metadata, owner, inheritance, len, end: 0 });
        Ok(())
    }

    /// Makes a file; where too many are open, those that are being filled are waited for.
    fn new_file(&mut self, place: &Place, name: Name<'_>) -> Result<Made<NewFile>, Error> {
        match self.root.make_file(&place.dir, name) {
            Err(error) if error.is_out_of_handles() => {
                self.settle()?;
                self.root.make_file(&place.dir, name)
            }
            made => made,
        }
    }

    /// Ends a file whose body is complete.
    pub(super) fn close_file(&mut self, open: OpenFile, log: &mut Log) -> Result<(), Error> {
        let OpenFile { file, aside, parts, metadata, owner, inheritance, len, end } = open;
        let extend_to = (end < len).then_some(len);
        if let Some(location) = aside {
            self.filling.push(Job { file, parts, extend_to, metadata, owner, location });
        } else {
            write_parts(&file, &parts)?;
            extend_to.map_or(Ok(()), |len| file.extend_to(len))?;
            self.finish_here(&file, &metadata, owner, inheritance, log)?;
        }
        self.counts.files = self.counts.files.saturating_add(1);
        self.file_bytes = self.file_bytes.saturating_add(len);
        Ok(())
    }

    fn finish_here(
        &self,
        file: &NewFile,
        metadata: &Metadata,
        owner: Option<Owner>,
        inheritance: Inheritance,
        log: &mut Log,
    ) -> Result<(), Error> {
        if inheritance == Inheritance::Possible {
            file.remove_acls()?;
            file.set_mode(PRIVATE)?;
        }
        // A setgid directory gave its group.
        let owner = owner.or((inheritance == Inheritance::Possible).then_some(self.caller));
        self.file_attributes(file, metadata, owner, log)
    }

    /// Sets the attributes of a file that hands nothing down and has nothing from its directory.
    pub(super) fn file_attributes(&self, file: &NewFile, metadata: &Metadata, owner: Option<Owner>, log: &mut Log) -> Result<(), Error> {
        let held = finish_file(file, metadata, owner, &mut |xattr| self.set_xattr(file, xattr, log))?;
        clamped(held, log);
        Ok(())
    }
}

/// Writes parts of a body; those that follow each other by one call.
pub(super) fn write_parts(file: &NewFile, parts: &[(u64, Part)]) -> Result<(), Error> {
    let goes_on = |(offset, part): &(u64, Part), (next, _): &(u64, Part)| offset.checked_add(len_u64(part.bytes().len())) == Some(*next);
    for run in parts.chunk_by(goes_on) {
        match run {
            [(offset, part)] => file.write_at(*offset, part.bytes())?,
            [(offset, _), ..] => {
                let parts: Vec<&[u8]> = run.iter().map(|(_, part)| part.bytes()).collect();
                file.write_joined_at(*offset, &parts)?;
            }
            [] => {}
        }
    }
    Ok(())
}

/// Sets the attributes of a file, in the order that the kernel forces; gives the time held if it is another.
pub(super) fn finish_file(
    file: &NewFile,
    metadata: &Metadata,
    owner: Option<Owner>,
    set_xattr: &mut dyn FnMut(&Xattr) -> Result<(), Error>,
) -> Result<Option<Timestamp>, Error> {
    let select = |wanted: fn(&[u8]) -> bool| metadata.xattrs.iter().filter(move |xattr| wanted(&xattr.name));
    // The kernel takes them from an ordinary user only while the owner may write; no later step drops them.
    select(|name| name != ACCESS_ACL && name != CAPABILITY).try_for_each(&mut *set_xattr)?;
    owner.map_or(Ok(()), |owner| file.set_owner(owner))?;
    select(|name| name == ACCESS_ACL).try_for_each(&mut *set_xattr)?;
    file.set_mode(metadata.mode)?;
    select(|name| name == CAPABILITY).try_for_each(&mut *set_xattr)?;
    file.set_time(metadata.mtime)
}
