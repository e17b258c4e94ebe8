//! Modes, owners and extended attributes that mean more than they show.

use safe_layers::ErrorKind::{LimitExceeded, NumberOutOfRange, SymlinkEscape};

use crate::common::builder::{Entry, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks};

attacks! {
    /// A setuid file: legal in an image, and nobody may run it while staged.
    meta_setuid_file "" [Contain, Accept]
        |_| tar().add(Entry::file("su", "x").mode(0o4755)).mode_there("su", 0o4755);

    /// A file capability, which chown would drop.
    meta_capability "" [Contain, Accept]
        |_| tar()
            .add(Entry::file("ping", "x").pax("SCHILY.xattr.security.capability", "\u{1}\0\0\u{2}\0\u{4}\0\0\0\0\0\0\0\0\0\0\0\0\0\0"))
            .xattr_there("ping", "security.capability");

    /// An xattr that makes a directory opaque to overlayfs.
    meta_overlay_opaque "" [Contain, Contain]
        |_| tar()
            .add(Entry::dir("d").pax("SCHILY.xattr.trusted.overlay.opaque", "y"))
            .no_xattr("d", "trusted.overlay.opaque");

    /// An xattr that redirects a directory in overlayfs.
    meta_overlay_redirect "" [Contain, Contain]
        |_| tar()
            .add(Entry::dir("d").pax("SCHILY.xattr.trusted.overlay.redirect", "/etc"))
            .no_xattr("d", "trusted.overlay.redirect");

    /// The same for an unprivileged overlay: whiteout and opaque by `user.` xattrs.
    meta_user_overlay_whiteout "" [Contain, Contain]
        |_| tar()
            .add(Entry::file("w", "").pax("SCHILY.xattr.user.overlay.whiteout", "y"))
            .add(Entry::dir("d").pax("SCHILY.xattr.user.overlay.opaque", "x"))
            .no_xattr("w", "user.overlay.whiteout");

    /// A SELinux label of the archive's choice.
    meta_selinux "" [Contain, Contain]
        |_| tar()
            .add(Entry::file("f", "x").pax("SCHILY.xattr.security.selinux", "system_u:object_r:shadow_t:s0\0"))
            .no_xattr("f", "security.selinux");

    /// Owner, time and xattr of a symlink that leads out.
    meta_xattr_through_symlink "CVE-2024-12718" [Reject(SymlinkEscape), Accept]
        |w| tar()
            .add(Entry::symlink("x", w.canary("/file")).uid(1234).gid(1234).mtime(1).pax("SCHILY.xattr.user.pwn", "1"))
            .link_there("x", w.canary("/file"));

    /// The id that chown takes for "leave as it is", on a setuid file.
    meta_uid_minus_one "" [Reject(NumberOutOfRange), Reject(NumberOutOfRange)]
        |_| tar().add(Entry::file("s", "x").mode(0o6755).uid(0xffff_ffff).gid(0xffff_ffff));

    /// An id of 2^32, which is root in 32 bits.
    meta_uid_wraps_to_root "" [Reject(NumberOutOfRange), Reject(NumberOutOfRange)]
        |_| tar().add(Entry::file("s", "x").mode(0o4755).uid(1000).pax("uid", "4294967296").pax("gid", "4294967296"));

    /// A user name that contradicts the id.
    meta_uname_root "" [Accept, Accept]
        |_| tar().add(Entry::file("s", "x").uid(1000).gid(1000).owner_names("root", "root")).uid_there("s", 1000);

    /// A directory without permissions before its children.
    meta_dir_mode_0000 "" [Accept, Accept]
        |_| tar().add(Entry::dir("d").mode(0)).file("d/x", "x").file_there("d/x", "x");

    /// An xattr of a MiB.
    meta_xattr_huge "" [Reject(LimitExceeded), Contain]
        |_| tar().add(Entry::file("f", "x").pax("SCHILY.xattr.user.big", "A".repeat(1 << 20)));
}
