//! What two other readers find in an archive: the crates `tar` and `tar-core`.

use std::io::Read as _;

use tar_core::parse::{Limits, ParseEvent, Parser};

use super::tar::BLOCK;

/// An entry as another reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Not cleaned.
    pub path: Vec<u8>,
    pub typeflag: u8,
    pub link: Vec<u8>,
    pub size: u64,
    /// Of a regular file, holes filled.
    pub body: Vec<u8>,
    /// Whether records say that the file is sparse.
    pub pax_sparse: bool,
}

/// The entries up to the end that the reader sees; `None` where it refuses the archive.
pub type Listing = Option<Vec<Item>>;

pub fn by_tar(archive: &[u8]) -> Listing {
    let mut items = Vec::new();
    for entry in ::tar::Archive::new(archive).entries().ok()? {
        let mut entry = entry.ok()?;
        let header = entry.header().as_bytes();
        let typeflag = header[156];
        if typeflag == b'g' {
            continue;
        }
        let mut body = Vec::new();
        if is_file(typeflag) {
            entry.read_to_end(&mut body).ok()?;
        }
        let pax_sparse = match entry.pax_extensions().ok()? {
            Some(records) => records.flatten().any(|record| record.key_bytes().starts_with(b"GNU.sparse.")),
            None => false,
        };
        let link = entry.link_name_bytes().unwrap_or_default().into_owned();
        items.push(Item { path: entry.path_bytes().into_owned(), typeflag, link, size: entry.size(), body, pax_sparse });
    }
    Some(items)
}

pub fn by_tar_core(archive: &[u8]) -> Listing {
    let (mut items, mut rest) = (Vec::new(), archive);
    let mut parser = Parser::new(Limits::default());
    loop {
        match parser.parse(rest).ok()? {
            // All there is was given.
            ParseEvent::NeedData { .. } => return rest.iter().all(|byte| *byte == 0).then_some(items),
            ParseEvent::End { .. } => return Some(items),
            ParseEvent::GlobalExtensions { consumed, .. } => rest = rest.get(consumed..)?,
            ParseEvent::Entry { consumed, entry } => {
                let item = item(&entry, entry.size, Vec::new());
                rest = rest.get(consumed..)?;
                let size = usize::try_from(entry.size).ok()?;
                let body = rest.get(..size)?;
                rest = rest.get(size.checked_next_multiple_of(BLOCK)?..)?;
                items.push(Item { body: if is_file(item.typeflag) { body.to_vec() } else { Vec::new() }, ..item });
            }
            ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                rest = rest.get(consumed..)?;
                let size = usize::try_from(entry.size).ok()?;
                let mut stored = rest.get(..size)?;
                let mut body = vec![0; usize::try_from(real_size).ok().filter(|size| *size <= 1 << 20)?];
                for run in sparse_map {
                    let (bytes, after) = stored.split_at_checked(usize::try_from(run.length).ok()?)?;
                    stored = after;
                    body.get_mut(usize::try_from(run.offset).ok()?..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
                }
                items.push(item(&entry, real_size, body));
                rest = rest.get(size.checked_next_multiple_of(BLOCK)?..)?;
            }
        }
    }
}

fn item(entry: &tar_core::parse::ParsedEntry<'_>, size: u64, body: Vec<u8>) -> Item {
    let link = entry.link_target.clone().unwrap_or_default().into_owned();
    Item { path: entry.path.to_vec(), typeflag: entry.entry_type.to_byte(), link, size, body, pax_sparse: false }
}

fn is_file(typeflag: u8) -> bool {
    matches!(typeflag, 0 | b'0' | b'7' | b'S')
}
