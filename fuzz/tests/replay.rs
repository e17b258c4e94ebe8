//! Every file of the corpus, through the body of its target.

use std::path::Path;

use safe_layers_fuzz::bodies::{TARGETS, replay};

#[test]
fn the_corpus_passes_and_reaches_every_kind_of_entry() {
    for target in TARGETS {
        replay(target, Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")));
    }
}
