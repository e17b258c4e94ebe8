#!/usr/bin/env bash
# Makes the layers that are unpacked, from what Debian publishes, by mmdebstrap and apt-get: `data.sh DIR WORKLOAD...`.
#
#     rootfs   a root filesystem with compilers, Python and git
#     many     the sources of the kernel: very many small files
#     large    the largest files of browsers and of what they are made of
#     small    what a few packages hold, for the short form
#
# DIR/WORKLOAD/FORMAT, with FORMAT one of plain, gzip (-6) and zstd (-3), then has: blob, the layer; layout, an OCI layout of an image
# with this one layer, and import.tar, the same for containerd; claims, which the runner reads. What is there is not made again.
# Needs root, the mirror that apt has, and up to 25 GB for all of them.
set -euo pipefail
umask 022
export LC_ALL=C

rootfs=(build-essential ca-certificates curl git less man-db openssh-client perl python3-dev strace vim)
large=(chromium firefox-esr thunderbird libreoffice-core libqt5webenginecore5 libwebkit2gtk-4.1-0 qemu-system-x86)
small=(base-files bash coreutils dpkg libc6 login mount passwd perl-base tzdata)

die() { echo "data: $*" >&2; exit 1; }

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" > /dev/null || die "$tool is missing"
  done
}

logged() { # COMMAND...
  "$@" > "$work/log" 2>&1
}

fetch() { # PACKAGE...: into the current directory
  local download=(apt-get -q -o APT::Sandbox::User=root download "$@")
  logged "${download[@]}" || { logged apt-get -q update && logged "${download[@]}"; } \
    || die "apt-get cannot fetch $*: $(tail -n 1 "$work/log")"
}

contents() { # PACKAGE...: their files, in $work/files
  local package
  mkdir "$work/debs" "$work/files"
  (cd "$work/debs" && fetch "$@")
  for package in "$work"/debs/*.deb; do
    dpkg-deb -x "$package" "$work/files"
  done
}

# Names on standard input, each ended by a NUL, without the directories above them: those are put in.
archive() { # FILE
  awk 'BEGIN { RS = ORS = "\0" }
    function once(path) { if (!(path in seen)) { seen[path]; print path } }
    { n = split($0, part, "/"); path = part[1]; for (i = 2; i <= n; i++) { once(path); path = path "/" part[i] } once(path) }' \
    | tar -C "$work/files" --format=pax --pax-option=delete=atime,delete=ctime --numeric-owner --no-recursion --null -T - -cf "$1"
}

make_rootfs() {
  local suite
  need mmdebstrap
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
  logged mmdebstrap --quiet --variant=minbase --mode=root --format=tar --include="$(IFS=,; echo "${rootfs[*]}")" "$suite" "$1" \
    || die "mmdebstrap: $(tail -n 1 "$work/log")"
}

make_many() {
  local package
  need xz
  package=$(apt-cache depends linux-source | sed -n 's/^ *Depends: //p' | head -n 1)
  [ "$package" != "" ] || die "apt knows no linux-source: apt-get update"
  contents "$package"
  xz -dc "$work"/files/usr/src/linux-source-*.tar.xz > "$1"
}

make_large() {
  contents "${large[@]}"
  (cd "$work/files" && find . -type f -size +4M -print0 | sort -z) | archive "$1"
}

make_small() {
  contents "${small[@]}"
  (cd "$work/files" && find . -print0 | sort -z) | archive "$1"
}

digest() { sha256sum "$1" | sed 's/^\([0-9a-f]*\).*/sha256:\1/'; }

blob_of() { # FILE: moved into the layout under its digest, which is printed
  local digest
  digest=$(digest "$1")
  mv "$1" "$layout/blobs/sha256/${digest#sha256:}"
  echo "$digest"
}

describe() { # TYPE DIGEST
  local size
  size=$(stat -c %s "$layout/blobs/sha256/${2#sha256:}")
  printf '{"mediaType":"application/vnd.oci.image.%s","digest":"%s","size":%s}' "$1" "$2" "$size"
}

image() { # FORMAT: the layout around $made/blob
  local layout=$made/layout layer config manifest machine type=layer.v1.tar
  local tag='"annotations":{"org.opencontainers.image.ref.name":"layer"}'
  [ "$1" = plain ] || type+=+$1
  machine=$(printf '"architecture":"%s","os":"linux"' "$(dpkg --print-architecture)")
  mkdir -p "$layout/blobs/sha256"
  ln "$made/blob" "$work/linked"
  layer=$(blob_of "$work/linked")
  printf '{%s,"config":{},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}' \
    "$machine" "$diff_id" > "$work/config"
  config=$(blob_of "$work/config")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$(describe config.v1+json "$config")" "$(describe "$type" "$layer")" > "$work/manifest"
  manifest=$(blob_of "$work/manifest")
  printf '{"imageLayoutVersion":"1.0.0"}' > "$layout/oci-layout"
  printf '{"schemaVersion":2,"manifests":[%s,"platform":{%s},%s}]}' \
    "$(describe manifest.v1+json "$manifest" | sed 's/}$//')" "$machine" "$tag" > "$layout/index.json"
  tar -C "$layout" --hard-dereference -cf "$made/import.tar" oci-layout index.json blobs
  printf '%s\n' "blob $layer" "diff_id $diff_id" "manifest $manifest" "entries $entries" "paths $paths" "bytes $bytes" > "$made/claims"
}

packed() { # FORMAT PLAIN: into $made/blob
  case $1 in
    plain) cp "$2" "$made/blob" ;;
    gzip) gzip -n -6 < "$2" > "$made/blob" ;;
    zstd) zstd -q -3 < "$2" > "$made/blob" ;;
  esac
}

make() { # WORKLOAD
  local made format diff_id entries paths bytes
  echo "data: making $1" >&2
  rm -rf -- "${work:?}"/*
  "make_$1" "$work/tar"
  diff_id=$(digest "$work/tar") bytes=$(stat -c %s "$work/tar")
  tar --quoting-style=escape -tf "$work/tar" > "$work/names"
  entries=$(wc -l < "$work/names")
  # The root itself is no path in the tree.
  paths=$(sed -e 's|^\./||' -e 's|/$||' "$work/names" | sort -u | grep -vc '^$')
  mkdir "$work/all"
  for format in plain gzip zstd; do
    made=$work/all/$format
    mkdir "$made"
    packed $format "$work/tar"
    image $format
  done
  mv "$work/all" "$dir/$1"
}

[ $# -ge 2 ] || die "usage: data.sh DIR WORKLOAD..."
[ "$(id -u)" = 0 ] || die "must run as root: owners and devices are packed"
need apt-get dpkg-deb tar gzip zstd sha256sum
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
work=$(mktemp -d "$dir/making.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
for workload in "$@"; do
  case $workload in
    rootfs | many | large | small) [ -d "$dir/$workload" ] || make "$workload" ;;
    *) die "no such workload: $workload" ;;
  esac
done
