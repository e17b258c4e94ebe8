//! Imports go one way, and what touches the disk, decodes or reads headers is named in one place each.
//!
//! The tables come first: whoever moves a module edits them. The rest reads the sources as tokens (comments, strings and
//! test-only code left out), expands each `use` and looks up every path.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    missing_docs
)]

use std::fs;
use std::path::Path;

/// Low to high: a module imports those before it.
const ORDER: &[&str] = &[
    "convert", "error", "digest", "limits", "observe", "blob", "archive", "entry", "policy", "layer", "root", "apply", "stage", "unpacker",
    "image",
];

/// Modules, and folders in them, that may import less than the order allows. A path allows itself and what is below it.
const ONLY: &[(&str, &[&str])] = &[
    ("root", &["convert", "error", "limits", "observe", "entry", "archive::Timestamp", "archive::Xattr"]),
    (
        "image",
        &[
            "convert",
            "error",
            "digest",
            "limits",
            "observe::Oddities",
            "blob::Expect",
            "archive",
            "entry",
            "policy::Policy",
            "root::Root",
            "root::Found",
            "unpacker",
        ],
    ),
    // The rules and the walk are those of the tree on disk; nothing that reaches one.
    (
        "image/flatten",
        &[
            "convert",
            "error",
            "limits",
            "observe",
            "blob",
            "archive",
            "entry",
            "policy",
            "layer",
            "root::Kind",
            "root::Looked",
            "root::Reach",
            "root::Resolution",
            "root::Trail",
            "root::Views",
            "root::walk",
            "apply::rules",
            "apply::written::Written",
            "stage::LayerVerified",
        ],
    ),
];

/// Paths that may be named only in files that start so.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("tar", &["archive/header.rs"]),
    ("flate2", &["blob/decode"]),
    ("zstd", &["blob/decode"]),
    ("serde_json", &["image/json.rs"]),
    ("p256", &["image/cosign.rs"]),
    ("base64ct", &["image/cosign.rs"]),
    ("rustix", &["root/", "root.rs"]),
    ("std::fs", &["root/", "root.rs"]),
    ("std::path", &["root/", "root.rs"]),
];

/// Exceptions from [`OUTSIDE`]: the caller's blob, or his archive of an image, comes as an open file.
const EXCEPT: &[(&str, &[&str])] =
    &[("std::fs::File", &["blob/", "unpacker.rs", "image/archive.rs", "image/layout.rs", "image/stretch.rs"])];

/// Files that may name every module: the crate's root.
const ROOT_FILES: &[&str] = &["lib.rs"];

#[test]
fn imports_go_one_way_and_each_crate_is_named_where_it_belongs() {
    let mut files = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), "", &mut files);
    assert!(files.len() > 5, "the sources were not found");
    let found: Vec<_> = files.iter().flat_map(|(file, text)| check(file, text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_checker_finds_what_it_must() {
    #[track_caller]
    fn finds(file: &str, text: &str, expected: &[&str]) {
        assert_eq!(check(file, text), expected);
    }
    finds("digest.rs", "use crate::apply::Step;", &["digest.rs: crate::apply::Step: digest is below apply"]);
    finds("entry/path.rs", "fn f() { crate::root::open() }", &["entry/path.rs: crate::root::open: entry is below root"]);
    finds("entry/path.rs", "use super::super::root::Root;", &["entry/path.rs: crate::root::Root: entry is below root"]);
    finds(
        "root/mod.rs",
        "use crate::{error::Error, policy::{self, Policy}};",
        &["root/mod.rs: crate::policy::self: root may not import it", "root/mod.rs: crate::policy::Policy: root may not import it"],
    );
    finds("root/mod.rs", "use crate::archive::{Timestamp, Parser};", &["root/mod.rs: crate::archive::Parser: root may not import it"]);
    finds("unpacker.rs", "use tar::Header;", &["unpacker.rs: tar::Header belongs elsewhere"]);
    finds("blob/reader.rs", "type T = ::zstd::Decoder;", &["blob/reader.rs: zstd::Decoder belongs elsewhere"]);
    finds(
        "apply/mod.rs",
        "use std::{fmt, fs::{self, File}};",
        &["apply/mod.rs: std::fs::self belongs elsewhere", "apply/mod.rs: std::fs::File belongs elsewhere"],
    );
    finds("blob/mod.rs", "use std::{fs::File, path::Path};", &["blob/mod.rs: std::path::Path belongs elsewhere"]);
    finds("policy.rs", "use crate::Policy;", &["policy.rs: crate::Policy: name the module, not the crate's root"]);
    finds("policy.rs", "use crate::*;", &["policy.rs: crate::*: name the module, not the crate's root"]);
    finds("image/store.rs", "use crate::layer::Sink;", &["image/store.rs: crate::layer::Sink: image may not import it"]);
    finds("image/flatten/tree.rs", "use crate::root::Dir;", &["image/flatten/tree.rs: crate::root::Dir: image/flatten may not import it"]);
    finds("extra/mod.rs", "", &["extra/mod.rs: the module extra has no place in the order"]);
}

#[test]
fn the_checker_leaves_the_rest_alone() {
    let good = r##"
        //! [`crate::unpacker`]
        use crate::error::Error; // crate::unpacker
        /* crate::unpacker /* nested */ tar::Header */
        const A: &str = "crate::unpacker \" tar::x"; const B: &str = r#"tar::x "quoted" "#;
        const C: [char; 2] = ['"', '\'']; fn f<'a>(s: &'a str) -> avatar::tar::X { standard::fs::x() }
        use self::tar::Thing;
"##;
    assert_eq!(check("digest.rs", good), Vec::<String>::new());
    let tests = "use crate::error::Error;\n#[cfg(test)]\nmod tests {\n    use crate::unpacker::Unpacker;\n}\n";
    assert_eq!(check("digest.rs", tests), Vec::<String>::new());
    assert_eq!(check("digest/tests.rs", "use tar::Header;"), Vec::<String>::new());
    assert_eq!(check("archive/tests/pax.rs", "use crate::unpacker::Unpacker;"), Vec::<String>::new());
    assert_eq!(check("root/mod.rs", "use crate::archive::Timestamp; use rustix::fs::openat; use std::fs;"), Vec::<String>::new());
    assert_eq!(check("blob/decode_zstd.rs", "use zstd::Decoder;"), Vec::<String>::new());
    assert_eq!(check("lib.rs", "pub use unpacker::Unpacker; use crate::unpacker;"), Vec::<String>::new());
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else if name.ends_with(".rs") {
            files.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

/// Gives a line for each path in `text` that `file` (relative to `src`) must not name.
fn check(file: &str, text: &str) -> Vec<String> {
    let stem = file.strip_suffix(".rs").unwrap();
    if ROOT_FILES.contains(&file) || stem.split('/').any(|part| part == "tests") {
        return Vec::new();
    }
    let module = stem.split('/').next().unwrap();
    let Some(rank) = rank(module) else { return vec![format!("{file}: the module {module} has no place in the order")] };
    let depth = stem.strip_suffix("/mod").unwrap_or(stem).split('/').count();
    let text = without_test_modules(text);
    let mut found = Vec::new();
    for path in paths(&tokens(&text)) {
        let path = from_crate(path, depth);
        let shown = path.join("::");
        let complaint = match path.first().map(String::as_str) {
            Some("crate") => import_complaint(stem, rank, &path[1..]),
            _ => outside(file, &path).then(|| " belongs elsewhere".to_owned()),
        };
        found.extend(complaint.map(|complaint| format!("{file}: {shown}{complaint}")));
    }
    found
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

/// Rewrites `super::super::x` to `crate::x` where so many `super` reach the crate's root and `x` is a module.
fn from_crate(path: Vec<String>, depth: usize) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    match path.get(ups) {
        Some(next) if ups >= depth && rank(next).is_some() => {
            std::iter::once("crate".to_owned()).chain(path[ups..].iter().cloned()).collect()
        }
        _ => path,
    }
}

fn import_complaint(stem: &str, own: usize, path: &[String]) -> Option<String> {
    let module = stem.split('/').next().unwrap();
    let target = path.first()?;
    let Some(rank) = rank(target) else { return Some(": name the module, not the crate's root".to_owned()) };
    if target == module {
        return None;
    }
    if rank > own {
        return Some(format!(": {module} is below {target}"));
    }
    let holds = |name: &str| stem.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let (name, allowed) = ONLY.iter().filter(|(name, _)| holds(name)).max_by_key(|(name, _)| name.len())?;
    let ok = allowed.iter().any(|allowed| starts_with(path, allowed));
    (!ok).then(|| format!(": {name} may not import it"))
}

fn outside(file: &str, path: &[String]) -> bool {
    let at_home = |homes: &[&str]| homes.iter().any(|home| file.starts_with(home));
    let excepted = EXCEPT.iter().any(|(name, homes)| starts_with(path, name) && at_home(homes));
    !excepted && OUTSIDE.iter().any(|(name, homes)| starts_with(path, name) && !at_home(homes))
}

fn starts_with(path: &[String], prefix: &str) -> bool {
    let prefix: Vec<_> = prefix.split("::").collect();
    path.len() >= prefix.len() && path.iter().zip(&prefix).all(|(part, wanted)| part == wanted)
}

/// Leaves out `#[cfg(test)] mod x { … }` at the top level; rustfmt puts its end at the start of a line.
fn without_test_modules(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let next = lines.next().unwrap_or_default();
            if next.starts_with("mod ") && next.ends_with('{') {
                lines.by_ref().find(|line| *line == "}");
            } else if !next.starts_with("mod ") {
                kept.push_str(next);
            }
        } else {
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}

/// Splits Rust into identifiers, `::` and single characters, without comments, strings and character literals.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if let Some(len) = skipped(rest) {
            len
        } else if first.is_alphanumeric() || first == '_' {
            let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    tokens
}

/// The length of the comment, string or character literal that `rest` starts with.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let prefix = ["", "b", "c"].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or_default();
        after.starts_with('"') || (after.starts_with('r') && after[1..].trim_start_matches('#').starts_with('"'))
    });
    if let Some(prefix) = prefix {
        return Some(prefix.len() + string(&rest[prefix.len()..]));
    }
    let inner = rest.strip_prefix('\'')?;
    if inner.starts_with('\\') {
        return inner[2..].find('\'').map(|end| 1 + 2 + end + 1);
    }
    // A lifetime has no second quote right after its first character.
    let len = inner.chars().next()?.len_utf8();
    inner[len..].starts_with('\'').then_some(1 + len + 1)
}

fn string(rest: &str) -> usize {
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = 1 + hashes + 1;
        return rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len());
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => (),
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Gives every path of two or more parts, groups of a `use` expanded.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = tokens.get(at + 1).is_some_and(|next| next == "::") && is_part(&tokens[at]);
        at = if starts { path(tokens, at, &[], &mut found) } else { at + 1 };
    }
    found
}

/// Reads one path that starts at `at`, adds it (or each path of its group) and gives the place after it.
fn path(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = if tokens[at] == "," { at + 1 } else { path_in_group(tokens, at, &path, found) };
                }
                return at + 1;
            }
            Some(part) if is_part(part) || part == "*" => path.push(part.to_owned()),
            // A turbofish, or the end of a qualified path.
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    at
}

/// As [`path`], and over a renaming (`as x`).
fn path_in_group(tokens: &[String], at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let end = path(tokens, at, prefix, found);
    let after = tokens[end..].iter().position(|token| token == "," || token == "}").unwrap_or(0);
    (end + after).max(at + 1)
}

fn is_part(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
