//! What every part needs: how much to do, the program under test, filesystems of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What fits into a run of all checks.
    Short,
    Full,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub extent: Extent,
}

impl Settings {
    /// Gives the number for this extent.
    pub fn pick(&self, short: u64, full: u64) -> u64 {
        match self.extent {
            Extent::Short => short,
            Extent::Full => full,
        }
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The program `examples/unpack`, built once.
pub fn unpack_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--release", "--example", "unpack", "--message-format=json-render-diagnostics"]);
        let output = build.current_dir(repository()).stderr(Stdio::inherit()).output().expect("cargo");
        assert!(output.status.success(), "examples/unpack does not build");
        let text = String::from_utf8_lossy(&output.stdout);
        let executables = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let program = executables.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
        program.expect("cargo names the program")
    })
}

/// Takes this thread, and those it starts, into a mount namespace of their own: no other sees what is mounted, or keeps it mounted,
/// and it goes with the process. Not without privilege.
pub fn leave_mount_namespace() {
    use rustix::mount::{MountPropagationFlags, mount_change};
    // SAFETY: a namespace of mounts has nothing to do with memory or handles.
    let done = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) };
    if done.is_ok() {
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).expect("mounts of its own");
    }
}

/// A filesystem of its own in an image file, mounted, gone with the value.
pub struct Mounted {
    dir: tempfile::TempDir,
}

impl Mounted {
    /// Makes and mounts an `ext4` or `xfs` image of `megabytes`, or a `tmpfs` of that size. Needs root.
    pub fn new(kind: &str, megabytes: u64) -> Self {
        // In memory: thousands of syncs need not wait for a disk.
        let base = Path::new("/dev/shm");
        let base = if base.is_dir() { base.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("safe-layers-torture-").tempdir_in(base).expect("a temporary directory");
        let mounted = Self { dir };
        std::fs::create_dir(mounted.path()).expect("a mount point");
        if kind == "tmpfs" {
            done(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none"]).arg(mounted.path()));
            return mounted;
        }
        let image = mounted.image();
        std::fs::File::create(&image).and_then(|file| file.set_len(megabytes << 20)).expect("an image");
        done(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
        mounted.mount();
        mounted
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("fs")
    }

    pub fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    pub fn mount(&self) {
        done(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()));
    }

    /// Unmounts, and waits until nobody has it: a child of another thread holds its handles until it runs its program, and a mount
    /// namespace that somebody else made meanwhile holds a copy of every mount.
    pub fn unmount(&self) {
        let began = std::time::Instant::now();
        let wait = || {
            assert!(began.elapsed().as_secs() < 60, "{} is in use", self.path().display());
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        while !Command::new("umount").arg(self.path()).stderr(Stdio::null()).status().expect("umount").success() {
            wait();
        }
        while self.is_held() {
            wait();
        }
    }

    fn is_held(&self) -> bool {
        let devices = std::fs::read_dir("/sys/block").expect("sysfs").flatten();
        let mut files = devices.filter_map(|device| std::fs::read_to_string(device.path().join("loop/backing_file")).ok());
        files.any(|file| Path::new(file.trim_end()) == self.image())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status().ok();
    }
}

/// Runs a command that must succeed.
pub fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
