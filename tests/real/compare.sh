#!/usr/bin/env bash
# Real input: unpacks what Debian, crates.io and npm publish with examples/unpack, GNU tar and bsdtar, and compares the trees
# (type, mode, owner, size, sha256, link target, hardlink groups, link count, mtime to the nanosecond, xattrs).
#
# Only the differences of differences.txt are allowed; docs/DIVERGENCES.md says why. Needs root, for owners and setuid bits.
# What a registry does not give is skipped with the reason. Writes to one temporary directory and the caches of apt and cargo.
set -euo pipefail
umask 022
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

debs=(base-files bash coreutils dpkg libc6 login mount passwd perl-base tzdata)
crates=(cap-std flate2 libc proptest rustix serde sha2 syn tar zstd-sys)
npm=semver

die() { echo "compare: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "must run as root, or owners cannot be compared"
for tool in tar bsdtar zstd gzip sha256sum; do
  command -v "$tool" > /dev/null || die "$tool is missing (.ci/run installs it)"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/safe-layers-real.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
mkdir "$work/blobs" "$work/fetch"

cargo build --quiet --release --example unpack --example manifest
target=${CARGO_TARGET_DIR:-target}
bin=$(cd "$target/release/examples" && pwd)

compared=0 allowed=0 archives=0 failed=0 skipped=0

skip() { # WHAT, then the reason on standard input: its last line is told
  skipped=$((skipped + 1))
  echo "SKIPPED $1: $(tail -n 1)"
}

plain() { # the uncompressed bytes of BLOB
  case $1 in
    *.gz | *.tgz | *.crate) gzip -dc "$1" ;;
    *.zst) zstd -dcq "$1" ;;
    *) cat "$1" ;;
  esac
}

sum() { sha256sum | cut -d ' ' -f 1; }

list() { "$bin/manifest" list "$work/$1" > "$work/$1.list"; }

ours() { # BLOB: unpacks twice, with and without claims, to the same tree
  "$bin/unpack" --policy container --unverified --json "$1" "$work/ours" > "$work/report" || { cat "$work/report"; return 1; }
  local blob diff_id
  blob="sha256:$(sum < "$1")@$(stat -c %s "$1")"
  diff_id="sha256:$(plain "$1" | sum)"
  "$bin/unpack" --blob "$blob" --diff-id "$diff_id" "$1" "$work/claimed" > "$work/claimed.out" || return 1
  "$bin/unpack" --unverified - "$work/streamed" < "$1" > "$work/streamed.out" || return 1
  list ours && list claimed && list streamed
  cmp "$work/ours.list" "$work/claimed.list" && cmp "$work/ours.list" "$work/streamed.list"
}

refused() { # BLOB: a wrong claim leaves nothing
  local zeros
  zeros=sha256:$(printf '0%.0s' {1..64})
  if "$bin/unpack" --blob "$zeros" "$1" "$work/refused" 2> "$work/refused.err"; then
    echo "FAILED: a wrong digest was accepted"
    return 1
  fi
  [ ! -e "$work/refused" ] && grep -q '^unpack: refused: DigestMismatch' "$work/refused.err"
}

peer() { # NAME ARCHIVE COMMAND...: the same with another unpacker, and the comparison
  local name=$1 archive=$2 line status=0
  shift 2
  mkdir "$work/$name"
  "$@" -C "$work/$name" || { echo "FAILED: $name"; return 1; }
  list "$name"
  "$bin/manifest" diff "$name" "$archive" "$work/entries" "$here/differences.txt" "$work/ours.list" "$work/$name.list" \
    > "$work/diff" || status=1
  head -n 40 "$work/diff" | grep '^DIFFERENT' || true
  line=$(tail -n 1 "$work/diff")
  echo "$line"
  compared=$((compared + $(sed -n 's/.*: \([0-9]*\) compared, .*/\1/p' <<< "$line")))
  allowed=$((allowed + $(sed -n 's/.* compared, \([0-9]*\) allowed .*/\1/p' <<< "$line")))
  return $status
}

devices() { # every device that the peers made is an event of ours
  local skipped_devices left_out
  skipped_devices=$(sed -n 's/.*"DeviceSkipped":\([0-9]*\).*/\1/p' "$work/report")
  left_out=$(sed -n 's/.*, \([0-9]*\) devices left out.*/\1/p' "$work/diff")
  [ "${skipped_devices:-0}" = "$left_out" ] || { echo "FAILED: ${skipped_devices:-0} devices told, $left_out there"; return 1; }
}

compare() { # NAME BLOB
  local ok=1
  archives=$((archives + 1))
  tar --quoting-style=literal -tf "$2" > "$work/entries"
  if ours "$2"; then
    refused "$2" || ok=0
    peer gnutar "$1" tar --warning=no-timestamp --delay-directory-restore --numeric-owner --xattrs --xattrs-include='*' -xpf "$2" || ok=0
    peer bsdtar "$1" bsdtar --numeric-owner -xpf "$2" || ok=0
    devices || ok=0
  else
    ok=0
  fi
  [ $ok = 1 ] || { failed=$((failed + 1)); echo "FAILED $1"; }
  rm -rf -- "$work"/{ours,claimed,streamed,refused,gnutar,bsdtar}
}

debian_rootfs() {
  local suite sources=() tar="$work/blobs/debian.tar"
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
  [ ! -e /etc/apt/sources.list.d/debian.sources ] || sources=(/etc/apt/sources.list.d/debian.sources)
  if ! mmdebstrap --quiet --variant=minbase --mode=root "$suite" "$tar" "${sources[@]}" > "$work/log" 2>&1; then
    skip "Debian minbase rootfs" < "$work/log"
    return
  fi
  gzip -k6 "$tar"
  zstd -q "$tar"
  compare debian.tar "$tar"
  compare debian.tar.gz "$tar.gz"
  compare debian.tar.zst "$tar.zst"
  with_nanoseconds "$tar" "$work/blobs/pax.tar"
  compare debian-pax.tar "$work/blobs/pax.tar"
  rm "$tar"* "$work/blobs/pax.tar"
}

with_nanoseconds() { # TAR OUT: the same tree as PAX, with times below the second and a file capability
  mkdir "$work/tree"
  tar --numeric-owner -xpf "$1" -C "$work/tree"
  ! command -v setcap > /dev/null || setcap cap_net_raw+ep "$work/tree/bin/ls"
  find "$work/tree" -depth -exec touch --no-dereference --date=@1700000000.123456789 {} +
  touch --date=@-1.5 "$work/tree/etc/passwd"
  tar --numeric-owner --format=posix --xattrs --xattrs-include='*' -C "$work/tree" -cf "$2" .
  rm -rf -- "$work/tree"
}

debian_packages() {
  local deb
  if ! (cd "$work/fetch" && apt-get download -q -o APT::Sandbox::User=root "${debs[@]}") > "$work/log" 2>&1; then
    skip "Debian packages" < "$work/log"
    return
  fi
  for deb in "${debs[@]}"; do
    dpkg-deb --fsys-tarfile "$work/fetch/${deb}"_*.deb > "$work/blobs/$deb.tar"
    compare "deb:$deb" "$work/blobs/$deb.tar"
  done
}

crate_archives() {
  local crate version
  if ! cargo fetch --locked > "$work/log" 2>&1; then
    skip "crate archives" < "$work/log"
    return
  fi
  for crate in "${crates[@]}"; do
    version=$(awk -v name="\"$crate\"" '$1 == "name" { hit = $3 == name } hit && $1 == "version" { gsub(/"/, "", $3); print $3; exit }' Cargo.lock)
    compare "crate:$crate" "$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/"$crate-$version.crate")"
  done
}

npm_package() {
  command -v npm > /dev/null || { skip "npm package" <<< "npm is not installed"; return; }
  if ! (cd "$work/fetch" && npm pack --silent --cache "$work/npm" "$npm") > "$work/log" 2>&1; then
    skip "npm package" < "$work/log"
    return
  fi
  compare "npm:$npm" "$(echo "$work/fetch/$npm"-*.tgz)"
}

debian_rootfs
debian_packages
crate_archives
npm_package

echo
echo "$compared compared, $allowed allowed differences: paths of $archives archives, against GNU tar and bsdtar; $skipped inputs skipped"
[ $archives != 0 ] || die "nothing was compared"
[ $failed = 0 ] || die "$failed archives differ"
