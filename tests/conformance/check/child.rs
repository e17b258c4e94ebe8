//! Tests that need a process of their own: its umask, its user.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// Where the process may write.
const CHILD_DIR: &str = "SAFE_LAYERS_TEST_CHILD_DIR";

/// Who runs it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum User {
    Same,
    Nobody,
}

/// Runs one test of this program in a process of its own, which must say [`done`].
#[track_caller]
pub fn in_a_child(test: &str, variables: &[(&str, &str)], user: User) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let work = dir.path().join("work");
    fs::create_dir(&work).unwrap();
    let mut program = std::env::current_exe().unwrap();
    if user == User::Nobody {
        // The program may stand where others cannot enter.
        program = dir.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        std::os::unix::fs::chown(&work, Some(65534), Some(65534)).unwrap();
    }
    let mut command = Command::new(&program);
    command.args(["--exact", test, "--nocapture"]).env(CHILD_DIR, &work).envs(variables.iter().copied()).current_dir("/");
    if user == User::Nobody {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed") && said.contains(DONE), "{said}");
}

const DONE: &str = "the child is done";

/// Says that the child got to its end.
pub fn done() {
    eprintln!("{DONE}");
}

/// Where this process may write, if it is one that [`in_a_child`] started.
pub fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}
