//! One stack in every form, held against the others, the overlay in memory and the model.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use safe_layers::{Error, LayerReport, LowerLayers, OverlayForm, Ownership, Policy, Reason, Resolver, Root, Unpacker, UnsupportedXattrs};

use super::super::Accepted;
use super::super::pass::limited;
use super::super::world::{World, apply_all};
use super::{Item, archive};
use crate::common::model::{Model, Op};
use crate::common::overlaid::{assert_groups, loose, overlaid};
use crate::common::snapshot::{Tree, assert_same};

fn policy(resolver: Resolver) -> Policy {
    let mut policy = limited(Policy::container());
    policy.ownership = Ownership::SquashToCaller;
    policy.unsupported_xattrs = UnsupportedXattrs::Event;
    policy.resolver = resolver;
    policy
}

/// Checks a stack; the error where every form refuses it.
pub fn in_every_form(layers: &[Vec<Item>], given: bool) -> Result<Accepted, Error> {
    let archives = layers.iter().map(|items| archive(items)).collect::<Vec<_>>();
    let world = World::new();
    let merged = merged(&world, &archives, Resolver::Auto, 1);
    assert_same_result(&merged, &self::merged(&world, &archives, Resolver::Walk, 4), "merged, openat2 and the walk");
    let overlay = overlay(&world, &archives, Resolver::Auto, 1);
    assert_same_result(&overlay, &self::overlay(&world, &archives, Resolver::Walk, 4), "overlay, openat2 and the walk");
    check_model(layers, &merged);
    let (built, stack) = match (merged, overlay) {
        (Ok(built), Ok(stack)) => (built, stack),
        (Err(merged), Err(overlay)) => {
            let place = |error: &Error| (error.kind(), error.layer(), error.location().clone());
            assert_eq!(place(&merged), place(&overlay), "{merged} and {overlay}");
            return Err(merged);
        }
        (merged, overlay) => panic!("merged {:?}, overlay {:?}", merged.map(drop), overlay.map(drop)),
    };
    let visible = &stack.trees[stack.hidden..];
    assert_same(&loose(&built.trees[0]), &loose(&overlaid(visible)), "merged and the layers laid over");
    assert_groups(&built.trees[0], visible, "merged and overlay");
    assert_same_reports(&built.reports, &stack.reports);
    if given && archives.len() > 1 {
        check_given(&world, &archives, &stack);
    }
    let xattrs = built.trees[0].nodes.values().map(|node| node.xattrs.len() as u64).sum();
    Ok(Accepted { xattrs, ..Accepted::of(&built.reports) })
}

/// What one run made: one tree, or one for each layer, bottom first.
#[derive(Debug, PartialEq)]
struct Built {
    trees: Vec<Tree>,
    /// Layers at the bottom that an opaque root hides.
    hidden: usize,
    reports: Vec<LayerReport>,
}

fn merged(world: &World, layers: &[Vec<u8>], resolver: Resolver, threads: usize) -> Result<Built, Error> {
    let result = world.run(layers, &policy(resolver), threads);
    world.assert_canary();
    let built = result.map(|unpacked| Built { trees: vec![Tree::take(&world.dest(), |_| false)], hidden: 0, reports: unpacked.layers });
    leave(world, built.is_ok());
    built
}

fn overlay(world: &World, layers: &[Vec<u8>], resolver: Resolver, threads: usize) -> Result<Built, Error> {
    let unpacker = Unpacker::overlay(world.root()?, "dest", OverlayForm::User, policy(resolver))?;
    let result = apply_all(unpacker.threads(NonZeroUsize::new(threads).unwrap()), layers.iter().map(Vec::as_slice));
    world.assert_canary();
    let built = result.map(|unpacked| Built {
        trees: (0..layers.len()).map(|layer| Tree::take(&world.dest().join(layer.to_string()), |_| false)).collect(),
        hidden: layers.len() - unpacked.visible_layers().len(),
        reports: unpacked.layers,
    });
    leave(world, built.is_ok());
    built
}

fn leave(world: &World, made: bool) {
    assert_eq!(world.beside().len(), usize::from(made), "what is left");
    world.clear();
}

fn assert_same_result(one: &Result<Built, Error>, other: &Result<Built, Error>, what: &str) {
    if let (Ok(one), Ok(other)) = (one, other) {
        for (one, other) in one.trees.iter().zip(&other.trees) {
            assert_same(&without_inodes(one), &without_inodes(other), what);
        }
        assert_eq!((&one.reports, one.hidden), (&other.reports, other.hidden), "{what}");
    } else {
        assert_eq!(one.as_ref().map(drop), other.as_ref().map(drop), "{what}");
    }
}

/// Inode numbers never repeat.
fn without_inodes(tree: &Tree) -> Tree {
    Tree::from_nodes(tree.nodes.clone())
}

/// But for the copies of a lower layer's files, which the merged form has no use for.
fn assert_same_reports(merged: &[LayerReport], overlay: &[LayerReport]) {
    let told = |report: &LayerReport| {
        let counts: BTreeMap<_, _> = report.events.counts().iter().filter(|(reason, _)| **reason != Reason::CopiedUp).collect();
        format!("{:?}", (report.diff_id, report.entries, report.file_bytes, counts))
    };
    let told = |reports: &[LayerReport]| reports.iter().map(told).collect::<Vec<_>>();
    assert_eq!(told(merged), told(overlay), "the reports of the two forms");
}

/// The model says the same, where it knows: without parents that are symlinks, attributes and entries of the root.
fn check_model(layers: &[Vec<Item>], merged: &Result<Built, Error>) {
    let Some(ops) = layers.iter().map(|items| items.iter().map(Item::op).collect()).collect::<Option<Vec<Vec<Op>>>>() else { return };
    // A hardlink may be one of a symlink.
    let links = layers.iter().flatten().filter(|item| matches!(item.kind, b's' | b'h')).map(|item| &item.path).collect::<BTreeSet<_>>();
    let symlinks = layers.iter().flatten().any(|item| item.kind == b's');
    let through = |path: &str| path.match_indices('/').any(|(slash, _)| links.contains(&path.split_at(slash).0.to_owned()));
    let opaque = |item: &Item| item.kind == b'o' && links.contains(&item.path);
    if symlinks && layers.iter().flatten().any(|item| through(&item.path) || through(&item.target) || opaque(item)) {
        return;
    }
    match (Model::of(&ops), merged) {
        (Some(model), Ok(built)) => {
            let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            assert_same(&model.tree(owner), &built.trees[0], "the model and the merged tree");
        }
        (None, Err(_)) => {}
        (model, merged) => {
            panic!("the model {}, merged {:?}", if model.is_some() { "accepts" } else { "refuses" }, merged.as_ref().map(drop))
        }
    }
}

/// The last layer on top of the others as given ones: the same directory, and the given ones are as they were.
fn check_given(world: &World, layers: &[Vec<u8>], stack: &Built) {
    let (last, lower) = layers.split_last().unwrap();
    let unpacker = Unpacker::overlay(world.root().unwrap(), "dest", OverlayForm::User, policy(Resolver::Auto)).unwrap();
    let unpacked = apply_all(unpacker, lower.iter().map(Vec::as_slice)).unwrap();
    let dir = |layer: usize| world.dest().join(layer.to_string());
    let trees = || (0..lower.len()).map(|layer| Tree::take(&dir(layer), |_| false)).collect::<Vec<_>>();
    let before = trees();
    let open = |name: String| Root::open_ambient(world.dest().join(name), safe_layers::ambient_authority()).unwrap();
    let below = LowerLayers::Known(unpacked.visible_layers().into_iter().map(open).collect());
    let top = Unpacker::overlay_on(world.root().unwrap(), "top", OverlayForm::User, below, policy(Resolver::Walk)).unwrap();
    let top = apply_all(top, [last.as_slice()]);
    let at = world.dest().with_file_name("top");
    match top {
        Ok(_) => {
            assert_same(&stack.trees[lower.len()], &Tree::take(&at.join("0"), |_| false), "on top of its own layers and of given ones");
        }
        // What was given stays as closed as it is, also to the one who made it.
        Err(error) if !rustix::process::geteuid().is_root() && error.errno() == Some(13) => {}
        Err(error) => panic!("on top of given layers: {error}"),
    }
    assert_eq!(before, trees(), "a given layer changed");
    world.clear();
    world.clear_at(&at);
}
