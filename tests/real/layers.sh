#!/usr/bin/env bash
# Real layers: unpacks the image of image.sh with examples/unpack, merged and in overlay form, and with GNU tar, bsdtar, umoci and
# containerd, and compares the trees (type, mode, owner, size, sha256, link target, hardlink groups, mtime to the nanosecond,
# xattrs).
#
#     layers.sh [--image DIR]            DIR: what image.sh has made; without it, the image is built
#     layers.sh --cases DIR [--update]   DIR: the cases of the conformance suite (SAFE_LAYERS_DUMP); the outcome has to be that of
#                                        cases.txt, which --update writes anew
#
# Only the differences of differences.txt are allowed; docs/DIVERGENCES.md says why. GNU tar and bsdtar know no whiteouts: oci.py
# removes before each layer what its markers and its changes of type take away, and they extract the rest. containerd runs
# privately, below the script's own directory, and is stopped at the end. Needs root.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$here/containerd.sh"
. "$here/cases.sh"

arguments() { # sets image, cases and update
  image='' cases='' update=''
  while [ $# != 0 ]; do
    case $1 in
      --image) [ $# -ge 2 ] || die "$1 needs a value"; image=$(cd "$2" && pwd); shift 2 ;;
      --cases) [ $# -ge 2 ] || die "$1 needs a value"; cases=$(cd "$2" && pwd); shift 2 ;;
      --update) update=1; shift ;;
      *) die "usage: layers.sh [--image DIR] | --cases DIR [--update]" ;;
    esac
  done
}

image_layers() { # sets layers and claims, or ends the script with the reason
  local blob diff_id
  if [ "$image" = "" ]; then
    image=$work/image
    bash "$here/image.sh" "$image"
  fi
  [ -e "$image/layers" ] || { skip "real layers" "image.sh has made no image"; exit 0; }
  layers=("$image"/layers/*.tar.gz)
  claims=()
  while read -r blob diff_id; do
    claims+=(--blob "$blob" --diff-id "$diff_id")
  done < "$image/layers/claims"
}

entries() { # what the layers name, one a line
  local layer
  for layer in "${layers[@]}"; do
    tar --quoting-style=literal -tf "$layer"
  done
}

ours() {
  "$bin/unpack" --json "${claims[@]}" "${layers[@]}" "$work/ours" > "$work/report" || die "$(cat "$work/report")"
  list ours "$work/ours"
}

list() { listed "$2" > "$work/$1.list"; }

compare() { # PEER: its list with ours
  local status=0
  "$bin/manifest" diff "$1" real.image "$work/entries" "$here/differences.txt" "$work/ours.list" "$work/$1.list" > "$work/diff" || status=1
  grep '^DIFFERENT' "$work/diff" | head -n 40 || true
  tail -n 1 "$work/diff"
  [ $status = 0 ] || failed=$((failed + 1))
}

layer_by_layer() { # PEER COMMAND...
  local peer=$1 layer
  shift
  mkdir "$work/$peer"
  for layer in "${layers[@]}"; do
    python3 "$here/oci.py" clear "$work/$peer" "$layer"
    "$@" --exclude='.wh.*' -C "$work/$peer" -xpf "$layer" 2> "$work/log" || echo "$peer: exit status $?: $(head -n 1 "$work/log")"
  done
  list "$peer" "$work/$peer"
  compare "$peer"
  rm -rf -- "${work:?}/$peer"
}

with_umoci() {
  umoci unpack --image "$image/layout:real" "$work/umoci" > "$work/log" 2>&1 || die "umoci: $(cat "$work/log")"
  list umoci "$work/umoci/rootfs"
  compare umoci
  rm -rf -- "$work/umoci"
}

with_containerd() {
  local snapshotter image_words
  start_containerd || { skip containerd "$(last_line "$work/containerd.log")"; return; }
  import_layout "$image/layout"
  read -ra image_words < "$image/layers/image"
  for snapshotter in overlayfs native; do
    "mount_$snapshotter" "${image_words[@]}" "$work/view" > "$work/log" 2>&1 || die "containerd: $(cat "$work/log")"
    list "containerd-$snapshotter" "$work/view"
    umount "$work/view"
    compare "containerd-$snapshotter"
  done
  stop_containerd
}

with_overlay_forms() {
  local form options
  for form in trusted user; do
    "$bin/unpack" --json --form "overlay-$form" "${claims[@]}" "${layers[@]}" "$work/stack" > "$work/report" || die "$(cat "$work/report")"
    options=ro,lowerdir=$(lowerdir_of "$work/report")
    [ $form = trusted ] || options+=,userxattr
    mkdir "$work/tree"
    mount -t overlay -o "$options" overlay "$work/tree"
    list "overlay-$form" "$work/tree"
    umount "$work/tree"
    compare "overlay-$form"
    rm -rf -- "$work/stack" "$work/tree"
  done
}

versions() { # of the peers: what was measured holds for these
  local umoci containerd
  umoci=$(umoci --version | cut -d + -f 1) containerd=$(containerd --version | cut -d ' ' -f 3)
  echo "# $(tar --version | head -n 1 | sed 's/.* /GNU tar /'), $(bsdtar --version | cut -d ' ' -f 1,2), ${umoci/ version/}, containerd ${containerd%%~*}"
}

# Each rule that is allowed has a row in docs/DIVERGENCES.md and a case that shows it, and each row a rule; the table of outcomes
# there is that of cases.txt.
table_is_true() {
  local table=$repository/docs/DIVERGENCES.md allowed
  allowed=$(sed -e 's/#.*//' "$here/differences.txt" | awk 'NF { print $1 }' | sort -u)
  diff <(echo "$allowed") <(sed -n 's/^| \(§[^:| ]*\).*/\1/p' "$table" | sort) || die "differences.txt (<) and DIVERGENCES.md (>) disagree"
  diff <(echo "$allowed") <(grep -v '^#' "$here/cases.txt" | cut -f 5 | tr , '\n' | grep . | sort -u) || die "differences.txt (<) and cases.txt (>) disagree"
  diff <(grep '^| \(GNU tar\|bsdtar\|umoci\|containerd, [a-z]*\) |' "$table") <(awk -F '\t' -f "$here/outcomes.awk" "$here/cases.txt") \
    || die "the outcomes in DIVERGENCES.md (<) are not those of cases.txt (>)"
}

the_image() {
  image_layers
  only_work_is_writable
  began=$(date +%s)
  entries > "$work/entries"
  ours
  layer_by_layer gnutar tar --warning=no-timestamp --delay-directory-restore --numeric-owner --xattrs --xattrs-include='*'
  layer_by_layer bsdtar env LC_ALL=C.UTF-8 bsdtar --numeric-owner
  with_umoci
  with_containerd
  with_overlay_forms
  [ $failed = 0 ] || die "$failed trees differ"
}

the_cases() {
  if [ "$update" = "" ] && ! cmp -s <(versions) <(head -n 1 "$here/cases.txt"); then
    skip cases "cases.txt was measured with other versions: $(head -n 1 "$here/cases.txt")"
    return
  fi
  [ -z "$update" ] || mount --bind "$here" "$here"
  only_work_is_writable
  began=$(date +%s)
  run_cases "$cases"
  cut -f 2,3 "$work"/result.* | sort | uniq -c
  [ -z "$update" ] || { cp "$work/cases.txt" "$here/cases.txt"; table_is_true; return; }
  diff -u "$here/cases.txt" "$work/cases.txt" || die "the outcome is not that of cases.txt"
  ! cut -f 1-3,5 "$work/cases.txt" | grep -F '?' || die "no rule allows this"
}

if [ "${1:-}" != --inside ]; then
  arguments "$@"
  need tar bsdtar gzip python3 umoci containerd ctr
  [[ " $* " = *" --update "* ]] || table_is_true
  build
  in_namespace "$@"
fi
shift
arguments "$@"
failed=0
overlay_ready || { skip layers "no overlay can be mounted here"; exit 0; }
if [ "$cases" = "" ]; then the_image; else the_cases; fi
