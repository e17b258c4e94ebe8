//! An archive, read by two other crates too: whoever accepts it finds the same entries, but for a list of named differences.
//!
//! ```text
//! input: flags, archive
//! flags: 1 make the checksums right · 2 strict
//! ```

use safe_layers::{Devices, Entry, EntryKind, Expect, Policy, Reason, UnknownTypes};

use super::Accepted;
use super::pass::{Pass, Run, limited};
use super::peers::{Item, Listing, by_tar, by_tar_core};
use super::reader::make_sums_right;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Tar,
    TarCore,
}

/// Differences that are known, each told by an event of the entry, or of the archive: which peer, and what it does.
const ALLOWED: &[(Peer, Reason, &str)] = &[];

pub fn differential(input: &[u8]) -> Accepted {
    let [flags, archive @ ..] = input else { return Accepted::default() };
    let mut archive = archive.to_vec();
    if flags & 1 != 0 {
        make_sums_right(&mut archive);
    }
    let mut policy = limited(if flags & 2 != 0 { Policy::strict() } else { Policy::container() });
    policy.devices = Devices::Create;
    policy.unknown_types = UnknownTypes::Skip;
    let expect = Expect::dangerous_unverified().compression(safe_layers::Compression::None);
    let pass = Pass::take(&archive[..], &expect, &policy);
    if pass.end.is_err() {
        return Accepted::default();
    }
    for (peer, listing) in [(Peer::Tar, by_tar(&archive)), (Peer::TarCore, by_tar_core(&archive))] {
        compare(peer, &pass, listing);
    }
    pass.accepted()
}

fn compare(peer: Peer, pass: &Pass, listing: Listing) {
    let Some(items) = listing else { return };
    for (entry, runs) in &pass.entries {
        let item = usize::try_from(entry.index()).ok().and_then(|index| items.get(index));
        let Some(item) = item else { panic!("{peer:?} does not find {entry:?}") };
        if allowed(peer, pass, Some(entry), item) {
            return;
        }
        let (ours, theirs) = (shown(entry, runs), told(item));
        assert_eq!(ours, theirs, "ours and {peer:?}");
    }
}

fn allowed(peer: Peer, pass: &Pass, entry: Option<&Entry>, item: &Item) -> bool {
    let told = |reason| pass.events.first().iter().any(|event| event.reason == reason && event.location.entry == entry.map(Entry::index));
    item.pax_sparse || ALLOWED.iter().any(|(by, reason, _)| *by == peer && told(*reason))
}

/// What is compared: path, kind, target, size, content.
type Shown = (String, &'static str, String, u64, Vec<u8>);

fn shown(entry: &Entry, runs: &[Run]) -> Shown {
    let (kind, link, size) = match entry.kind() {
        EntryKind::File { len } => ("file", &b""[..], *len),
        EntryKind::Directory => ("directory", &b""[..], 0),
        EntryKind::Symlink(target) => ("symlink", target.as_bytes(), 0),
        EntryKind::Hardlink(target) => ("hardlink", target.as_bytes(), 0),
        EntryKind::Fifo => ("fifo", &b""[..], 0),
        EntryKind::Device(_) => ("device", &b""[..], 0),
        _ => ("marker", &b""[..], 0),
    };
    let mut body = vec![0; size as usize];
    for run in runs.iter().filter(|_| kind == "file") {
        body[run.offset as usize..][..run.bytes.len()].copy_from_slice(&run.bytes);
    }
    (entry.path().as_bytes().escape_ascii().to_string(), kind, link.escape_ascii().to_string(), size, body)
}

fn told(item: &Item) -> Shown {
    let path = clean(&item.path);
    let marker = path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(b".wh."));
    let kind = match item.typeflag {
        b'3' | b'4' => "device",
        _ if marker => "marker",
        0 if item.path.ends_with(b"/") => "directory",
        0 | b'0' | b'7' | b'S' => "file",
        b'1' => "hardlink",
        b'2' => "symlink",
        b'5' => "directory",
        b'6' => "fifo",
        _ => "unknown",
    };
    let link = match kind {
        "hardlink" => clean(&item.link),
        "symlink" => item.link.clone(),
        _ => Vec::new(),
    };
    let (size, body) = if kind == "file" { (item.size, item.body.clone()) } else { (0, Vec::new()) };
    (path.escape_ascii().to_string(), kind, link.escape_ascii().to_string(), size, body)
}

fn clean(raw: &[u8]) -> Vec<u8> {
    raw.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect::<Vec<_>>().join(&b'/')
}
