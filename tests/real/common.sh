# Sourced by the scripts here: how they end, what they skip, and where they may write.
# shellcheck shell=bash
umask 022
export LC_ALL=C
script=$(basename "$0" .sh)
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$repository/tests/real

die() { echo "$script: $*" >&2; exit 1; }

skip() { # WHAT REASON: the machine cannot do it
  echo "SKIPPED $1: $2"
}

may_lack() { # WHAT REASON: as skip, but where overlays can be mounted it has to work, so continuous integration fails
  [ "${CI:-}" != true ] || die "$1 cannot be skipped with CI=true: $2"
  skip "$1" "$2"
}

need() { # TOOL...: fails unless each is there
  local tool
  for tool in "$@"; do
    command -v "$tool" > /dev/null || die "$tool is missing (.ci/run installs it)"
  done
}

last_line() { tail -n 1 "$1"; }

build() { # the examples, into $bin
  cd "$repository"
  cargo build --quiet --release --example unpack --example manifest --example bundle
  bin=$(cd "${CARGO_TARGET_DIR:-target}/release/examples" && pwd)
}

# Runs the calling script again in a mount namespace of its own, with the new directory $work: every mount goes when the script
# ends, however it ends. Ends the calling script, with the status of that run.
in_namespace() { # ARGUMENT...
  [ "$(id -u)" = 0 ] || die "must run as root: owners, devices and mounts are compared"
  local work status=0
  if ! unshare --mount true 2> /dev/null; then
    skip "$script" "no mount namespace can be made here"
    exit 0
  fi
  work=$(mktemp -d "${TMPDIR:-/tmp}/safe-layers-$script.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf -- '$work'" EXIT
  work=$work bin=${bin:-} TMPDIR=$work/tmp unshare --mount --propagation private bash "$here/$script.sh" --inside "$@" || status=$?
  exit $status
}

# Makes $work fit for overlay mounts: where it is on a filesystem that cannot hold an upper directory, it becomes a tmpfs.
overlay_ready() {
  if ! try_overlay; then
    mount -t tmpfs -o mode=700 tmpfs "$work" 2> /dev/null && try_overlay || return 1
  fi
  mkdir -p "$work/tmp"
}

try_overlay() {
  local try=$work/try status=0
  mkdir -p "$try"/{lower,upper,work,tree}
  mount_overlay "$try/lower" "$try/upper" "$try/work" "$try/tree" 2> /dev/null && umount "$try/tree" || status=1
  rm -rf -- "$try"
  return $status
}

# Without redirects, metadata-only copies and indexes, so that the upper directory alone says what changed.
mount_overlay() { # LOWERDIR UPPER WORK TREE
  mount -t overlay -o "redirect_dir=off,metacopy=off,index=off,lowerdir=$1,upperdir=$2,workdir=$3" overlay "$4"
}

# containerd waits for the disk at each step: many small images take a tenth of the time on a tmpfs, where it has user.* xattrs.
in_memory() {
  mount -t tmpfs -o mode=700 tmpfs "$work" && touch "$work/try" || return 0
  if setfattr -n user.try -v 1 "$work/try" 2> /dev/null; then
    mkdir "$work/tmp"
  else
    umount "$work"
  fi
}

# DIR: what `manifest list` says; times from $began on are `now`.
listed() { "$bin/manifest" list "$1" | awk -F '\t' -v OFS='\t' -v began="$began" -f "$here/normal.awk"; }

lowerdir_of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["lowerdir"])' "$1"; } # REPORT

# Nothing but $work can be written from here on: the peers are made for images that someone trusts.
only_work_is_writable() {
  mount --bind "$work" "$work"
  mount -o remount,bind,ro /
}
