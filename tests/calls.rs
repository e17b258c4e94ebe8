//! How many calls on the tree an entry costs, by its kind, in a directory of the same layer that the caller owns: an owner that is the
//! same already is not set again, and one name is opened once. `close` is not counted, nor what a layer costs whatever is in it.
#![cfg(feature = "fault-injection")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

mod common;

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use common::builder::{Entry, Tar, tar};
use common::engine::{self, Form, Mode, container_for_caller};
use safe_layers::Resolver;
use safe_layers::fault::{Fault, inject};

/// Calls of a whole unpack.
fn calls(layer: &Tar, threads: usize) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let mode = Mode { form: Form::Rootfs, resolver: Resolver::Auto, threads, chunk: usize::MAX };
    let unpack = || engine::unpack(dir.path(), mode, container_for_caller(), &[layer.source()]).map(drop);
    let (done, calls) = inject(Fault::Never, unpack);
    done.unwrap();
    calls.count
}

/// Asserts what each of `entry(0)`, `entry(1)` and so on costs, in the directory `d`.
#[track_caller]
fn each_costs(expected: u64, entry: impl Fn(u64) -> Entry + Copy + Send + Sync + 'static) {
    two_cost(2 * expected, entry);
}

/// Asserts what two cost that follow each other.
#[track_caller]
fn two_cost(expected: u64, entry: impl Fn(u64) -> Entry + Copy + Send + Sync + 'static) {
    for threads in [1, 2, 4] {
        let layer = |count| (0..count).fold(tar().dir("d").file("d/target", "x"), |tar, number| tar.add(entry(number)));
        let (few, many) = (calls(&layer(10), threads), calls(&layer(50), threads));
        assert_eq!((many - few) as f64 / 20.0, expected as f64, "on {threads} threads");
    }
}

fn file(number: u64) -> Entry {
    Entry::file(format!("d/f{number}"), "content")
}

#[test]
fn a_file_of_the_caller_is_opened_written_and_given_its_mode_and_time() {
    each_costs(4, file);
}

#[test]
fn an_empty_file_is_not_written() {
    each_costs(3, |number| Entry::file(format!("d/f{number}"), ""));
}

#[test]
fn a_time_that_a_filesystem_may_not_hold_is_read_back() {
    each_costs(5, |number| file(number).mtime(0));
}

#[test]
fn special_bits_are_read_back() {
    each_costs(5, |number| file(number).mode(0o1755));
}

#[test]
fn another_owner_is_set() {
    if engine::is_root() {
        each_costs(5, |number| file(number).uid(7).gid(7));
    }
}

#[test]
fn an_attribute_is_set_by_one_call() {
    each_costs(5, |number| file(number).pax("SCHILY.xattr.user.a", "v"));
}

#[test]
fn a_large_file_is_one_write_for_each_piece_that_it_has_a_part_of() {
    // Nine pieces of 256 KiB with its header, and it starts within one.
    each_costs(3 + 10, |number| Entry::file(format!("d/f{number}"), vec![b'x'; 9 * (256 << 10) - 512]));
}

#[test]
fn a_small_file_that_lies_in_two_pieces_is_one_write_too() {
    for threads in [1, 2, 4] {
        // Every second one begins in one piece and ends in the next.
        let layer = |count| {
            (0..count).fold(tar().dir("d"), |tar, number| {
                let file = if number % 2 == 0 { vec![b'x'; (256 << 10) - 4096 - 512] } else { vec![b'y'; 4096 - 512] };
                tar.add(Entry::file(format!("d/f{number}"), file))
            })
        };
        let cost = (calls(&layer(41), threads) - calls(&layer(1), threads)) as f64 / 40.0;
        assert_eq!(cost, 4.0, "on {threads} threads");
    }
}

#[test]
fn a_directory_is_made_with_its_mode_opened_looked_at_and_given_its_time_when_it_is_left() {
    each_costs(4, |number| Entry::dir(format!("d/d{number}")).mode(0o700));
}

#[test]
fn a_mode_that_the_umask_takes_from_is_set() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::DirBuilder::new().mode(0o777).create(dir.path().join("d")).unwrap();
    let made = std::fs::metadata(dir.path().join("d")).unwrap().permissions().mode() & 0o777;
    each_costs(if made == 0o777 { 4 } else { 5 }, |number| Entry::dir(format!("d/d{number}")).mode(0o777));
}

#[test]
fn a_directory_that_keeps_its_owner_out_is_made_opened_and_looked_at_and_in_the_end_opened_again_for_its_mode_and_time() {
    each_costs(7, |number| Entry::dir(format!("d/d{number}")).mode(0o555));
}

#[test]
fn a_directory_that_is_entered_again_gets_its_time_again_in_the_end() {
    // A directory, and a file in the one before: that is entered for it, and in the end opened, looked at and given its time.
    two_cost(4 + 4 + 2 + 3, |number| match number % 2 {
        0 => Entry::dir(format!("d/d{}", number / 2)).mode(0o700),
        _ => Entry::file(format!("d/d{}/f{number}", (number / 2).saturating_sub(1)), "content"),
    });
}

#[test]
fn a_symlink_is_made_held_and_looked_at_and_given_its_time() {
    each_costs(4, |number| Entry::symlink(format!("d/s{number}"), "target"));
}

#[test]
fn a_hardlink_is_made_between_two_looks_at_its_target() {
    each_costs(3, |number| Entry::hardlink(format!("d/h{number}"), "d/target"));
}
