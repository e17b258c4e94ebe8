//! One blob, read in other pieces and with another number of threads: the same tree, report or error.
//!
//! ```text
//! input: flags, cuts, sizes of the reads, blob
//! flags: 7 as those of the target `reader` · 8 strict · 16 the blob is applied twice
//! cuts:  15 how many sizes · 112 threads, less one
//! size:  0 the read is interrupted · below 128 bytes · above in blocks
//! ```

use std::io::{self, Read};

use safe_layers::{Ownership, Policy};

use super::Accepted;
use super::pass::limited;
use super::reader::blob_of;
use super::tar::BLOCK;
use super::world::World;
use crate::common::snapshot::Tree;

pub fn chunking(input: &[u8]) -> Accepted {
    let [flags, cuts, rest @ ..] = input else { return Accepted::default() };
    let (sizes, bytes) = rest.split_at(rest.len().min(usize::from(cuts & 15)));
    let blob = blob_of(*flags, bytes);
    let mut policy = limited(if flags & 8 != 0 { Policy::strict() } else { Policy::container() });
    policy.ownership = Ownership::SquashToCaller;
    let world = World::new();
    let run = |sizes, threads| {
        let blobs = (0..=flags >> 4 & 1).map(|_| Cut { rest: &blob, sizes, turn: 0 });
        let result = world.run_from(blobs, &policy, threads);
        world.check(&result);
        // Without the inode numbers, which never repeat.
        let tree = result.is_ok().then(|| Tree::from_nodes(Tree::take(&world.dest(), |_| false).nodes));
        world.clear();
        (result, tree)
    };
    let whole = run(&[], 1);
    let threads = 1 + usize::from(cuts >> 4 & 7);
    for threads in [1, threads] {
        assert_eq!(whole, run(sizes, threads), "{sizes:?}, {threads} threads");
    }
    match whole {
        (Ok(unpacked), Some(tree)) => {
            let xattrs = tree.nodes.values().map(|node| node.xattrs.len() as u64).sum();
            Accepted { xattrs, ..Accepted::of(&unpacked.layers) }
        }
        _ => Accepted::default(),
    }
}

/// Gives pieces of these sizes, in turn; of no sizes, all that there is room for.
struct Cut<'a> {
    rest: &'a [u8],
    sizes: &'a [u8],
    turn: usize,
}

impl Read for Cut<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = match self.sizes.get(self.turn % self.sizes.len().max(1)) {
            None => usize::MAX,
            // Not twice without a byte between: a blob has an end.
            Some(0) if self.sizes.iter().any(|size| *size > 0) => 0,
            Some(0) => 1,
            Some(size @ 1..128) => usize::from(*size),
            Some(size) => usize::from(size - 127) * BLOCK,
        };
        self.turn += 1;
        if most == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = most.min(buffer.len());
        self.rest.read(&mut buffer[..len])
    }
}
