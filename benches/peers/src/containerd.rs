//! A containerd of its own for one run. It serves nobody else and is stopped by its id.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::Measured;

/// What ctr is told before the name of an archive.
pub const IMPORT: [&str; 4] = ["images", "import", "--base-name", "example/peers"];
/// Where the tree appears below the root: the only snapshot there is.
pub const TREE: &str = "io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs";
/// Longest wait for it to answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Daemon {
    process: Child,
    socket: PathBuf,
    /// What it took to start.
    before: Measured,
}

impl Daemon {
    /// Starts one that keeps all it has in `root`; its state and socket are in `work`.
    pub fn start(root: &Path, work: &Path) -> Result<Self, String> {
        let socket = work.join("socket");
        let config = work.join("containerd.toml");
        std::fs::write(&config, configuration(root, work)).map_err(|error| error.to_string())?;
        let log = std::fs::File::create(work.join("containerd.log")).map_err(|error| error.to_string())?;
        // It ends with this program, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "containerd", "--config"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().map_err(|error| format!("containerd: {error}"))?;
        let mut daemon = Self { process, socket, before: Measured::default() };
        let began = Instant::now();
        while !daemon.answers() {
            if began.elapsed() > PATIENCE || daemon.process.try_wait().is_ok_and(|status| status.is_some()) {
                return Err("containerd does not start".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        daemon.before = daemon.usage();
        Ok(daemon)
    }

    pub fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket);
        command
    }

    fn answers(&self) -> bool {
        self.ctr().arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Adds what it took since it answered to what its client took: the daemon does the work.
    pub fn add_to(&self, client: Measured) -> Measured {
        let now = self.usage();
        Measured { wall: client.wall, cpu: client.cpu + now.cpu - self.before.cpu, peak: client.peak.max(now.peak) }
    }

    fn usage(&self) -> Measured {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).unwrap_or_default();
        // utime, stime and those of its children: fields 14 to 17 of proc_pid_stat(5), counted behind the name.
        let stat = read("stat");
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: f64 = fields.skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
        let status = read("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        Measured { wall: 0.0, cpu: ticks / hertz, peak: peak.unwrap_or(0) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), rustix::process::Signal::TERM).ok();
        self.process.wait().ok();
    }
}

/// Only what unpacking needs; nothing collects garbage.
fn configuration(root: &Path, work: &Path) -> String {
    let (root, work) = (root.display(), work.display());
    format!(
        r#"version = 2
root = "{root}"
state = "{work}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{work}/socket"
[ttrpc]
  address = "{work}/ttrpc"
[plugins."io.containerd.gc.v1.scheduler"]
  startup_delay = "24h"
  deletion_threshold = 0
  mutation_threshold = 1000000000
"#
    )
}
