//! Every limit stops a bomb, names itself and its value; with that limit raised the same bomb is an ordinary layer.
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

use common::builder::{Entry, Gzip, Source, Split, Zstd, tar};
use common::engine::{self, Form, Mode};
use common::flat;
use safe_layers::{Class, Error, LayerReport, Limits, Policy, Resolver};

/// A layer that costs more than `stops` of something and no more than `passes`.
struct Bomb {
    layer: Source,
    stops: u64,
    passes: u64,
}

/// The bomb of each limit.
fn bomb(limit: &str) -> Bomb {
    let file = |len: usize| tar().file("f", vec![b'x'; len]);
    let late = || tar().each(0..3, |i| Entry::hardlink(format!("l{i}"), "z")).file("z", "x");
    let (layer, stops, passes) = match limit {
        "entries" => (tar().each(0..10, |i| Entry::file(format!("f{i}"), "")).source(), 9, 10),
        // A header, 20 blocks, two blocks of zeros.
        "total_bytes" => (file(10_000).source(), 23 * 512 - 1, 23 * 512),
        "blob_bytes" => (file(10_000).source(), 23 * 512 - 1, 23 * 512),
        "file_bytes" => (file(10_000).source(), 9_999, 10_000),
        "ratio" => (Zstd::OK.wrap(&tar().add(Entry::file("f", "").body_run([0], 80 << 20)).source()), 1_000, 100_000),
        "path_bytes" => (tar().file("d/".repeat(30) + "f", "").source(), 60, 61),
        "depth" => (tar().file("d/".repeat(30) + "f", "").source(), 30, 31),
        "link_bytes" => (tar().symlink("s", "t".repeat(50)).source(), 49, 50),
        "links" => (tar().file("f", "").each(0..5, |i| Entry::hardlink(format!("l{i}"), "f")).source(), 5, 6),
        // Its header and two blocks of records.
        "header_bytes" => (tar().add(Entry::file("f", "").pax("comment", "c".repeat(1_000))).source(), 3 * 512 - 1, 3 * 512),
        "xattrs" => (tar().add((0..5).fold(Entry::file("f", ""), |file, i| file.pax(format!("SCHILY.xattr.user.{i}"), ""))).source(), 4, 5),
        "xattr_bytes" => (tar().add(Entry::file("f", "").pax("SCHILY.xattr.user.a", "v".repeat(100))).source(), 105, 106),
        "sparse_segments" => {
            let regions = [(0, 512), (4096, 512), (8192, 512)];
            (tar().add(Entry::gnu_sparse("f", &regions, 8704, vec![1; 1536])).source(), 2, 3)
        }
        "members" => (Gzip { split: Split::Into(3), ..Gzip::OK }.wrap(&file(10).source()), 2, 3),
        "deferred_links" => (late().source(), 2, 3),
        "deferred_bytes" => (late().source(), 100, 10_000),
        "tree_bytes" => (tar().file("f", "").source(), 256, 257),
        "events" => (tar().add((0..10).fold(Entry::file("f", ""), |file, i| file.pax(format!("KEY.{i}"), "v"))).source(), 9, 10),
        "zstd_window" => (Zstd { window_log: 21, ..Zstd::OK }.wrap(&file(10).source()), (1 << 21) - 1, 1 << 21),
        "deadline" => (file(10_000).source(), 0, 3600),
        _ => panic!("no bomb for the limit {limit}"),
    };
    Bomb { layer, stops, passes }
}

fn unpack(layer: &Source, threads: usize, policy: Policy) -> Result<LayerReport, Error> {
    let dir = tempfile::tempdir().unwrap();
    let mode = Mode { form: Form::Rootfs, resolver: Resolver::Auto, threads, chunk: usize::MAX };
    let mut unpacker = engine::unpacker(dir.path(), mode, policy)?;
    let report = engine::apply(&mut unpacker, mode, layer, None)?;
    unpacker.commit()?;
    assert!(dir.path().join("dest").is_dir());
    Ok(report)
}

/// Does what the limit bounds: an unpack, or with `tree_bytes` the merge of an image in memory.
fn cost(limit: &str, layer: &Source, threads: usize, policy: Policy) -> Result<LayerReport, Error> {
    if limit == "tree_bytes" {
        return flat::flatten(&flat::image(vec![layer.bytes()]), &policy).map(|(flattened, _)| flattened.layers[0].clone());
    }
    unpack(layer, threads, policy)
}

fn limited(limit: &str, value: u64) -> Policy {
    let mut policy = engine::container_for_caller();
    // Else the limit on the ratio stops the bombs of others.
    policy.limits.ratio = u64::MAX;
    policy.limits.set(limit, &value.to_string()).unwrap();
    policy
}

#[test]
fn every_limit_stops_its_bomb_and_no_other_does() {
    for limit in Limits::NAMES.iter().filter(|limit| **limit != "events") {
        let Bomb { layer, stops, passes } = bomb(limit);
        for threads in [1, 2] {
            let error = cost(limit, &layer, threads, limited(limit, stops)).expect_err(limit);
            let hit = error.limit().unwrap_or_else(|| panic!("{limit}: {error}"));
            assert_eq!((hit.name, hit.value), (*limit, stops), "{error}");
            assert_eq!(error.class(), Class::Limit, "{error}");
            assert!(error.to_string().contains(&format!("{limit} = {stops}")), "{error}");
            cost(limit, &layer, threads, limited(limit, passes)).unwrap_or_else(|error| panic!("{limit} = {passes}: {error}"));
        }
    }
}

#[test]
fn the_limit_on_events_stops_their_list_and_not_their_count() {
    let Bomb { layer, stops, passes } = bomb("events");
    for (limit, threads) in [(stops, 1), (stops, 2), (passes, 1), (passes, 2)] {
        let events = unpack(&layer, threads, limited("events", limit)).unwrap().events;
        assert_eq!(events.counts().values().sum::<u64>(), passes);
        assert_eq!(events.first().len() as u64, limit);
    }
}

#[test]
fn the_defaults_stop_no_bomb_but_that_of_the_ratio() {
    for limit in Limits::NAMES {
        let result = cost(limit, &bomb(limit).layer, 1, engine::container_for_caller());
        assert_eq!(result.err().and_then(|error| error.limit()).map(|hit| hit.name), (*limit == "ratio").then_some("ratio"), "{limit}");
    }
}
