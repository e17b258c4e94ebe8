#!/usr/bin/env bash
# Images on disk as others write them: builds one of three layers with umoci, has skopeo write it as a layout, an oci-archive and a
# docker-archive, unpacks each with examples/unpack, by its pin and by its name, in both forms, and compares the trees with the one of
# `umoci unpack` (type, mode, owner, size, sha256, link target, hardlink groups, mtime to the nanosecond, xattrs). A bundle that
# examples/bundle makes of it runs under runc, and so does one whose root is the mounted overlay.
#
#     images.sh [--image DIR]            DIR: what image.sh has made; its image is compared too
#
# A pin that is not the image's, and a file of each form with one byte changed, must leave nothing. Needs root.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

rootfs() { # DIR: a small system around one busybox
  local name
  mkdir -p "$1"/{bin,dev,etc,proc,sys,tmp,usr/bin,usr/share/doc,var/lib,var/log}
  chmod 1777 "$1/tmp"
  cp "$(command -v busybox)" "$1/bin/busybox"
  chmod 4755 "$1/bin/busybox"
  for name in sh ls cat mount; do ln "$1/bin/busybox" "$1/bin/$name"; done
  ln -s ../../bin/busybox "$1/usr/bin/env"
  ln -s /var/lib "$1/usr/lib" # absolute: a later layer writes through it
  printf 'root:x:0:0:root:/:/bin/sh\n' > "$1/etc/passwd"
  printf 'secret\n' > "$1/etc/shadow" && chmod 640 "$1/etc/shadow" && chown 0:42 "$1/etc/shadow"
  printf 'gone\n' > "$1/etc/gone" && mkdir "$1/etc/gone.d" && touch "$1/etc/gone.d/"{a,b}
  mkfifo -m 600 "$1/var/log/pipe"
  setfattr -n user.note -v 'a note' "$1/etc/passwd" 2> /dev/null || true
  ! command -v setcap > /dev/null || { cp "$1/bin/busybox" "$1/usr/bin/ping" && setcap cap_net_raw+ep "$1/usr/bin/ping"; }
  touch --no-dereference --date=@1700000000 "$1/usr/bin/env" "$1/usr/lib"
}

second() { # ROOTFS: what is added, hidden and replaced
  rm -r "$1/etc/gone" "$1/etc/gone.d"
  mkdir "$1/etc/gone.d" && echo new > "$1/etc/gone.d/c"
  echo 'through the link' > "$1/var/lib/new"
  rm "$1/usr/bin/env" && echo '#!/bin/sh' > "$1/usr/bin/env"
  chown 12345:54321 "$1/etc/passwd"
}

third() { # ROOTFS
  rm -r "$1/usr/share" && ln -s ../var "$1/usr/share"
  truncate -s 1M "$1/var/sparse" && ln "$1/var/sparse" "$1/var/sparse-again"
}

built() { # the layout $work/layout with the image `small`, by umoci
  local step
  umoci init --layout "$work/layout"
  umoci new --image "$work/layout:small"
  for step in rootfs second third; do
    umoci unpack --image "$work/layout:small" "$work/bundle"
    $step "$work/bundle/rootfs"
    umoci repack --image "$work/layout:small" "$work/bundle"
    rm -rf -- "$work/bundle"
  done
}

written() { # LAYOUT NAME: the same image in every form, into $work/forms
  mkdir "$work/forms"
  skopeo copy --quiet "oci:$1:$2" "oci:$work/forms/layout:$2"
  skopeo copy --quiet "oci:$1:$2" "oci-archive:$work/forms/oci.tar:$2"
  skopeo copy --quiet "oci:$1:$2" "docker-archive:$work/forms/docker.tar:small:$2"
  # What `docker save` writes today: a layout with the list of a docker-archive.
  mkdir "$work/forms/both"
  tar -C "$work/forms/both" -xf "$work/forms/oci.tar"
  python3 "$here/oci.py" docker-list "$work/forms/both" "small:$2"
  tar -C "$work/forms/both" -cf "$work/forms/both.tar" .
}

list() { listed "$2" > "$work/$1.list"; }

by_umoci() { # LAYOUT:NAME
  umoci unpack --image "$1" "$work/umoci" > "$work/log" 2>&1 || die "umoci: $(cat "$work/log")"
  list umoci "$work/umoci/rootfs"
  rm -rf -- "$work/umoci"
  cut -f 1 "$work/umoci.list" > "$work/entries"
}

same() { # WHAT PEER OURS THEIRS
  "$bin/manifest" diff "$2" "$1" "$work/entries" "$here/differences.txt" "$work/$3.list" "$work/$4.list" > "$work/diff" \
    || { grep '^DIFFERENT' "$work/diff" | head -n 40; failed=$((failed + 1)); }
  compared=$((compared + 1))
  tail -n 1 "$work/diff"
}

unpacked() { # WHAT OPTION...: the tree is umoci's, and the mounted overlay is that tree
  local what=$1 options
  shift
  "$bin/unpack" --json "$@" "$work/ours" > "$work/report" || die "$what: $(cat "$work/report")"
  list ours "$work/ours"
  same "$what" umoci ours umoci
  "$bin/unpack" --json --form overlay-trusted "$@" "$work/stack" > "$work/report" || die "$what: $(cat "$work/report")"
  mkdir "$work/tree"
  options=ro,lowerdir=$(lowerdir_of "$work/report")
  mount -t overlay -o "$options" overlay "$work/tree"
  list overlay "$work/tree"
  same "$what" overlay-trusted ours overlay
  umount "$work/tree"
  rm -rf -- "$work/ours" "$work/stack" "$work/tree"
}

refused() { # KIND OPTION...: nothing is left, and the error names a link of the chain
  local kind=$1
  shift
  ! "$bin/unpack" --json "$@" "$work/refused" > "$work/report" || die "not refused: $*"
  [ ! -e "$work/refused" ] || die "refused, and yet it is there: $*"
  grep -q "\"kind\":\"$kind\"" "$work/report" && grep -q '"descriptor":"' "$work/report" || die "not $kind with its link: $(cat "$work/report")"
}

says() { # BUNDLE: what its container prints
  runc --root "$work/runc" run --bundle "$1" "safe-layers-$$" 2>&1
}

containers_run() { # LAYOUT:NAME: whether that is so for umoci's bundle
  umoci unpack --image "$1" "$work/umoci" > "$work/log" 2>&1 || die "umoci: $(cat "$work/log")"
  python3 "$here/oci.py" run "$work/umoci" sh -c 'echo here'
  [ "$(says "$work/umoci")" = here ] || { says "$work/umoci" > "$work/log" 2>&1; rm -rf -- "$work/umoci"; return 1; }
  rm -rf -- "$work/umoci"
}

runs() { # LAYOUT NAME PIN
  local said="hello from $2, 12"
  containers_run "$1:$2" || { skip "runc $2" "umoci's bundle does not run here: $(last_line "$work/log")"; return 0; }
  "$bin/bundle" "$1:$2" "$3" "$work/bundle" /bin/sh -c 'echo "hello from $0, $((3 * 4))"' "$2"
  [ "$(says "$work/bundle")" = "$said" ] || die "the bundle of $2 says: $(says "$work/bundle")"
  "$bin/unpack" --json --form overlay-trusted --image "$1" --pin "$3" "$work/stack" > "$work/report" || die "$(cat "$work/report")"
  rm -rf -- "$work/bundle/rootfs"
  mkdir "$work/bundle/rootfs" "$work/up" "$work/up-work"
  mount_overlay "$(lowerdir_of "$work/report")" "$work/up" "$work/up-work" "$work/bundle/rootfs"
  [ "$(says "$work/bundle")" = "$said" ] || die "the overlay of $2 says: $(says "$work/bundle")"
  umount "$work/bundle/rootfs"
  rm -rf -- "$work/bundle" "$work/stack" "$work/up" "$work/up-work"
  ran=$((ran + 1))
}

flipped() { # FILE: another one, with a byte in its middle changed
  cp "$1" "$work/flipped"
  python3 "$here/oci.py" flip "$work/flipped"
}

the_image() { # LAYOUT NAME
  local manifest config archive zeros
  zeros=sha256:$(printf '0%.0s' {1..64})
  written "$1" "$2"
  by_umoci "$1:$2"
  read -r manifest config < <(python3 "$here/oci.py" digests "$work/forms/layout" "$2")
  runs "$work/forms/layout" "$2" "$manifest"
  unpacked "$2.layout" --image "$work/forms/layout" --pin "$manifest"
  unpacked "$2.name" --image "$work/forms/layout:$2" --unverified
  for archive in oci both; do
    unpacked "$2.$archive" --image "$work/forms/$archive.tar:$2" --pin "$manifest"
    unpacked "$2.$archive.whole" --image "$work/forms/$archive.tar" --archive-digest "sha256:$(sha256sum < "$work/forms/$archive.tar" | cut -d ' ' -f 1)"
  done
  unpacked "$2.both.id" --image "$work/forms/both.tar" --pin "$config"
  config=$(python3 "$here/oci.py" docker-id "$work/forms/docker.tar")
  unpacked "$2.docker" --image "$work/forms/docker.tar" --pin "$config"
  refused BlobMissing --image "$work/forms/layout" --pin "$zeros"
  refused DigestMismatch --image "$work/forms/docker.tar" --pin "$zeros"
  refused DigestMismatch --image "$work/forms/oci.tar" --archive-digest "$zeros"
  refused ImageMissing --image "$work/forms/oci.tar:other" --pin "$manifest"
  refused ImageMissing --image "$work/forms/oci.tar" --pin "$manifest" --platform plan9/mips
  flipped "$work/forms/oci.tar" && refused DigestMismatch --image "$work/flipped" --pin "$manifest"
  flipped "$work/forms/docker.tar" && refused DiffIdMismatch --image "$work/flipped" --pin "$config"
  rm -rf -- "$work/forms"
}

if [ "${1:-}" != --inside ]; then
  need umoci skopeo runc busybox python3 setfattr tar
  build
  in_namespace "$@"
fi
shift
failed=0 compared=0 ran=0
overlay_ready || { skip images "no overlay can be mounted here"; exit 0; }
mkdir -p "$work/run"
export XDG_RUNTIME_DIR=$work/run
built > "$work/log" 2>&1 || die "umoci: $(cat "$work/log")"
sleep 1 # whatever the image holds is older than what is unpacked
began=$(date +%s)
the_image "$work/layout" small
if [ "${1:-}" = --image ] && [ -e "$2/layout" ]; then
  the_image "$2/layout" real
fi
echo "images: $compared trees compared, with umoci's and as overlays, $failed differ; $ran images run, in both forms"
[ $failed = 0 ]
