//! Tests of the primitives, each on both resolvers.

mod attributes;
#[cfg(feature = "fault-injection")]
mod calls;
mod objects;
mod removal;
mod resolution;
mod staging;

use std::path::Path;

use super::Root;
use crate::entry::Name;

/// Opens `path` once for each resolver.
fn roots(path: &Path) -> [Root; 2] {
    [open(path).with_openat2().unwrap(), open(path).with_walk()]
}

fn open(path: &Path) -> Root {
    Root::open_ambient(path, cap_std::ambient_authority()).unwrap()
}

fn name(raw: &str) -> Name<'_> {
    Name::new(raw.as_bytes()).unwrap()
}

fn is_root() -> bool {
    super::caller().uid == 0
}

/// Says why a test cannot run here; on a machine that must run all of them that is a failure.
fn skip(why: &str) {
    use std::io::Write as _;
    assert!(!(is_root() && std::env::var_os("CI").is_some_and(|ci| ci == "true")), "skipped as root with CI=true: {why}");
    writeln!(std::io::stderr(), "skipped: {why}").unwrap();
}
