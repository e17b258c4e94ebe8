//! The filesystems that every case runs on: an ext4 and a tmpfs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use super::is_root;

/// `f_type` of statfs (Linux `magic.h`).
const EXT4: i64 = 0xef53;
const TMPFS: i64 = 0x0102_1994;

/// A directory on a filesystem of a known kind.
pub struct Place {
    kind: &'static str,
    dir: PathBuf,
}

impl Place {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind)
    }
}

/// The places there are, found or made once: at least one.
pub fn places() -> &'static [Place] {
    static PLACES: OnceLock<Vec<Place>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let temp = std::env::temp_dir();
        let ext4 = on(EXT4, &temp).or_else(|| mounted("ext4", &temp));
        let tmpfs = on(TMPFS, Path::new("/dev/shm")).or_else(|| on(TMPFS, &temp)).or_else(|| mounted("tmpfs", &temp));
        let found = [("ext4", ext4), ("tmpfs", tmpfs)];
        for (kind, _) in found.iter().filter(|(_, dir)| dir.is_none()) {
            missing(&format!("the cases on {kind}: neither found nor, without root, mounted"));
        }
        let mut places: Vec<_> = found.into_iter().filter_map(|(kind, dir)| dir.map(|dir| Place { kind, dir })).collect();
        if places.is_empty() {
            places.push(Place { kind: "another filesystem", dir: temp });
        }
        places
    })
}

/// Says what is left out; where everything has to be there it is a failure.
#[expect(clippy::explicit_write, reason = "past the capture of the test's output")]
pub fn missing(what: &str) {
    let strict = std::env::var_os("CI").is_some_and(|ci| ci == "true") && is_root();
    assert!(!strict, "with CI=true and as root nothing may be left out: {what}");
    writeln!(std::io::stderr(), "skipped: {what}").unwrap();
}

/// `dir`, if it is on a filesystem of this kind that holds what the cases need.
fn on(magic: i64, dir: &Path) -> Option<PathBuf> {
    let found = rustix::fs::statfs(dir).ok()?.f_type;
    let probe = tempfile::tempdir_in(dir).ok()?;
    let xattrs = rustix::fs::setxattr(probe.path(), "user.k", b"v", rustix::fs::XattrFlags::empty());
    (i128::from(found) == i128::from(magic) && xattrs.is_ok()).then(|| dir.to_path_buf())
}

/// A filesystem of this kind mounted below `temp`, until this process ends, however it ends.
fn mounted(kind: &str, temp: &Path) -> Option<PathBuf> {
    if !is_root() {
        return None;
    }
    let base = tempfile::Builder::new().prefix("safe-layers-fs-").tempdir_in(temp).unwrap().keep();
    let (image, at) = (base.join("image"), base.join("mnt"));
    std::fs::create_dir(&at).unwrap();
    let script = match kind {
        "ext4" => "truncate -s 1G \"$1\" && mkfs.ext4 -q -F -I 256 \"$1\" && mount -o loop \"$1\" \"$2\"",
        _ => "mount -t tmpfs none \"$2\"",
    };
    let done = Command::new("sh").args(["-c", script, "sh"]).args([&image, &at]).status();
    let magic = if kind == "ext4" { EXT4 } else { TMPFS };
    let ready = done.is_ok_and(|status| status.success()).then(|| on(magic, &at)).flatten();
    unmount_at_exit(&base, &at);
    ready
}

/// Leaves it to a process that waits for the end of this one: then nobody writes to it any more.
fn unmount_at_exit(base: &Path, at: &Path) {
    static WATCHERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let script = "read -r _; umount -l \"$2\"; rm -rf -- \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).args([base, at]).current_dir("/").stdin(Stdio::piped());
    let watcher = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    WATCHERS.lock().unwrap().push(watcher);
}

/// A filesystem of its own at a directory, gone with the value.
pub struct Mounted(PathBuf);

impl Mounted {
    /// None where not even root may mount.
    pub fn new(kind: &str, at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", kind, "none"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.into()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().unwrap();
    }
}
