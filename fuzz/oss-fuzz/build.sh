#!/bin/bash -eu
# Builds every target of fuzz/Cargo.toml, with its corpus and dictionary beside it.
cd "$SRC/safe-layers"
cargo fuzz build -O --debug-assertions
for source in fuzz/fuzz_targets/*.rs; do
  target=$(basename "$source" .rs)
  cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
  zip -q -j "$OUT/${target}_seed_corpus.zip" "fuzz/corpus/$target/"*
  case $target in
    reader | differential | chunking) cat fuzz/dictionaries/{tar,pax,gzip,zstd}.dict > "$OUT/$target.dict" ;;
    wrap) cat fuzz/dictionaries/{gzip,zstd}.dict > "$OUT/$target.dict" ;;
    fault | policies) cp fuzz/dictionaries/unpack.dict "$OUT/$target.dict" ;;
    image) ;; # its input is no text
    *) cp "fuzz/dictionaries/$target.dict" "$OUT/$target.dict" ;;
  esac
  printf '[libfuzzer]\nmax_len = 16384\ntimeout = 60\n' > "$OUT/$target.options"
done
