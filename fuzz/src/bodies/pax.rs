//! Any bytes as the payload of a PAX header, in an archive that is right otherwise.
//!
//! ```text
//! input: flags, payload
//! flags: 1 the payload is records without their lengths, cut at 0x1e · 6 file, symlink, hardlink, directory · 8 whiteout
//!        16 a global header · 224 size of the reads
//! ```

use safe_layers::{EntryKind, EntryPath, Expect, Policy};

use super::Accepted;
use super::pass::{limited, whole_and_cut};
use super::tar::{BLOCK, Header, end, push, with_len};

/// A body that is also a map of the sparse format 1.0: one segment of a block at 0.
fn body() -> Vec<u8> {
    let mut body = b"1\n0\n512\n".to_vec();
    body.resize(BLOCK, 0);
    body.resize(2 * BLOCK, b'd');
    body
}

pub fn pax(input: &[u8]) -> Accepted {
    let [flags, payload @ ..] = input else { return Accepted::default() };
    let with_lens = payload.split(|byte| *byte == 0x1e).map(with_len).collect::<Vec<_>>().concat();
    let payload = if flags & 1 != 0 { with_lens.as_slice() } else { payload };
    let (typeflag, link) = [(b'0', ""), (b'2', "target"), (b'1', "target"), (b'5', "")][usize::from(flags >> 1 & 3)];
    let name: &[u8] = if flags & 8 != 0 { b"d/.wh.name" } else { b"d/name" };
    let mut archive = Vec::new();
    push(&mut archive, Header::of(if flags & 16 != 0 { b'g' } else { b'x' }, b"x"), payload);
    let header = Header { link: link.as_bytes(), ..Header::of(typeflag, name) };
    let body = if typeflag == b'0' && flags & 8 == 0 { body() } else { Vec::new() };
    push(&mut archive, header, &body);
    push(&mut archive, Header::of(b'0', b"last"), b"last");
    end(&mut archive);

    let mut accepted = Accepted::default();
    for policy in [limited(Policy::strict()), limited(Policy::container())] {
        let pass = whole_and_cut(&archive, &[1 + 37 * usize::from(flags >> 5)], &Expect::dangerous_unverified(), &policy);
        accepted.add(pass.accepted());
        if pass.end.is_err() {
            continue;
        }
        let last = pass.entries.last().map(|(entry, _)| entry.path().as_bytes());
        assert_eq!(last, Some(&b"last"[..]), "records reached into the next entry");
        let Some((entry, _)) = pass.entries.first().filter(|(entry, _)| entry.index() == 0) else { continue };
        if flags & 16 != 0 {
            assert_eq!((entry.path().as_bytes(), entry.metadata().xattrs.len()), (name, 0), "a global header changed an entry");
            continue;
        }
        let records = read(payload);
        let value = |key: &[u8]| records.iter().rev().find(|(k, _)| *k == key).map(|(_, value)| *value);
        if records.iter().any(|(key, _)| key.starts_with(b"GNU.sparse.")) {
            continue;
        }
        let path = value(b"path").filter(|value| !value.is_empty()).unwrap_or(name);
        assert_eq!(entry.path(), &EntryPath::parse(path, policy.absolute_names, &policy.limits).unwrap());
        if let EntryKind::Symlink(target) = entry.kind() {
            assert_eq!(target.as_bytes(), value(b"linkpath").filter(|value| !value.is_empty()).unwrap_or(b"target"));
        }
        if records.iter().any(|(key, _)| key.starts_with(b"LIBARCHIVE.xattr.")) {
            continue;
        }
        for xattr in &entry.metadata().xattrs {
            assert_eq!(value(&[b"SCHILY.xattr.", &xattr.name[..]].concat()), Some(&xattr.value[..]), "{xattr:?}");
        }
    }
    accepted
}

/// Reads records of an accepted header: by their lengths, which are right.
fn read(mut payload: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut records = Vec::new();
    while let Some(space) = payload.iter().position(|byte| *byte == b' ') {
        let len = std::str::from_utf8(&payload[..space]).unwrap().parse::<usize>().unwrap();
        let text = &payload[space + 1..len - 1];
        let equals = text.iter().position(|byte| *byte == b'=').unwrap();
        records.push((&text[..equals], &text[equals + 1..]));
        payload = &payload[len..];
    }
    records
}
