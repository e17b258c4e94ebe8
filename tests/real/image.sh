#!/usr/bin/env bash
# Builds a real image of three layers from Debian packages, for layers.sh and keeps.sh: `image.sh DIR`.
#
# 0: what mmdebstrap writes: minbase and ping, with device nodes, setuid programs, hardlinks and a file capability. 1: packages
# installed and reinstalled over it. 2: what is removed, replaced and made again. Layers 1 and 2 are the upper directories of overlay mounts,
# written as change sets. DIR then has layers/{0,1,2}.tar.gz, layers/claims (`DIGEST@SIZE DIFF_ID` of each), layers/image (`TAG
# MANIFEST_DIGEST CHAIN_ID`) and layout, an OCI layout. Without a mirror to fetch from, DIR/layers does not appear and the reason is told.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

with_base=(iputils-ping libcap2-bin)
installed=(less)
reinstalled=(iputils-ping login perl-base)

layer_of_packages() {
  local suite sources=()
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
  [ ! -e /etc/apt/sources.list.d/debian.sources ] || sources=(/etc/apt/sources.list.d/debian.sources)
  mmdebstrap --quiet --variant=minbase --include="$(IFS=,; echo "${with_base[*]}")" --mode=root "$suite" "$work/0.tar" "${sources[@]}" > "$work/log" 2>&1 || return 1
  mkdir "$work/0"
  tar --numeric-owner --xattrs --xattrs-include='*' -xpf "$work/0.tar" -C "$work/0"
}

download() { # to $work/debs, what TREE needs for the packages
  apt-get -q -y --no-install-recommends --download-only --reinstall \
    -o APT::Sandbox::User=root -o Dir::State::status="$1/var/lib/dpkg/status" -o Dir::Cache::archives="$work/debs" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= install "${reinstalled[@]}" "${installed[@]}" > "$work/log" 2>&1
}

install_packages() { # in TREE
  mkdir -p "$work/debs/partial"
  download "$1" || { apt-get update -q > "$work/log" 2>&1 && download "$1"; } || return 1
  DEBIAN_FRONTEND=noninteractive dpkg --root="$1" --install "$work"/debs/*.deb > "$work/log" 2>&1 || die "$(cat "$work/log")"
  getcap "$1/bin/ping" | grep -q cap_net_raw || die "ping has no capability"
}

# Each line is one way in which a layer takes something away or puts something else in its place.
change_everything() { # in TREE
  cd "$1"
  rm usr/bin/chage etc/issue.net dev/ptmx
  rm -r usr/share/doc
  rm -r usr/share/common-licenses && mkdir usr/share/common-licenses && echo new > usr/share/common-licenses/README
  rm -r var/cache/apt && mkdir -p var/cache/apt/archives/partial
  rm var/run && mkdir -m 1777 var/run && echo 1 > var/run/pid
  rm -r usr/share/lintian && ln -s doc usr/share/lintian
  rm -r usr/share/bash-completion && echo 'was a directory' > usr/share/bash-completion
  rm etc/issue && mkdir etc/issue && echo 'was a file' > etc/issue/text
  rm usr/bin/perl && cp usr/bin/true usr/bin/perl
  ln usr/bin/passwd usr/bin/passwd-again
  mv usr/bin/newgrp usr/bin/newgrp-moved
  mv usr/share/debianutils usr/share/moved
  chmod 4711 usr/bin/su && chmod 2750 var/mail && chown 12345:54321 etc/motd
  mkfifo -m 640 run/fifo && mknod -m 660 dev/loop-control c 10 237
  ln -s /no/such/target etc/dangling && ln -s ../../../../../etc/passwd etc/climbing
  setfattr -n user.note -v $'two\nlines' etc/hostname && setcap cap_chown+ep usr/bin/chgrp
  truncate -s 8M var/sparse && printf middle | dd of=var/sparse bs=1 seek=4194304 conv=notrunc status=none
  mkdir -p "opt/$(printf 'long%.0s' {1..50})/$(printf 'name%.0s' {1..50})" && touch $'opt/name\xff\nwith bytes' opt/.whale
  touch --no-dereference --date=@1700000000.123456789 opt etc/dangling usr/share/moved
  touch --date=@-5 opt/.whale && touch --date=@4294967296 usr/bin/passwd-again
}

changeset() { # NUMBER: turns the upper directory into a layer; nothing can be mounted over it afterwards
  python3 "$here/oci.py" changeset "$work/$1" > "$work/names"
  tar --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner --sparse --no-recursion --null --verbatim-files-from \
    --xattrs --xattrs-include='user.*' --xattrs-include=security.capability -C "$work/$1" -T "$work/names" -cf "$work/$1.tar"
}

on_top() { # NUMBER LOWERDIR COMMAND: runs the command in a tree over the layers below, and keeps the upper directory
  mkdir "$work/$1" "$work/work.$1" "$work/tree.$1"
  chmod --reference="$work/0" "$work/$1"
  mount_overlay "$2" "$work/$1" "$work/work.$1" "$work/tree.$1"
  ("$3" "$work/tree.$1") || return 1
  umount "$work/tree.$1"
}

emit() { # the layers, their claims and the layout
  local k
  mkdir "$work/layers"
  for k in 0 1 2; do
    gzip -n -1 < "$work/$k.tar" > "$work/layers/$k.tar.gz"
    printf 'sha256:%s@%s sha256:%s\n' "$(sha256sum < "$work/layers/$k.tar.gz" | cut -d ' ' -f 1)" \
      "$(stat -c %s "$work/layers/$k.tar.gz")" "$(sha256sum < "$work/$k.tar" | cut -d ' ' -f 1)" >> "$work/layers/claims"
  done
  python3 "$here/oci.py" layout "$1/layout" "$(dpkg --print-architecture)" real "$work"/layers/{0,1,2}.tar.gz \
    > "$work/layers/image"
  cp -r "$work/layers" "$1/layers"
}

if [ "${1:-}" != --inside ]; then
  need mmdebstrap apt-get dpkg tar gzip python3 setcap setfattr
  [ $# = 1 ] || die "usage: image.sh DIR"
  mkdir -p "$1"
  in_namespace "$(cd "$1" && pwd)"
fi
out=$2
overlay_ready || { skip image "no overlay can be mounted here"; exit 0; }
layer_of_packages || { skip image "$(last_line "$work/log")"; exit 0; }
on_top 1 "$work/0" install_packages || { skip image "$(last_line "$work/log")"; exit 0; }
on_top 2 "$work/1:$work/0" change_everything
changeset 1
changeset 2
emit "$out"
echo "image: $(du -ch "$out"/layers/*.gz | tail -n 1 | cut -f 1) in three layers"
