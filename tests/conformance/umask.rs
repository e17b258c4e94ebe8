//! §2, §10: the tree is the same whatever umask the process has and whatever its parent directory hands down.
//!
//! The umask belongs to a whole process, so each one is that of a child, which runs `examples/unpack`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Mode, XattrFlags};
use safe_layers::OverlayForm;

use crate::check::*;
use crate::unpack;

const UMASK: &str = "SAFE_LAYERS_TEST_UMASK";

/// What the destination's parent hands down to what is made in it.
#[derive(Clone, Copy, Debug)]
enum Parent {
    Plain,
    Setgid,
    DefaultAcl,
    Both,
}

impl Parent {
    const ALL: [Self; 4] = [Self::Plain, Self::Setgid, Self::DefaultAcl, Self::Both];

    fn make(self, place: &Place) -> tempfile::TempDir {
        let dir = tempfile::tempdir_in(place.dir()).unwrap();
        if matches!(self, Self::DefaultAcl | Self::Both) {
            let everything = acl(&[(1, 7), (4, 7), (32, 7)]);
            rustix::fs::setxattr(dir.path(), "system.posix_acl_default", &everything, XattrFlags::empty()).unwrap();
        }
        let setgid = matches!(self, Self::Setgid | Self::Both);
        if setgid && is_root() {
            std::os::unix::fs::chown(dir.path(), None, Some(4242)).unwrap();
        }
        fs::set_permissions(dir.path(), Permissions::from_mode(if setgid { 0o2777 } else { 0o755 })).unwrap();
        dir
    }
}

/// Modes that a umask would cut, parents without an entry, markers, and in upper layers what is made in lower directories.
fn layers() -> [Tar; 3] {
    let (uid, gid) = me();
    let own = |entry: Entry| entry.uid(uid.into()).gid(gid.into());
    let first = tar().add(own(Entry::dir("./").mode(0o757))).add(own(Entry::dir("d").mode(0o3777))).file("gone/f", "old");
    let first = first.add(own(Entry::file("d/f", "x").mode(0o666))).file("i/j/g", "y").add(own(Entry::file("s", "z").mode(0o6777)));
    let second = tar().add(own(Entry::file("d/n", "x").mode(0o777))).add(own(Entry::dir("d/e").mode(0o777))).symlink("d/l", "../i");
    let second = second.file("d/l/h", "h").hardlink("i/f", "d/f").add(own(Entry::fifo("i/p").mode(0o666))).file(".wh.gone", "");
    let third = tar().file("gone/new/f", "new").file("d/e/.wh..wh..opq", "").add(own(Entry::dir("i").mode(0o722))).file("d/.wh.n", "");
    [first, second, third]
}

fn want() -> Tree {
    let want = tree().dir("").mode(0o757).dir("d").mode(0o3777).file("d/f", "x").mode(0o666).dir("d/e").mode(0o777);
    let want = want.symlink("d/l", "../i").dir("i").mode(0o722).implicit("i/j").file("i/j/g", "y").file("i/h", "h");
    let want = want.hardlink("i/f", "d/f").fifo("i/p").mode(0o666).file("s", "z").mode(0o6777);
    want.implicit("gone").implicit("gone/new").file("gone/new/f", "new").tree()
}

/// Runs the program and gives the value of `lowerdir` in its report, if it has one.
#[track_caller]
fn unpack(dir: &Path, form: &str, dest: &Path) -> Option<OsString> {
    let preset = if is_root() { "container" } else { "rootless" };
    let mut words: Vec<OsString> = ["--unverified", "--json", "--policy", preset, "--form", form].map(OsString::from).into();
    words.extend((0..layers().len()).map(|layer| dir.join(format!("{layer}.tar")).into_os_string()));
    words.push(dest.into());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = unpack::run(words, &mut out, &mut err);
    let said = format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert_eq!(status, 0, "{said}");
    let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
    report["lowerdir"].as_str().map(OsString::from)
}

#[test]
fn the_tree_depends_neither_on_the_umask_nor_on_what_the_parent_hands_down() {
    for umask in ["000", "022", "077"] {
        in_a_child("umask::child", &[(UMASK, umask)], User::Same);
    }
}

#[test]
fn child() {
    let (Some(dir), Ok(umask)) = (child_dir(), std::env::var(UMASK)) else { return };
    for (number, layer) in layers().iter().enumerate() {
        fs::write(dir.join(format!("{number}.tar")), layer.bytes()).unwrap();
    }
    let forms = if overlay::can_mount() { &[OverlayForm::Trusted, OverlayForm::User][..] } else { &[] };
    for place in places() {
        for parent in Parent::ALL {
            let made = parent.make(place);
            rustix::process::umask(Mode::from_raw_mode(u32::from_str_radix(&umask, 8).unwrap()));
            let what = format!("umask {umask}, {parent:?} on {place:?}");
            let dest = made.path().join("merged");
            assert_eq!(unpack(&dir, "merged", &dest), None);
            assert_same(&want(), &Tree::take(&dest, |_| false), &what);
            for form in forms {
                assert_overlay(*form, place, &dir, &made.path().join(format!("{form:?}")), &what);
            }
        }
    }
    done();
}

/// The mounted layers are the same tree, and only the owner enters the directory that holds them.
#[track_caller]
fn assert_overlay(form: OverlayForm, place: &Place, dir: &Path, dest: &Path, what: &str) {
    let name = if form == OverlayForm::User { "overlay-user" } else { "overlay-trusted" };
    let lowerdir = unpack(dir, name, dest).unwrap();
    let mounted = overlay::mounted(form, place, OsStr::new(&lowerdir));
    assert_same(&overlay::loose(&want()), &overlay::loose(&mounted), &format!("{what}, {name}"));
    let holder = Tree::take(dest, |_| true);
    let (mode, xattrs) = holder.get("").map(|node| (node.mode, node.xattrs.clone())).unwrap();
    assert_eq!((mode, xattrs.len()), (0o700, 0), "{what}, {name}");
}
