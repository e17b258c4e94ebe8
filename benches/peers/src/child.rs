//! One measured run: a child process, from its start to its end.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// In seconds.
    pub wall: f64,
    /// User and system time, in seconds, with that of the children it waited for.
    pub cpu: f64,
    /// The greatest resident set of any one process, in KiB.
    pub peak: u64,
}

/// Runs a command to its end; what it says goes to the file `log`.
///
/// A program that measured itself says `measured WALL CPU`, and that counts. The peak of a child starts at the resident set of this
/// program (the kernel carries it over `exec`), so this program has to stay small.
///
/// # Errors
/// The last line of what a failing command said.
pub fn timed(command: &mut Command, log: &Path) -> Result<Measured, String> {
    let file = File::create(log).and_then(|out| Ok((out.try_clone()?, out))).map_err(|error| format!("the log: {error}"))?;
    command.stdin(std::process::Stdio::null()).stdout(file.0).stderr(file.1);
    let start = Instant::now();
    #[allow(clippy::zombie_processes, reason = "wait4 waits")]
    let child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let (status, usage) = wait(child.id())?;
    let wall = start.elapsed().as_secs_f64();
    let said = std::fs::read_to_string(log).unwrap_or_default();
    if !(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0) {
        let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
        return Err(format!("status {status:#x}, said: {line}"));
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    let (wall, cpu) = said.lines().find_map(own).unwrap_or((wall, cpu));
    Ok(Measured { wall, cpu, peak: u64::try_from(usage.ru_maxrss).unwrap_or(0) })
}

fn own(line: &str) -> Option<(f64, f64)> {
    let (wall, cpu) = line.strip_prefix("measured ")?.split_once(' ')?;
    Some((wall.parse().ok()?, cpu.parse().ok()?))
}

fn wait(child: u32) -> Result<(libc::c_int, libc::rusage), String> {
    let mut status = 0;
    let pid = libc::pid_t::try_from(child).map_err(|error| error.to_string())?;
    loop {
        // SAFETY: a `rusage` is plain numbers, for which zeros are valid; both pointers are to variables that outlive the call.
        let (waited, usage) = unsafe {
            let mut usage = std::mem::zeroed();
            (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
        };
        match std::io::Error::last_os_error() {
            _ if waited == pid => return Ok((status, usage)),
            error if error.kind() == std::io::ErrorKind::Interrupted => {}
            error => return Err(error.to_string()),
        }
    }
}
