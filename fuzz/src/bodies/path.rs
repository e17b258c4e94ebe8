//! Names and targets against models of a few lines.
//!
//! ```text
//! input: flags, name, NUL, target
//! flags: 1 absolute names are stripped · 2 small limits · 12 symlink, hardlink, file, symlink
//! ```

use safe_layers::{AbsoluteNames, EntryKind, EntryPath, ErrorKind, Expect, Limits, Policy};

use super::Accepted;
use super::pass::Pass;
use super::tar::{Header, end, push, record};

pub fn path(input: &[u8]) -> Accepted {
    let [flags, rest @ ..] = input else { return Accepted::default() };
    let absolute = if flags & 1 != 0 { AbsoluteNames::Strip } else { AbsoluteNames::Reject };
    let mut limits = Limits::default();
    if flags & 2 != 0 {
        (limits.path_bytes, limits.depth) = (20, 4);
    }
    // The NULs too.
    let parsed = EntryPath::parse(rest, absolute, &limits);
    assert_eq!(parsed.map(|path| path.as_bytes().to_vec()).map_err(|e| e.kind()), model(rest, absolute, &limits));

    let (name, target) = match rest.iter().position(|byte| *byte == 0) {
        Some(nul) => (&rest[..nul], &rest[nul + 1..]),
        None => (rest, &b"target"[..]),
    };
    let parsed = EntryPath::parse(name, absolute, &limits);
    assert_eq!(parsed.map(|path| path.as_bytes().to_vec()).map_err(|e| e.kind()), model(name, absolute, &limits));
    if let Ok(path) = EntryPath::parse(name, absolute, &limits) {
        check_last(&path);
    }
    in_an_entry(*flags, name, target, absolute, &limits)
}

/// A path is its parent and its name again, and neither shows what a terminal would obey.
fn check_last(path: &EntryPath) {
    let Some((parent, last)) = path.split_last() else {
        assert!(path.is_root());
        return;
    };
    let joined = [parent.as_bytes(), last.as_bytes()].join(&b'/');
    assert_eq!(path.as_bytes(), if parent.is_root() { last.as_bytes() } else { &joined });
    let shown = format!("{path:?} {last:?}");
    assert!(!shown.chars().any(char::is_control), "{}", shown.escape_debug());
}

/// What becomes of a name, read component by component; the gravest fault is named.
fn model(raw: &[u8], absolute: AbsoluteNames, limits: &Limits) -> Result<Vec<u8>, ErrorKind> {
    let mut names = vec![Vec::new()];
    for byte in raw {
        match (byte, names.last_mut()) {
            (b'/', _) => names.push(Vec::new()),
            (_, Some(name)) => name.push(*byte),
            (_, None) => {}
        }
    }
    names.retain(|name| !name.is_empty() && name != b".");
    let joined = names.join(&b'/');
    let faults = [
        (raw.contains(&0), ErrorKind::InvalidName),
        (names.iter().any(|name| name == b".."), ErrorKind::PathTraversal),
        (names.len() as u64 > limits.depth, ErrorKind::LimitExceeded),
        (names.iter().any(|name| name.len() > 255), ErrorKind::NameTooLong),
        (joined.len() as u64 > limits.path_bytes, ErrorKind::NameTooLong),
        (absolute == AbsoluteNames::Reject && raw.starts_with(b"/") && !names.is_empty(), ErrorKind::AbsolutePath),
    ];
    faults.iter().find(|(there, _)| *there).map_or(Ok(joined), |(_, kind)| Err(*kind))
}

/// Whether a target leaves the root by its text: a walk that goes below level 0.
fn model_escapes(link: &[u8], target: &[u8]) -> bool {
    let mut level = link.iter().filter(|byte| **byte == b'/').count() as i64;
    let mut lowest = level;
    for name in target.split(|byte| *byte == b'/') {
        level += match name {
            b"" | b"." => 0,
            b".." => -1,
            _ => 1,
        };
        lowest = lowest.min(level);
    }
    target.starts_with(b"/") || lowest < 0
}

/// The same name and target in an archive.
fn in_an_entry(flags: u8, name: &[u8], target: &[u8], absolute: AbsoluteNames, limits: &Limits) -> Accepted {
    // An empty value would unset the key.
    if name.is_empty() || target.is_empty() {
        return Accepted::default();
    }
    let typeflag = [b'2', b'1', b'0', b'2'][usize::from(flags >> 2 & 3)];
    let mut records = [record(b"path", name), record(b"SCHILY.xattr.user.x", b"value")].concat();
    if typeflag != b'0' {
        records.extend(record(b"linkpath", target));
    }
    let mut archive = Vec::new();
    push(&mut archive, Header::of(b'x', b"x"), &records);
    push(&mut archive, Header::of(typeflag, b"short"), b"");
    end(&mut archive);

    let mut accepted = Accepted::default();
    for mut policy in [Policy::strict(), Policy::container()] {
        policy.absolute_names = absolute;
        policy.limits = limits.clone();
        let strict = policy.symlinks == Policy::strict().symlinks;
        let pass = Pass::take(archive.as_slice(), &Expect::dangerous_unverified(), &policy);
        let kind = pass.end.as_ref().map(drop).map_err(|error| error.kind());
        let clean = match model(name, absolute, limits) {
            _ if typeflag != b'0' && target.contains(&0) => {
                assert_eq!(kind, Err(ErrorKind::InvalidLinkTarget));
                continue;
            }
            Ok(clean) if clean.is_empty() => {
                assert_eq!(kind, Err(ErrorKind::RootReplaced));
                continue;
            }
            Err(fault) => {
                assert_eq!(kind, Err(fault));
                continue;
            }
            Ok(clean) => clean,
        };
        accepted.add(pass.accepted());
        // Markers have rules of their own, and so has a trailing slash.
        let marker = |path: &[u8]| path.split(|byte| *byte == b'/').any(|name| name.starts_with(b".wh."));
        if marker(&clean) || name.ends_with(b"/") {
            continue;
        }
        let judged = match typeflag {
            b'2' if target.len() as u64 > limits.link_bytes => Err(ErrorKind::LimitExceeded),
            b'2' if strict && model_escapes(&clean, target) => Err(ErrorKind::SymlinkEscape),
            // Of a target that starts with `/`, the root itself is no exception.
            b'1' => match model(target, AbsoluteNames::Strip, limits) {
                Err(ErrorKind::PathTraversal) => Err(ErrorKind::HardlinkEscape),
                Err(fault) => Err(fault),
                Ok(_) if absolute == AbsoluteNames::Reject && target.starts_with(b"/") => Err(ErrorKind::HardlinkEscape),
                Ok(target) if target.is_empty() => Err(ErrorKind::HardlinkToSpecial),
                Ok(target) if marker(&target) => Err(ErrorKind::InvalidWhiteout),
                Ok(_) => Ok(()),
            },
            _ => Ok(()),
        };
        // Attributes of a symlink are none that may be set: dropped by both policies.
        assert_eq!(kind, judged, "{} -> {}", name.escape_ascii(), target.escape_ascii());
        for (entry, _) in &pass.entries {
            assert_eq!(entry.path().as_bytes(), clean);
            if let EntryKind::Symlink(kept) = entry.kind() {
                assert_eq!(kept.as_bytes(), target);
                assert_eq!(kept.escapes_from(entry.path()), model_escapes(&clean, target));
            }
        }
    }
    accepted
}
