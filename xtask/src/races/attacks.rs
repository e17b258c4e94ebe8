//! The attacks, each with the layers that it is made against and a naive victim that it beats.

use super::attacker::{Ground, Missing, Plan, Swap, Thing};
use super::layers::{self, Layer};
use super::naive::{self, Naive};
use crate::common::builder::Entry;
use crate::common::engine::Form;

pub struct Attack {
    pub name: &'static str,
    pub plan: Plan,
    pub form: Form,
    /// Directories that are in the root before.
    pub prepared: &'static [&'static str],
    pub layers: fn(&[&str]) -> Vec<Layer>,
    /// The directories that the layers work in.
    pub dirs: &'static [&'static str],
    /// None where no path leads out of the root.
    pub naive: Option<Naive>,
    /// Entries in full.
    pub tries: u64,
}

/// On both filesystems together.
const MILLION: u64 = 1_000_000;
/// Where a tree has to be made for each few tries.
const FEWER: u64 = 250_000;

const RELATIVE: Thing = Thing::Link("../canary/dir");
const ABSOLUTE: Thing = Thing::AbsoluteLink("canary/dir");
const SECRET: Thing = Thing::AbsoluteLink("canary/secret");
const AB: &[&str] = &["a", "b"];
const LAST: &[&str] = &["a/t", "b/t"];
const INNER: &[&str] = &["a/t", "a/t/x", "a/t/y", "b/t", "b/t/x"];
const LATE: &[&str] = &["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"];

const fn plan(swap: Swap, names: &'static [&'static str], missing: Missing) -> Plan {
    Plan { swap, ground: Ground::Root, names, missing }
}

const fn in_place(name: &'static str, plan: Plan, layers: fn(&[&str]) -> Vec<Layer>, naive: Option<Naive>) -> Attack {
    Attack { name, plan, form: Form::InPlace, prepared: AB, layers, dirs: AB, naive, tries: MILLION }
}

const fn staged(name: &'static str, form: Form, plan: Plan, layers: fn(&[&str]) -> Vec<Layer>, naive: Naive) -> Attack {
    Attack { name, plan, form, prepared: &[], layers, dirs: AB, naive: Some(naive), tries: FEWER }
}

pub const ATTACKS: &[Attack] = &[
    in_place(
        "directory exchanged with a relative symlink to the canary",
        plan(Swap::Exchange(RELATIVE), AB, Missing::Make),
        layers::mixed,
        Some(naive::write_in_directory),
    ),
    in_place(
        "directory exchanged with an absolute symlink to the canary",
        plan(Swap::Exchange(ABSOLUTE), AB, Missing::Make),
        layers::mixed,
        Some(naive::write_in_directory),
    ),
    in_place("directory exchanged with a file", plan(Swap::Exchange(Thing::File), AB, Missing::Make), layers::mixed, None),
    Attack {
        prepared: &["a/x", "b"],
        dirs: &["a/x", "up", "b"],
        layers: through_the_parent_of_x,
        ..in_place(
            "directory moved out of the root and back",
            plan(Swap::MoveOut, &["a/x"], Missing::Make),
            layers::mixed,
            Some(naive::write_above),
        )
    },
    in_place("directory deleted and made again", plan(Swap::Remake, AB, Missing::Make), layers::mixed, None),
    in_place(
        "directory moved aside, a symlink made in its place, unlinked",
        plan(Swap::Relink(ABSOLUTE), AB, Missing::Make),
        layers::mixed,
        Some(naive::write_in_directory),
    ),
    Attack {
        prepared: &["a/x", "a/y", "b"],
        dirs: &["up", "b"],
        layers: through_x_to_y,
        ..in_place(
            "directory before a `..` in a symlink's target exchanged with a symlink",
            plan(Swap::Exchange(ABSOLUTE), &["a/x"], Missing::Make),
            layers::mixed,
            Some(naive::write_through_link),
        )
    },
    in_place(
        "new file exchanged with a symlink to the canary",
        plan(Swap::Exchange(SECRET), LAST, Missing::Leave),
        layers::files,
        Some(naive::make_file),
    ),
    in_place(
        "new file exchanged with a hardlink to the canary",
        plan(Swap::Exchange(Thing::CanaryFile), LAST, Missing::Leave),
        layers::files,
        Some(naive::make_file),
    ),
    in_place(
        "new directory exchanged with a symlink before its attributes",
        plan(Swap::Exchange(ABSOLUTE), LAST, Missing::Leave),
        layers::directories,
        Some(naive::make_directory),
    ),
    in_place(
        "new symlink, FIFO or device exchanged with a symlink before its attributes",
        plan(Swap::Exchange(SECRET), LAST, Missing::Leave),
        layers::nameless,
        Some(naive::make_file),
    ),
    in_place(
        "new symlink, FIFO or device exchanged with a hardlink to the canary before its attributes",
        plan(Swap::Exchange(Thing::CanaryFile), LAST, Missing::Leave),
        layers::nameless,
        Some(naive::make_symlink),
    ),
    in_place(
        "target of a hardlink exchanged with a symlink to the canary",
        plan(Swap::Exchange(SECRET), LAST, Missing::Leave),
        layers::hardlinks,
        Some(naive::make_hardlink),
    ),
    in_place(
        "target of a hardlink exchanged with a hardlink to the canary",
        plan(Swap::Exchange(Thing::CanaryFile), LAST, Missing::Leave),
        layers::hardlinks,
        Some(naive::make_hardlink),
    ),
    Attack {
        tries: FEWER,
        ..in_place(
            "directories of a tree exchanged with a symlink while a whiteout removes it",
            plan(Swap::Exchange(ABSOLUTE), INNER, Missing::Leave),
            layers::whiteouts,
            Some(naive::remove_tree),
        )
    },
    Attack {
        tries: FEWER,
        ..in_place(
            "directories of a tree exchanged with a symlink while an opaque whiteout removes it",
            plan(Swap::Exchange(ABSOLUTE), INNER, Missing::Leave),
            layers::opaque,
            Some(naive::remove_tree),
        )
    },
    in_place(
        "directories of a tree exchanged with a symlink while a file replaces it",
        plan(Swap::Exchange(ABSOLUTE), INNER, Missing::Leave),
        layers::replaced,
        Some(naive::remove_tree),
    ),
    in_place("files made without end in a directory that is removed", plan(Swap::Flood, INNER, Missing::Leave), layers::replaced, None),
    Attack {
        prepared: LATE,
        dirs: LATE,
        tries: FEWER,
        ..in_place(
            "directory exchanged with a symlink before its deferred attributes",
            plan(Swap::Exchange(ABSOLUTE), LATE, Missing::Leave),
            layers::late_attributes,
            Some(naive::late_attributes),
        )
    },
    Attack {
        dirs: LATE,
        ..staged(
            "directory of a staged tree exchanged with a symlink before its attributes at the commit",
            Form::Rootfs,
            Plan { ground: Ground::Staged, ..plan(Swap::Exchange(ABSOLUTE), LATE, Missing::Leave) },
            layers::late_attributes,
            naive::stage_attributes,
        )
    },
    staged(
        "staging directory moved away, a symlink made in its place",
        Form::Rootfs,
        Plan { ground: Ground::Staging, ..plan(Swap::Relink(ABSOLUTE), &[""], Missing::Leave) },
        layers::mixed,
        naive::stage,
    ),
    Attack {
        dirs: LATE,
        ..staged(
            "file of a lower layer exchanged with a symlink while it is copied up",
            Form::Overlay,
            Plan { ground: Ground::Staged, ..plan(Swap::Exchange(SECRET), &["0/d0/t", "0/d1/t", "0/d5/t", "0/a/t"], Missing::Leave) },
            layers::copied,
            naive::copy_up,
        )
    },
];

fn through_the_parent_of_x(dirs: &[&str]) -> Vec<Layer> {
    behind(Entry::symlink("up", "a/x/.."), dirs)
}

fn through_x_to_y(dirs: &[&str]) -> Vec<Layer> {
    behind(Entry::symlink("up", "a/x/../y"), dirs)
}

/// A layer with a symlink, then those that go through it.
fn behind(link: Entry, dirs: &[&str]) -> Vec<Layer> {
    std::iter::once(Layer::of([link])).chain(layers::mixed(dirs)).collect()
}

/// A primitive, and the layers that do nothing else with the name `t` of two directories.
pub struct Primitive {
    pub name: &'static str,
    pub layers: fn(&[&str]) -> Vec<Layer>,
}

/// What every primitive is tried against.
pub const AGAINST: [Plan; 4] = [
    plan(Swap::Exchange(RELATIVE), AB, Missing::Make),
    plan(Swap::Relink(ABSOLUTE), AB, Missing::Make),
    plan(Swap::Exchange(ABSOLUTE), LAST, Missing::Leave),
    plan(Swap::Exchange(Thing::CanaryFile), LAST, Missing::Leave),
];

pub const PRIMITIVES: &[Primitive] = &[
    Primitive { name: "make a file, write it, set its attributes", layers: layers::files },
    Primitive { name: "make a directory, set its attributes", layers: layers::directories },
    Primitive { name: "make a symlink", layers: one::symlinks },
    Primitive { name: "make a FIFO", layers: one::fifos },
    Primitive { name: "make a device", layers: one::devices },
    Primitive { name: "make a hardlink", layers: one::hardlinks },
    Primitive { name: "make a hardlink at the end of a layer", layers: one::late_hardlinks },
    Primitive { name: "make parents that have no entry", layers: one::parents },
    Primitive { name: "replace a file", layers: one::file_by_file },
    Primitive { name: "replace a directory", layers: layers::replaced },
    Primitive { name: "remove by a whiteout", layers: layers::whiteouts },
    Primitive { name: "remove by an opaque whiteout", layers: layers::opaque },
];

mod one {
    use super::layers::{Layer, again};
    use crate::common::builder::Entry;

    pub fn symlinks(dirs: &[&str]) -> Vec<Layer> {
        again(dirs, |dir, _| vec![Entry::symlink(format!("{dir}/t"), "f").uid(1234).gid(4321)])
    }

    pub fn fifos(dirs: &[&str]) -> Vec<Layer> {
        again(dirs, |dir, _| vec![Entry::fifo(format!("{dir}/t")).mode(0o622).uid(1234)])
    }

    pub fn devices(dirs: &[&str]) -> Vec<Layer> {
        again(dirs, |dir, _| vec![Entry::char(format!("{dir}/t"), 1, 3).mode(0o666).uid(1234)])
    }

    pub fn hardlinks(dirs: &[&str]) -> Vec<Layer> {
        again(dirs, |dir, other| vec![Entry::file(format!("{dir}/t"), "x"), Entry::hardlink(format!("{dir}/h"), format!("{other}/t"))])
    }

    pub fn late_hardlinks(dirs: &[&str]) -> Vec<Layer> {
        let links = dirs.iter().flat_map(|dir| (0..60).map(move |at| Entry::hardlink(format!("{dir}/h{at}"), format!("{dir}/t"))));
        vec![Layer::of(links.chain(dirs.iter().map(|dir| Entry::file(format!("{dir}/t"), "x"))))]
    }

    pub fn parents(dirs: &[&str]) -> Vec<Layer> {
        again(dirs, |dir, _| vec![Entry::file(format!("{dir}/t/x/y/f"), "x"), Entry::file(format!("{dir}/t"), "x")])
    }

    pub fn file_by_file(dirs: &[&str]) -> Vec<Layer> {
        again(dirs, |dir, _| vec![Entry::file(format!("{dir}/t"), "x"), Entry::file(format!("{dir}/t"), "y").mode(0o600)])
    }
}
