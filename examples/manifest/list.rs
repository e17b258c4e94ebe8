//! One line for each path of a tree: the path, then `key=value` for each thing compared, separated by tabs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use safe_layers::{Algorithm, Digest, Hasher};

/// Lists the tree below `dir`, the directory itself as `.`, sorted by path.
pub(crate) fn list(dir: &Path, out: &mut dyn Write) -> io::Result<()> {
    let mut paths = BTreeMap::new();
    walk(dir, PathBuf::new(), &mut paths)?;
    let mut groups = BTreeMap::new();
    for (name, metadata) in paths.values() {
        // The first name in order stands for the inode.
        groups.entry((metadata.dev(), metadata.ino())).or_insert_with(|| name.clone());
    }
    for (path, (name, metadata)) in &paths {
        write!(out, "{name}")?;
        for (key, value) in fields(&dir.join(path), metadata, &groups)? {
            write!(out, "\t{key}={value}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn walk(root: &Path, path: PathBuf, paths: &mut BTreeMap<PathBuf, (String, Metadata)>) -> io::Result<()> {
    let full = root.join(&path);
    let metadata = fs::symlink_metadata(&full)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(&full)? {
            walk(root, path.join(entry?.file_name()), paths)?;
        }
    }
    let name = if path.as_os_str().is_empty() { ".".to_owned() } else { escape(path.as_os_str().as_bytes()) };
    paths.insert(path, (name, metadata));
    Ok(())
}

type Groups = BTreeMap<(u64, u64), String>;

fn fields(full: &Path, metadata: &Metadata, groups: &Groups) -> io::Result<Vec<(&'static str, String)>> {
    let kind = metadata.file_type();
    let mut fields = vec![
        ("mode", format!("{:04o}", metadata.mode() & 0o7777)),
        ("uid", metadata.uid().to_string()),
        ("gid", metadata.gid().to_string()),
        ("nlink", metadata.nlink().to_string()),
        ("mtime", format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec())),
    ];
    let name = if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        fields.push(("target", escape(fs::read_link(full)?.as_os_str().as_bytes())));
        "symlink"
    } else if kind.is_file() {
        fields.push(("size", metadata.len().to_string()));
        fields.push(("sha256", sha256(full)?.to_string()));
        "file"
    } else if kind.is_fifo() {
        "fifo"
    } else {
        fields.push(("rdev", metadata.rdev().to_string()));
        "device"
    };
    if !kind.is_dir() && metadata.nlink() > 1 {
        fields.push(("same", groups.get(&(metadata.dev(), metadata.ino())).cloned().unwrap_or_default()));
    }
    if kind.is_dir() || kind.is_file() {
        fields.push(("xattrs", xattrs(full)?));
    }
    fields.insert(0, ("type", name.to_owned()));
    Ok(fields)
}

fn sha256(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            len => hasher.update(buffer.get(..len).unwrap_or_default()),
        }
    }
}

/// Names and values, sorted. Longer ones than Linux allows do not exist, so one buffer fits.
fn xattrs(path: &Path) -> io::Result<String> {
    let mut names = vec![0; 1 << 16];
    let len = rustix::fs::llistxattr(path, names.as_mut_slice())?;
    let mut shown = BTreeSet::new();
    for name in names.get(..len).unwrap_or_default().split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 1 << 16];
        let len = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice())?;
        shown.insert(format!("{}:{}", escape(name), escape(value.get(..len).unwrap_or_default())));
    }
    Ok(shown.into_iter().collect::<Vec<_>>().join(","))
}

/// Writes bytes so that no two differ only invisibly: all but printable ASCII, and the backslash, as `\xHH`.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' | 0..=b' ' | 0x7f.. => text.push_str(&format!("\\x{byte:02x}")),
            _ => text.push(char::from(*byte)),
        }
    }
    text
}

/// Gives the names of an archive's entries, one a line as `tar -t --quoting-style=literal` prints them, in the form of the list.
pub(crate) fn clean_names(listing: &[u8]) -> BTreeSet<String> {
    let clean = |line: &[u8]| {
        let parts = line.split(|byte| *byte == b'/').filter(|part| !matches!(part, [] | [b'.']));
        let name = parts.map(escape).collect::<Vec<_>>().join("/");
        if name.is_empty() { ".".to_owned() } else { name }
    };
    listing.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(clean).collect()
}
