//! Which system calls name something outside, by strace. What is not known to be harmless is a violation.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cases::Place;

/// What is traced: every call that takes a name, and those that change, move or reach something by handle or otherwise.
const TRACED: &str = "trace=%file,%network,fchmod,fchown,fsetxattr,fremovexattr,ftruncate,fallocate,copy_file_range,sendfile,splice,\
    fchdir,setns,unshare,open_by_handle_at,name_to_handle_at,fork,vfork,clone,clone3,ptrace,kill,fcntl,dup,dup2,dup3";

/// What the loader and the standard library read of every program. The last is read by `malloc` of glibc where a thread gives memory
/// back.
const SYSTEM_FILES: [&str; 6] =
    ["/etc/ld.so.cache", "/etc/ld.so.preload", "/proc/self/maps", "/dev/null", "/proc/self/fd", "/proc/sys/vm/overcommit_memory"];
const SYSTEM_DIRS: [&str; 4] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"];

/// What a child may name.
pub struct Allowed {
    pub parent: String,
    pub layers: Vec<PathBuf>,
}

/// The words that run `words` traced.
pub fn words(trace: &Path, words: &[OsString]) -> Vec<OsString> {
    let mut all: Vec<OsString> =
        ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-s", "64", "-e", "signal=none", "-e", TRACED, "-o"].map(OsString::from).to_vec();
    all.push(trace.into());
    all.push("--".into());
    all.extend_from_slice(words);
    all
}

/// The calls that were judged, and those that are violations.
pub fn judge(trace: &str, allowed: &Allowed) -> (u64, Vec<String>) {
    let mut judge = Judge { allowed, handles: BTreeMap::new(), started: false };
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    let (mut calls, mut wrong) = (0, Vec::new());
    for line in trace.lines() {
        let (pid, text) = line.trim_start().split_once(' ').unwrap_or((line, ""));
        let text = text.trim_start();
        if let Some(text) = text.strip_suffix("<unfinished ...>") {
            begun.insert(pid, text.to_owned());
            continue;
        }
        let whole = match text.strip_prefix("<... ").and_then(|text| text.split_once(" resumed>")) {
            Some((_, rest)) => begun.remove(pid).unwrap_or_default() + rest,
            None => text.to_owned(),
        };
        calls += 1;
        let judged = Call::parse(&whole).ok_or("not understood").and_then(|call| judge.call(&call));
        if let Err(why) = judged {
            wrong.push(format!("{why}: {}", whole.chars().take(300).collect::<String>()));
        }
    }
    (calls, wrong)
}

/// A call as strace prints it.
struct Call<'t> {
    name: &'t str,
    arguments: Vec<&'t str>,
    result: &'t str,
}

impl<'t> Call<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        let (mut arguments, mut from, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0_i32, false, false);
        for (at, c) in rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                ')' if depth == 0 => {
                    arguments.push(rest[from..at].trim());
                    let result = rest[at + 1..].trim_start().strip_prefix('=')?.trim();
                    return Some(Self { name, arguments, result });
                }
                ',' if depth == 0 => {
                    arguments.push(rest[from..at].trim());
                    from = at + 1;
                }
                '{' | '[' | '(' | '<' => depth += 1,
                // Also the end of `=>`, which begins nothing.
                '}' | ']' | ')' | '>' => depth = (depth - 1).max(0),
                _ => {}
            }
        }
        None
    }

    fn argument(&self, at: usize) -> &'t str {
        self.arguments.get(at).copied().unwrap_or_default()
    }

    /// A name in quotes; empty for none, as for NULL.
    fn name_at(&self, at: usize) -> &'t str {
        self.argument(at).strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or_default()
    }

    fn says(&self, word: &str) -> bool {
        self.arguments.iter().any(|argument| {
            !argument.starts_with('"') && argument.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|part| part == word)
        })
    }

    fn opens_for_writing(&self) -> bool {
        self.name == "creat" || ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| self.says(flag))
    }
}

fn decorated(text: &str) -> Option<(&str, &str)> {
    let (number, path) = text.split_once('<')?;
    let path = path.strip_suffix('>').or_else(|| path.strip_suffix(">(deleted)"))?;
    Some((number, path.strip_suffix(" (deleted)").unwrap_or(path)))
}

struct Judge<'a> {
    allowed: &'a Allowed,
    /// The path of each open handle.
    handles: BTreeMap<String, String>,
    started: bool,
}

type Verdict = Result<(), &'static str>;

impl Judge<'_> {
    fn call(&mut self, call: &Call<'_>) -> Verdict {
        let verdict = match call.name {
            "execve" if !std::mem::replace(&mut self.started, true) => Ok(()),
            "open" | "creat" => self.opening(call, None, call.name_at(0)),
            "openat" | "openat2" => self.opening(call, Some(&self.handle(call, 0)), call.name_at(1)),
            "mkdirat" | "mknodat" | "unlinkat" => self.change(call, 0, 1),
            "symlinkat" => self.change(call, 1, 2),
            "renameat" | "renameat2" => self.change(call, 0, 1).and_then(|()| self.change(call, 2, 3)),
            "linkat" if !call.says("AT_SYMLINK_FOLLOW") => self.change(call, 0, 1).and_then(|()| self.change(call, 2, 3)),
            "fchownat" | "utimensat" if call.says("AT_SYMLINK_NOFOLLOW") => self.change(call, 0, 1),
            "fchownat" | "utimensat" if call.says("AT_EMPTY_PATH") && call.argument(1) == "\"\"" => self.inside(&self.handle(call, 0)),
            "utimensat" if call.argument(1) == "NULL" => self.inside(&self.handle(call, 0)),
            "fchmod" | "fchown" | "fsetxattr" | "fremovexattr" | "ftruncate" | "fallocate" => self.inside(&self.handle(call, 0)),
            "fchmodat" => self.through_proc(&self.handle(call, 0), call.name_at(1)),
            "setxattr" | "removexattr" => self.through_proc("", call.name_at(0)),
            "newfstatat" | "statx" | "readlinkat" | "faccessat" | "faccessat2" => self.look(&self.handle(call, 0), call.name_at(1)),
            "access" | "readlink" | "statfs" => self.look("", call.name_at(0)),
            "clone" | "clone3" if call.says("CLONE_THREAD") => Ok(()),
            "fcntl" | "dup" | "dup2" | "dup3" => Ok(()),
            _ => Err("a call that is not on the list"),
        };
        match decorated(call.result) {
            Some((number, path)) => drop(self.handles.insert(number.to_owned(), path.to_owned())),
            None => self.opened_without_a_path(call, verdict),
        }
        verdict
    }

    /// strace shows no path that is longer than PATH_MAX: one that was opened below the destination, as it has to be, is below it.
    fn opened_without_a_path(&mut self, call: &Call<'_>, verdict: Verdict) {
        let is_handle = call.name.starts_with("openat") && !call.result.is_empty() && call.result.bytes().all(|byte| byte.is_ascii_digit());
        let dir = self.handle(call, 0);
        if is_handle && verdict.is_ok() && self.is_inside(&dir) {
            self.handles.insert(call.result.to_owned(), dir);
        }
    }

    /// The path of a handle, or of the one that it was opened in where strace shows none.
    fn handle(&self, call: &Call<'_>, at: usize) -> String {
        match decorated(call.argument(at)) {
            Some((_, path)) => path.to_owned(),
            None => self.handles.get(call.argument(at)).cloned().unwrap_or_default(),
        }
    }

    /// In the destination or its staging directory, by whatever way it was reached.
    fn is_inside(&self, path: &str) -> bool {
        let below = path.strip_prefix(&self.allowed.parent).and_then(|path| path.strip_prefix('/'));
        let first = below.and_then(|path| path.split('/').next()).unwrap_or_default();
        is_own(first) && !path.split('/').any(|part| part == "..")
    }

    fn inside(&self, path: &str) -> Verdict {
        if self.is_inside(path) { Ok(()) } else { Err("changes something outside") }
    }

    /// A change takes a handle and one name, so that no link on the way is followed.
    fn change(&self, call: &Call<'_>, dir: usize, name: usize) -> Verdict {
        let (dir, name) = (self.handle(call, dir), call.name_at(name));
        let one_name = !name.contains('/') && !["", ".", ".."].contains(&name);
        match one_name && (self.is_inside(&dir) || dir == self.allowed.parent && is_own(name)) {
            true => Ok(()),
            false => Err("changes something outside, or by a path"),
        }
    }

    /// `/proc/self/fd/N` stands for a handle.
    fn through_proc(&self, dir: &str, name: &str) -> Verdict {
        let in_proc = dir.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/fd")).is_some();
        let number = if in_proc { Some(name) } else { name.strip_prefix("/proc/self/fd/") };
        self.inside(number.and_then(|number| self.handles.get(number)).map_or("", String::as_str))
    }

    fn opening(&self, call: &Call<'_>, dir: Option<&str>, name: &str) -> Verdict {
        let opened = decorated(call.result).map(|(_, path)| path);
        if dir.is_some_and(|dir| self.is_inside(dir)) && !name.starts_with('/') {
            let bounded = call.says("RESOLVE_IN_ROOT") || call.says("RESOLVE_BENEATH");
            let one_name = !name.contains('/') && name != ".." && call.says("O_NOFOLLOW");
            return match (bounded || one_name) && opened.is_none_or(|path| self.is_inside(path)) {
                true => Ok(()),
                false => Err("opens something outside"),
            };
        }
        let own = dir == Some(self.allowed.parent.as_str()) && is_own(name) && call.says("O_NOFOLLOW");
        if own || self.is_inside(name) && name == format!("{}/dest", self.allowed.parent) {
            return if opened.is_none_or(|path| self.is_inside(path)) { Ok(()) } else { Err("opens something outside") };
        }
        let parent = dir == Some(self.allowed.parent.as_str()) && name == "." || name.trim_end_matches('/') == self.allowed.parent;
        if !call.opens_for_writing() && (parent && call.says("O_DIRECTORY") || self.is_input(name)) {
            return Ok(());
        }
        Err("opens something outside")
    }

    fn is_input(&self, name: &str) -> bool {
        let layer = self.allowed.layers.iter().any(|layer| layer.to_str() == Some(name));
        layer
            || SYSTEM_FILES.contains(&name)
            || SYSTEM_DIRS.iter().any(|dir| name.starts_with(dir))
            || name.starts_with("/proc/self/fdinfo/")
    }

    /// Looking at what stands at a name, or at an open handle.
    fn look(&self, dir: &str, name: &str) -> Verdict {
        let held = name.is_empty() && !dir.is_empty();
        let near = (self.is_inside(dir) || dir == self.allowed.parent) && !name.contains('/') && name != "..";
        if held || near || self.is_input(name) { Ok(()) } else { Err("looks at something outside") }
    }
}

/// Calls of a child whose parent is `/w`, each of which is a violation.
pub const PLANTED: &[&str] = &[
    r#"mkdirat(4</w/dest/a>, "b/c", 0700) = 0"#,
    r#"mkdirat(4</w/dest/a>, "..", 0700) = -1 EEXIST (File exists)"#,
    r#"mkdirat(4</w>, "dest-evil", 0700) = 0"#,
    r#"mkdirat(4</w>, ".dest.safe-layers-0123", 0700) = 0"#,
    r#"unlinkat(4</w/canary>, "file", 0) = 0"#,
    r#"symlinkat("x", 4</w/dest-evil>, "x") = 0"#,
    r#"renameat2(4</w/dest>, "a", 5</w>, "b", RENAME_NOREPLACE) = 0"#,
    r#"linkat(4</w/dest>, "l", 4</w/dest>, "h", AT_SYMLINK_FOLLOW) = 0"#,
    r#"linkat(5</w/canary>, "file", 4</w/dest>, "h", 0) = 0"#,
    r#"fchownat(4</w/dest>, "l", 0, 0, 0) = 0"#,
    r#"utimensat(4</w/dest>, "l", NULL, 0) = 0"#,
    r#"utimensat(4</w/dest>, "l", NULL, AT_EMPTY_PATH) = 0"#,
    r#"fchownat(4</w/canary/l>, "", 0, 0, AT_EMPTY_PATH) = 0"#,
    r#"fchmod(4</w/dest-evil/secret>, 0777) = 0"#,
    r#"fsetxattr(4</w/canary/file>, "user.x", "dest", 4, 0) = 0"#,
    r#"fchmodat(4</proc/7/fd>, "9", 0777) = 0"#,
    r#"openat(4</w/dest>, "l", O_RDONLY|O_CLOEXEC) = 5</w/dest/l>"#,
    r#"openat(4</w/dest>, "l", O_RDONLY|O_NOFOLLOW) = 5</w/canary/file>"#,
    r#"openat2(4</w/dest>, "a/l", {flags=O_RDONLY, resolve=RESOLVE_NO_XDEV}, 24) = 5</w/dest/x>"#,
    r#"openat2(4</w/dest>, "a/l", {flags=O_RDONLY, resolve=RESOLVE_IN_ROOT}, 24) = 5</w/canary>"#,
    r#"openat(4</>, "etc", O_RDONLY|O_NOFOLLOW) = 5</etc>"#,
    r#"openat(AT_FDCWD</>, "/etc/passwd", O_RDONLY) = 5</etc/passwd>"#,
    r#"openat(AT_FDCWD</>, "/dev/null", O_WRONLY) = 5</dev/null>"#,
    r#"openat(AT_FDCWD</>, "/proc/sys/vm/overcommit_memory", O_WRONLY) = 5</proc/sys/vm/overcommit_memory>"#,
    r#"openat(AT_FDCWD</>, "/w/dest/../canary", O_RDONLY) = 5</w/canary>"#,
    r#"newfstatat(4</w/canary>, "file", {}, AT_SYMLINK_NOFOLLOW) = 0"#,
    r#"chdir("/w/dest") = 0"#,
    r#"mkdir("/w/dest", 0700) = 0"#,
    r#"socket(AF_UNIX, SOCK_STREAM, 0) = 5"#,
    "a line that is none",
];

/// As those, but without fault.
pub const HARMLESS: &[&str] = &[
    r#"openat(AT_FDCWD</>, "/proc/sys/vm/overcommit_memory", O_RDONLY|O_CLOEXEC) = 5</proc/sys/vm/overcommit_memory>"#,
    r#"mkdirat(4</w/dest/a>, "b", 0700) = 0"#,
    r#"mkdirat(4</w>, ".dest.safe-layers-0123456789abcdef", 0700) = 0"#,
    r#"symlinkat("/etc/passwd", 4</w/dest/a\74b\76>, "x\"y, z") = 0"#,
    r#"openat2(4</w/dest>, "a/l", {flags=O_RDONLY|O_PATH, resolve=RESOLVE_NO_XDEV|RESOLVE_IN_ROOT}, 24) = 5</w/dest/x>"#,
    r#"openat(4</w/dest>, "f", O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW, 0600) = 5</w/dest/f>"#,
    r#"fchownat(4</w/dest/l>, "", 0, 0, AT_EMPTY_PATH) = 0"#,
    r#"unlinkat(4</w/dest/gone (deleted)>, "f", 0) = -1 ENOENT (No such file or directory)"#,
];

/// Judges one call of such a child.
pub fn is_violation(call: &str) -> bool {
    let allowed = Allowed { parent: "/w".into(), layers: Vec::new() };
    !judge(&format!("1 {call}\n"), &allowed).1.is_empty()
}

fn is_own(name: &str) -> bool {
    name == "dest" || super::is_staging(name)
}

impl Allowed {
    pub fn of(place: &Place, blobs: &[PathBuf]) -> Self {
        let parent = place.world.parent().to_str().expect("a path of ASCII").to_owned();
        let named = blobs.iter().flat_map(|blob| ["blob", "tar", "tar.gz"].map(|extension| blob.with_extension(extension)));
        Self { parent, layers: named.collect() }
    }
}
