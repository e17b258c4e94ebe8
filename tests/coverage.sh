#!/usr/bin/env bash
# What the tests reach of src/, by rustc's own counters (-C instrument-coverage) and LLVM's tools.
#
#     coverage.sh                 the whole suite; as root also a second time as uid 65534
#     coverage.sh --corpora       the committed fuzz corpora alone, through the bodies of their targets; as root also as uid 65534
#     coverage.sh --gate          as --corpora, and fails where a module of GATED is below LEAST per cent of its lines
#     coverage.sh ... --branches  branches too, which needs a nightly toolchain
#     coverage.sh ... --write     enters the figures in docs/COVERAGE.md
#     coverage.sh ... --missed    lists the lines that nothing reached
#
# The tools must be of the LLVM that rustc is built on (`rustc -vV`): its formats change with most versions. LLVM_VERSION says
# which ones to take. Documentation tests are not measured: stable has no way to.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8
GATED=(archive entry root apply)
LEAST=95

die() { echo "coverage: $*" >&2; exit 1; }

what=suite toolchain=() report=() options=(-C instrument-coverage) kind=coverage
for argument in "$@"; do
  case $argument in
    --corpora) what=corpora ;;
    --gate) what=corpora report+=(--least "$LEAST" --of "${GATED[@]}") ;;
    --branches) toolchain=(+nightly) options+=(-Z coverage-options=branch) kind+=-branches ;;
    --write) report+=(--write docs/COVERAGE.md) ;;
    --missed) report+=(--missed) ;;
    *) die "what is $argument? See the head of this file" ;;
  esac
done

# LLVM's tools: of this version, from Debian, from the rustup component, or as they come.
version=${LLVM_VERSION:-$(rustc "${toolchain[@]}" -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')}
tool() {
  local candidate
  for candidate in "$1-$version" "/usr/lib/llvm-$version/bin/$1" "$(rustc "${toolchain[@]}" --print target-libdir)/../bin/$1" "$1"; do
    ! command -v "$candidate" || return 0
  done
  die "no $1: apt-get install llvm-$version, or rustup component add llvm-tools"
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)

scratch=$(mktemp -d /tmp/safe-layers-coverage.XXXXXX)
trap 'rm -rf -- "$scratch"' EXIT
chmod 755 "$scratch"
mkdir "$scratch/tmp"
chmod 1777 "$scratch/tmp"
# Only what is here is counted, for counting slows: dependencies are those of other builds.
target=${CARGO_TARGET_DIR:-$PWD/target}
wrapper=$target/rustc-$kind
mkdir -p "$target"
printf '#!/bin/sh\nexec "$@" %s\n' "${options[*]}" > "$scratch/rustc"
chmod +x "$scratch/rustc"
cmp -s "$scratch/rustc" "$wrapper" || cp "$scratch/rustc" "$wrapper"

build() { # true of a test, its executable, a line each
  RUSTC_WORKSPACE_WRAPPER=$wrapper cargo "${toolchain[@]}" test --locked --all-features --no-run \
    --message-format=json "$@" | sed -n 's/.*"profile":{[^}]*"test":\(true\|false\)}.*"executable":"\([^"]*\)".*/\1 \2/p'
}

run() { # COMMAND...: its counters are kept
  LLVM_PROFILE_FILE="$profiles/%p-%m.profraw" "$@" > "$scratch/out" 2>&1 || { tail -n 60 "$scratch/out"; die "$* failed"; }
  sed -n 's/^test result: /  &/p' "$scratch/out"
}

case $what in
  corpora) build --test fuzz_replay ;;
  # An example's own tests are empty, the example is run by tests.
  suite) build --lib --tests && build --examples ;;
esac > "$scratch/executables"
[ -s "$scratch/executables" ] || die "nothing was built"
profiles=$scratch/profiles
mkdir -m 1777 "$profiles"
echo "coverage: $what, $(rustc "${toolchain[@]}" --version), LLVM $version"
while read -r test executable; do
  [ "$test" = true ] || continue
  name=$(basename "$executable")
  echo "${name%-*}"
  run "$executable" --quiet
  # What an ordinary user meets: files of his own that he may not read, owners that he may not give.
  if [ "$(id -u)" = 0 ]; then
    cp "$executable" "$scratch/tmp/"
    run setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all env HOME="$scratch/tmp" TMPDIR="$scratch/tmp" \
      "$scratch/tmp/$name" --quiet
  fi
done < "$scratch/executables"

find "$profiles" -name '*.profraw' -size +0 > "$scratch/list"
"$profdata" merge --sparse --failure-mode=all --input-files="$scratch/list" -o "$scratch/all.profdata" 2> "$scratch/warnings" \
  || { cat "$scratch/warnings"; die "$profdata does not read what rustc's counters wrote"; }
objects=()
while read -r _ executable; do
  objects+=(--object "$executable")
done < "$scratch/executables"
"$cov" export --format=lcov --instr-profile="$scratch/all.profdata" "${objects[@]}" --sources src > "$scratch/lcov"
python3 tests/coverage.py "$scratch/lcov" --title "$what" "${report[@]}"
