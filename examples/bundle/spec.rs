//! The image's configuration as that of a container (OCI image-spec `conversion.md`; OCI runtime-spec 1.0 `config.md`).

use std::io;

use safe_layers::image::RunConfig;
use serde_json::{Value, json};

use super::user::User;

/// Where commands are looked for if the image does not say.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What root of the container may: what package managers and daemons that change their user need, nothing over the host.
const CAPABILITIES: [&str; 11] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
];
const MASKED: [&str; 6] = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/sys/firmware"];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Gives `config.json` of a container that runs `command`, or what the image says if that is empty.
pub(crate) fn of(run: &RunConfig, user: &User, command: &[String]) -> io::Result<Value> {
    let command = if command.is_empty() { &run.cmd } else { command };
    let args: Vec<&String> = run.entrypoint.iter().chain(command).collect();
    if args.is_empty() {
        return Err(io::Error::other("the image says nothing to run: give a command"));
    }
    let mut env = run.env.clone();
    if !env.iter().any(|variable| variable.starts_with("PATH=")) {
        env.push(PATH.into());
    }
    let cwd = run.working_dir.as_deref().unwrap_or("/");
    let kinds = ["cgroup", "ipc", "mount", "network", "pid", "uts"];
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.additional },
            "args": args,
            "env": env,
            "cwd": if cwd.starts_with('/') { cwd.to_owned() } else { format!("/{cwd}") },
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs" },
        "hostname": "container",
        "annotations": run.labels,
        "mounts": mounts(),
        "linux": {
            "namespaces": namespaces,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    }))
}

/// The filesystems that OCI runtime-spec `config-linux.md`, *Default Filesystems*, asks for, and what most programs want beside.
fn mounts() -> Vec<Value> {
    let mount = |to: &str, kind: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ]
}

#[cfg(test)]
mod tests {
    use safe_layers::image::{Document, ImageConfig};

    use super::*;

    fn run_config(config: &str) -> RunConfig {
        let text =
            format!(r#"{{"os": "linux", "architecture": "amd64", "rootfs": {{"type": "layers", "diff_ids": []}}, "config": {config}}}"#);
        ImageConfig::parse(&Document::dangerous_unverified("config", text.as_bytes())).unwrap().run().clone()
    }

    #[test]
    fn the_entrypoint_comes_before_the_command_and_another_command_replaces_the_latter() {
        let run = run_config(r#"{"Entrypoint": ["/e", "-x"], "Cmd": ["a"]}"#);
        let args = |command: &[String]| of(&run, &User::default(), command).unwrap()["process"]["args"].clone();
        assert_eq!((args(&[]), args(&["b".into()])), (json!(["/e", "-x", "a"]), json!(["/e", "-x", "b"])));
        assert!(of(&run_config("{}"), &User::default(), &[]).is_err());
    }

    #[test]
    fn what_the_image_does_not_say_has_a_default() {
        let process = |config: &str| of(&run_config(config), &User::default(), &["sh".into()]).unwrap()["process"].clone();
        let silent = process("{}");
        assert_eq!((&silent["cwd"], &silent["env"]), (&json!("/"), &json!([PATH])));
        let said = process(r#"{"WorkingDir": "srv", "Env": ["A=b", "PATH=/x"]}"#);
        assert_eq!((&said["cwd"], &said["env"]), (&json!("/srv"), &json!(["A=b", "PATH=/x"])));
    }
}
