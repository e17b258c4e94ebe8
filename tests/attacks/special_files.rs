//! Devices and FIFOs.

use safe_layers::ErrorKind::{DeviceNode, SpecialFile, SymlinkEscape};

use crate::common::builder::{Entry, Field, tar};
use crate::harness::Outcome::{Accept, Contain, Reject};
use crate::harness::{Details as _, attacks, layers};

attacks! {
    /// A character device.
    dev_char "" [Reject(DeviceNode), Contain]
        |_| tar().add(Entry::char("null", 1, 3));

    /// A block device, then a file of the same name that would be written to the disk.
    dev_block_write "" [Reject(DeviceNode), Contain]
        |_| tar().add(Entry::block("disk", 7, 200)).file("disk", "PWNED");

    /// A block device, a hardlink to it, then a file over the hardlink.
    dev_hardlink_write "" [Reject(DeviceNode), Contain]
        |_| tar().add(Entry::block("disk", 7, 200)).hardlink("h", "disk").file("h", "PWNED");

    /// A ready-made overlay whiteout hides a lower file without a marker.
    dev_char_0_0 "" [Reject(DeviceNode), Contain]
        |_| layers([tar().dir("etc").file("etc/shadow", "s"), tar().add(Entry::char("etc/passwd", 0, 0))])
            .there("etc/shadow");

    /// A major number that wraps to another device.
    dev_out_of_range "" [Reject(DeviceNode), Contain]
        |_| tar().add(Entry::char("d", (1 << 32) + 1, 3).base256(Field::DevMinor)).not_there("d");

    /// A FIFO, then a file of the same name: opening it would wait for ever.
    fifo_then_file "" [Reject(SpecialFile), Accept]
        |_| tar()
            .fifo("p")
            .file("p", "x")
            .file("after", "x")
            .file_there("p", "x")
            .there("after");

    /// A FIFO stands in the destination where the layer writes.
    fifo_pre_existing "" [Accept, Accept]
        |_| tar()
            .file("p", "x")
            .file("after", "x")
            .over_fifo("p")
            .file_there("p", "x")
            .there("after");

    /// A FIFO as a parent.
    fifo_parent "" [Reject(SpecialFile), Contain]
        |_| tar().fifo("p").file("p/x", "x");

    /// A mode field with the type bits of a block device.
    mode_type_bits "" [Contain, Accept]
        |_| tar().add(Entry::file("f", "x").mode(0o64755)).file_there("f", "x");

    /// A dangling link, then a device of the same name: mknod must not follow.
    dev_over_dangling_symlink "" [Reject(SymlinkEscape), Contain]
        |w| tar().symlink("x", w.canary("/newdev")).add(Entry::char("x", 1, 3));
}
