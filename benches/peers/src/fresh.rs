//! Filesystems that nobody has written to: each run gets one.
//!
//! On ext4 a tree that is removed and unpacked again costs many times more: the kernel walks what was just deleted.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Its size; of the image, only what is written takes memory.
const MEGABYTES: u64 = 12 << 10;
/// Longest wait for the kernel to let go of a filesystem.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    Ext4,
    Tmpfs,
}

impl Filesystem {
    pub const ALL: [Self; 2] = [Self::Ext4, Self::Tmpfs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Tmpfs => "tmpfs",
        }
    }
}

/// A mounted filesystem, gone with the value.
pub struct Fresh {
    dir: tempfile::TempDir,
}

impl Fresh {
    /// Makes and mounts one, the image of an ext4 in `images`.
    pub fn new(filesystem: Filesystem, images: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("safe-layers-peers-").tempdir_in(images).expect("a temporary directory");
        let fresh = Self { dir };
        std::fs::create_dir(fresh.path()).expect("a mount point");
        match filesystem {
            Filesystem::Tmpfs => {
                let options = format!("size={MEGABYTES}m,mode=755");
                done(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(fresh.path()));
            }
            Filesystem::Ext4 => {
                std::fs::File::create(fresh.image()).and_then(|file| file.set_len(MEGABYTES << 20)).expect("an image");
                // Nothing is left for a thread of the kernel to initialise while something is measured.
                done(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]).arg(fresh.image()));
                done(Command::new("mount").args(["-o", "loop"]).arg(fresh.image()).arg(fresh.path()));
                // The loop device has it. So nothing large is left behind, whatever ends this program.
                std::fs::remove_file(fresh.image()).expect("the image");
            }
        }
        rustix::fs::sync();
        fresh
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("fs")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Whether a loop device still has the image.
    fn is_held(&self) -> bool {
        let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let mut files = devices.filter_map(|device| std::fs::read_to_string(device.path().join("loop/backing_file")).ok());
        files.any(|file| Path::new(file.trim_end().trim_end_matches(" (deleted)")) == self.image())
    }
}

impl Drop for Fresh {
    /// Waits until all of it is gone, so that its end does not weigh on the next run.
    fn drop(&mut self) {
        let began = Instant::now();
        let unmounted = || Command::new("umount").arg(self.path()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        while began.elapsed() < PATIENCE && !unmounted() {
            std::thread::sleep(Duration::from_millis(20));
        }
        while began.elapsed() < PATIENCE && self.is_held() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Takes this process and its children into a mount namespace of their own: what is mounted goes with them, however they end.
pub fn leave_mount_namespace() {
    use rustix::mount::{MountPropagationFlags, mount_change};
    let namespace = rustix::thread::UnshareFlags::NEWNS;
    // SAFETY: a namespace of mounts has nothing to do with memory or handles.
    unsafe { rustix::thread::unshare_unsafe(namespace) }.expect("a mount namespace (run as root)");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("mounts of its own");
}

/// Runs a command that must succeed.
pub fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
