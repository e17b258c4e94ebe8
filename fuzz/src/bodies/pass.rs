//! One pass through [`LayerReader`]: everything it gives, and what must hold of every entry.

use std::io::Read;

use safe_layers::{Entry, EntryKind, Error, Events, Expect, LayerEnd, LayerReader, Oddities, Policy};

use super::Accepted;

/// Small limits, so that an input cannot buy much time, and are reached.
pub fn limited(mut policy: Policy) -> Policy {
    policy.limits.total_bytes = 1 << 20;
    policy.limits.zstd_window = 1 << 20;
    policy.limits.header_bytes = 64 << 10;
    policy.limits.xattrs = 8;
    policy.limits.xattr_bytes = 1 << 10;
    policy.limits.sparse_segments = 64;
    policy.limits.entries = 256;
    policy.limits.depth = 32;
    policy
}

/// Everything that a reader gave. Two passes over one blob are equal, however it was cut.
#[derive(Debug, PartialEq)]
pub struct Pass {
    pub entries: Vec<(Entry, Vec<Run>)>,
    pub events: Events,
    pub end: Result<LayerEnd, Error>,
}

/// Bytes that stand together in a file.
#[derive(Debug, PartialEq)]
pub struct Run {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

impl Pass {
    pub fn take(blob: impl Read, expect: &Expect, policy: &Policy) -> Self {
        let mut layer = LayerReader::new(blob, expect, policy.clone());
        let mut entries = Vec::new();
        let read = read(&mut layer, &mut entries);
        let events = layer.take_events();
        let end = layer.finish();
        if let Err(error) = read {
            assert_eq!(end.as_ref(), Err(&error), "the first error is final");
        }
        let pass = Self { entries, events, end };
        for (entry, runs) in &pass.entries {
            check(entry, policy);
            check_body(entry, runs, policy);
        }
        pass
    }

    /// The kinds of entry, if the layer as a whole was accepted.
    pub fn accepted(&self) -> Accepted {
        let mut accepted = Accepted::default();
        if self.end.is_err() {
            return accepted;
        }
        for (entry, _) in &self.entries {
            match entry.kind() {
                EntryKind::File { .. } => accepted.files += 1,
                EntryKind::Symlink(_) => accepted.symlinks += 1,
                EntryKind::Hardlink(_) => accepted.hardlinks += 1,
                EntryKind::Whiteout(_) => accepted.whiteouts += 1,
                _ => {}
            }
            accepted.xattrs += entry.metadata().xattrs.len() as u64;
        }
        accepted
    }
}

fn read<R: Read>(layer: &mut LayerReader<R>, entries: &mut Vec<(Entry, Vec<Run>)>) -> Result<(), Error> {
    while let Some(entry) = layer.next_entry()? {
        entries.push((entry, Vec::new()));
        let Some((_, runs)) = entries.last_mut() else { continue };
        layer.read_body(&mut |offset, piece| match runs.last_mut() {
            Some(run) if run.offset + run.bytes.len() as u64 == offset => run.bytes.extend(piece),
            _ => runs.push(Run { offset, bytes: piece.to_vec() }),
        })?;
    }
    Ok(())
}

/// Takes the blob in one piece and in pieces of `sizes`, in turn: the same must come out.
pub fn whole_and_cut(blob: &[u8], sizes: &[usize], expect: &Expect, policy: &Policy) -> Pass {
    let whole = Pass::take(blob, expect, policy);
    let cut = Pass::take(Cut { rest: blob, sizes: sizes.iter().cycle() }, expect, policy);
    assert_eq!(whole, cut, "the result depends on how the blob is cut: {sizes:?}");
    whole
}

struct Cut<'a, S> {
    rest: &'a [u8],
    sizes: S,
}

impl<'a, S: Iterator<Item = &'a usize>> Read for Cut<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.sizes.next().copied().unwrap_or(1).max(1).min(buffer.len());
        Read::take(&mut self.rest, len as u64).read(buffer)
    }
}

/// What holds of every entry that a reader gives.
fn check(entry: &Entry, policy: &Policy) {
    check_path(entry.path().as_bytes());
    let metadata = entry.metadata();
    assert!(metadata.mode <= 0o7777 && metadata.uid != u32::MAX && metadata.gid != u32::MAX && metadata.mtime.nanos() < 1_000_000_000);
    let bytes = metadata.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum::<usize>();
    assert!(metadata.xattrs.len() as u64 <= policy.limits.xattrs && bytes as u64 <= policy.limits.xattr_bytes);
    for xattr in &metadata.xattrs {
        let overlay = xattr.name.starts_with(b"user.overlay.") || xattr.name.starts_with(b"trusted.");
        assert!(!xattr.name.is_empty() && !xattr.name.contains(&0) && !overlay, "{xattr:?}");
    }
    match entry.kind() {
        EntryKind::Symlink(target) => {
            let raw = target.as_bytes();
            assert!(!raw.is_empty() && raw.len() <= 4095 && !raw.contains(&0));
        }
        EntryKind::Hardlink(target) => {
            check_path(target.as_bytes());
            assert!(!target.is_root());
        }
        EntryKind::File { .. } | EntryKind::Directory | EntryKind::Fifo | EntryKind::Whiteout(_) => {}
        other => panic!("neither policy lets {other:?} in"),
    }
    assert!(matches!(entry.kind(), EntryKind::Directory) || !entry.path().is_root());
}

fn check_path(joined: &[u8]) {
    assert!(!joined.contains(&0) && joined.len() <= 4096);
    let bad = |name: &[u8]| matches!(name, b"" | b"." | b"..") || name.len() > 255;
    assert!(joined.is_empty() || !joined.split(|byte| *byte == b'/').any(bad), "{}", joined.escape_ascii());
}

fn check_body(entry: &Entry, runs: &[Run], policy: &Policy) {
    let len = match entry.kind() {
        EntryKind::File { len } => *len,
        // Images hold such markers: honoured, with an event.
        EntryKind::Whiteout(_) if policy.oddities == Oddities::Tolerate => u64::MAX,
        _ => 0,
    };
    let mut end = 0;
    for run in runs {
        assert!(run.offset >= end && !run.bytes.is_empty());
        end = run.offset + run.bytes.len() as u64;
    }
    assert!(end <= len, "{end} bytes of a file of {len}");
}
