# Sourced by layers.sh: a containerd of its own below $work, without CRI. It serves nobody else and is stopped by its id.
# shellcheck shell=bash

start_containerd() {
  local home=$work/containerd tries store
  mkdir -p "$home"
  cat > "$home/config.toml" << CONFIG
version = 2
root = "$home/root"
state = "$home/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "$home/socket"
[ttrpc]
  address = "$home/ttrpc"
# Nothing is collected: it would take the views of the native snapshotter, which no lease holds.
[plugins."io.containerd.gc.v1.scheduler"]
  startup_delay = "24h"
  deletion_threshold = 0
  mutation_threshold = 1000000000
CONFIG
  # These two wait for the disk at each step. What they hold is small, and nobody needs it later.
  for store in metadata.v1.bolt content.v1.content; do
    mkdir -p "$home/root/io.containerd.$store"
    mount -t tmpfs tmpfs "$home/root/io.containerd.$store"
  done
  containerd --config "$home/config.toml" > "$work/containerd.log" 2>&1 &
  containerd=$!
  trap stop_containerd EXIT
  for tries in {1..100}; do
    ! ctl version > /dev/null 2>&1 || return 0
    kill -0 $containerd 2> /dev/null || return 1
    sleep 0.1
  done
  return 1
}

stop_containerd() {
  [ -n "${containerd:-}" ] || return 0
  kill "$containerd" 2> /dev/null || true
  wait "$containerd" || true
  containerd=
}

ctl() { ctr --address "$work/containerd/socket" "$@"; }

import_layout() { # LAYOUT: each of its tags T becomes the image example/image:T
  tar -C "$1" -cf "$work/import.tar" .
  ctl images import --no-unpack --base-name example/image "$work/import.tar" > "$work/log" 2>&1 || die "ctr: $(cat "$work/log")"
  rm "$work/import.tar"
}

# Unpack an image, and mount it read-only until umount. Views are named by the directory: no two images may share one.
mount_overlayfs() { # TAG MANIFEST CHAIN DIR
  mkdir -p "$4"
  ctl images mount "example/image:$1" "$4"
}

mount_native() { # TAG MANIFEST CHAIN DIR; `images mount` of ctr 1.6 knows no other snapshotter than its default
  local mount
  mkdir -p "$4"
  ctl snapshots unpack --snapshotter native "$2" || return 1
  ctl snapshots --snapshotter native view "$4" "$3" || return 1
  mount=$(ctl snapshots --snapshotter native mounts "$4" "$4")
  [[ $mount =~ ^mount\ -t\ bind\ ([^ ]+)\  ]] || return 1
  mount --bind -o ro "${BASH_REMATCH[1]}" "$4"
}
