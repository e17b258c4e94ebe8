//! Memory stays bounded whatever a layer holds: each case runs in a process of its own, whose peak is read at its end.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

mod common;

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use common::builder::{Entry, Gzip, Source, Zstd, tar};
use common::images::{OCI_TAR, hex, image};
use safe_layers::image::{Choice, FlatEntry, Layout, TreeSink};
use safe_layers::{Algorithm, Error, ErrorKind, Expect, Hasher, Ownership, Policy, Root, Unpacker};
use serde_json::json;

/// What no case may reach, in KiB: 64 MiB.
const MOST: u64 = 64 << 10;
/// Tells the child process which case it is.
const CASE: &str = "SAFE_LAYERS_MEMORY_CASE";
/// Where a million files are quick to make, if it is there.
const SHARED_MEMORY: &str = "/dev/shm";

/// Runs `case` in a child process and checks its peak of resident memory.
#[track_caller]
fn bounded(name: &str, case: impl FnOnce()) {
    bounded_by(name, MOST, case);
}

/// As [`bounded`], by so many KiB.
#[track_caller]
fn bounded_by(name: &str, most: u64, case: impl FnOnce()) {
    if std::env::var_os(CASE).is_some_and(|wanted| wanted == name) {
        case();
        println!("peak {} KiB", peak());
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap()).args([name, "--exact", "--nocapture"]).env(CASE, name).output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let peak = said.split_once("peak ").and_then(|(_, rest)| rest.split(' ').next()).expect("the child says its peak");
    let peak: u64 = peak.parse().unwrap();
    println!("{name}: {} MiB", peak >> 10);
    assert!(peak < most, "{name}: {peak} KiB");
}

/// The peak of this process, in KiB (`VmHWM` of proc(5)).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn policy(preset: Policy) -> Policy {
    let mut policy = preset;
    policy.ownership = Ownership::SquashToCaller;
    policy
}

/// Unpacks a layer into a temporary directory and gives the number of entries, or why it was refused.
fn unpack(policy: Policy, layer: &Source) -> Result<u64, ErrorKind> {
    let base = if Path::new(SHARED_MEMORY).is_dir() { Path::new(SHARED_MEMORY).to_path_buf() } else { std::env::temp_dir() };
    let dir = tempfile::tempdir_in(base).unwrap();
    let parent = Root::open_ambient(dir.path(), safe_layers::ambient_authority()).unwrap();
    let mut unpacker = Unpacker::rootfs(parent, "tree", policy).unwrap();
    let report = unpacker.apply(&Expect::dangerous_unverified(), layer.open()).map_err(|error| error.kind())?;
    unpacker.commit().unwrap();
    Ok(report.entries.total)
}

/// A file of 1 MiB that hardly compresses.
fn noise(number: u64) -> Entry {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut body = Vec::with_capacity(1 << 20);
    while body.len() < 1 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend(state.to_le_bytes());
    }
    Entry::file(format!("d/f{number}"), body)
}

#[test]
fn a_layer_of_one_gib() {
    bounded("a_layer_of_one_gib", || {
        let layer = tar().each(0..1024, noise).source();
        assert_eq!(unpack(policy(Policy::container()), &layer), Ok(1024));
    });
}

#[test]
fn a_gzip_layer_of_a_quarter_gib() {
    bounded("a_gzip_layer_of_a_quarter_gib", || {
        let mut layer = Source::default();
        layer.lazy(0..256, |number| Gzip::OK.wrap(&noise(number).source()).bytes());
        layer.append(Gzip::OK.wrap(&vec![0; 1024].into()));
        assert_eq!(unpack(policy(Policy::container()), &layer), Ok(256));
    });
}

#[test]
fn a_layer_of_a_million_empty_files() {
    bounded("a_layer_of_a_million_empty_files", || {
        let layer = tar().each(0..1_000_000, |number| Entry::file(format!("d{}/file-{number:07}", number % 100), "")).source();
        assert_eq!(unpack(policy(Policy::container()), &layer), Ok(1_000_000));
    });
}

#[test]
fn a_strict_layer_of_a_million_empty_files() {
    bounded("a_strict_layer_of_a_million_empty_files", || {
        let layer = tar().dir("d").each(0..1_000_000, |number| Entry::file(format!("d/file-{number:07}"), "")).source();
        assert_eq!(unpack(policy(Policy::strict()), &layer), Ok(1_000_001));
    });
}

#[test]
fn ten_gib_of_zeros_under_a_limit_of_one() {
    bounded("ten_gib_of_zeros_under_a_limit_of_one", || {
        let bomb = tar().add(Entry::file("zeros", "").body_run([0], 10 << 30)).source();
        let mut limited = policy(Policy::container());
        limited.limits.total_bytes = 1 << 30;
        assert_eq!(unpack(limited.clone(), &bomb), Err(ErrorKind::LimitExceeded));
        let squeezed = Zstd::OK.wrap(&bomb);
        assert_eq!(unpack(limited.clone(), &squeezed), Err(ErrorKind::LimitExceeded));
        limited.limits.ratio = u64::MAX;
        assert_eq!(unpack(limited, &squeezed), Err(ErrorKind::LimitExceeded));
    });
}

#[test]
fn a_pax_record_of_one_gib() {
    bounded("a_pax_record_of_one_gib", || {
        let record = Entry::pax_header("").body("1073741824 comment=").body_run([b'a'; 4096], (1 << 30) / 4096);
        let layer = tar().add(record).file("f", "").source();
        assert_eq!(unpack(policy(Policy::container()), &layer), Err(ErrorKind::LimitExceeded));
        assert_eq!(unpack(policy(Policy::strict()), &layer), Err(ErrorKind::LimitExceeded));
    });
}

#[test]
fn the_largest_extension_header_that_is_allowed() {
    bounded("the_largest_extension_header_that_is_allowed", || {
        // Tiny keys that nobody knows: each is an event.
        let records = b"5 a=\n".repeat(200_000);
        let layer = tar().add(Entry::pax_header(records)).file("f", "").source();
        assert_eq!(unpack(policy(Policy::container()), &layer), Ok(1));
    });
}

/// Takes a stream and keeps nothing of it.
struct Counter(u64);

impl TreeSink for Counter {
    fn entry(&mut self, _: &FlatEntry) -> io::Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn data(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn entry_end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn abort(&mut self, error: &Error) {
        panic!("{error}");
    }
}

/// Writes the layout of an image of one layer to `dir`; the layer is never whole in memory.
fn layout_of(dir: &Path, layer: &Source) -> Layout {
    let (mut hash, mut size, mut buffer) = (Hasher::new(Algorithm::Sha256), 0_u64, vec![0; 1 << 16]);
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let mut file = std::fs::File::create(blobs.join("layer")).unwrap();
    let mut reader = layer.open();
    while let Some(count) = Some(reader.read(&mut buffer).unwrap()).filter(|count| *count > 0) {
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count]).unwrap();
        size += count as u64;
    }
    let digest = hash.finish();
    std::fs::rename(blobs.join("layer"), blobs.join(hex(digest))).unwrap();
    let text = digest.to_string();
    let diff_ids = json!([text]);
    let layers = json!([{"mediaType": OCI_TAR, "digest": text, "size": size}]);
    let recipe = image([]).config(move |config| config["rootfs"]["diff_ids"] = diff_ids.clone());
    recipe.manifest(move |manifest| manifest["layers"] = layers.clone()).oci().write(dir);
    Layout::open(Root::open_ambient(dir, safe_layers::ambient_authority()).unwrap()).unwrap()
}

/// A file costs what the documentation of `Image::flatten` says, and the first and the second pass no more than an unpack.
#[test]
fn a_flattened_image_of_half_a_million_files() {
    const FILES: u64 = 500_000;
    let name = |number| format!("file-{number:07}");
    let tree_bytes = FILES * (256 + name(0).len() as u64) + 100 * (448 + 10);
    bounded_by("a_flattened_image_of_half_a_million_files", MOST + (tree_bytes >> 10), || {
        let base = if Path::new(SHARED_MEMORY).is_dir() { Path::new(SHARED_MEMORY).to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(base).unwrap();
        let layer = tar().each(0..FILES, move |number| Entry::file(format!("d{:02}/{}", number % 100, name(number)), "")).source();
        let image = layout_of(dir.path(), &layer).image(&Choice::dangerous_unpinned()).unwrap();
        let mut exact = policy(Policy::container());
        exact.limits.tree_bytes = tree_bytes;
        let mut counter = Counter(0);
        image.flatten(&exact, &mut counter).unwrap();
        assert_eq!(counter.0, FILES + 101);
        exact.limits.tree_bytes = tree_bytes / 2;
        assert_eq!(image.flatten(&exact, &mut Counter(0)).unwrap_err().kind(), ErrorKind::LimitExceeded);
    });
}

#[test]
fn the_peak_is_measured() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["the_peak_of_a_child_that_takes_memory", "--exact", "--nocapture", "--ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let peak = said.split_once("peak ").and_then(|(_, rest)| rest.split(' ').next()).unwrap().parse::<u64>().unwrap();
    assert!(peak > MOST, "{peak} KiB");
}

#[test]
#[ignore = "run as a child of the_peak_is_measured"]
fn the_peak_of_a_child_that_takes_memory() {
    let taken = vec![1_u8; 128 << 20];
    println!("peak {} KiB", peak() + u64::from(taken[taken.len() / 2] - 1));
}
