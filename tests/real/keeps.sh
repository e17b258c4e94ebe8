#!/usr/bin/env bash
# What a layer of Debian has stays: file capabilities, setuid and setgid programs and hardlinks of the layer that mmdebstrap wrote,
# in merged and in overlay form, and they work: ping runs in a chroot into the mounted overlay, as a user who may do nothing.
# And the process stays as it is: no umask, chdir or chroot, seen by strace.
#
#     keeps.sh [DIR]     DIR: what image.sh has made; without it, the image is built
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

capabilities() { (cd "$1" && getcap -r . | sort); }

special_modes() { (cd "$1" && find . ! -type l -perm /7000 -printf '%p %#m %U:%G\n' | sort); }

hardlinks() { # a line for each group of names of one file
  (cd "$1" && find . -type f -links +1 -printf '%i %n %p\n' | sort | awk '{ names[$1] = names[$1] " " $3 } END { for (i in names) print names[i] }' | sort)
}

same() { # WHAT TREE FORM: as GNU tar has it, and not nothing
  "$1" "$work/reference" > "$work/want"
  "$1" "$2" > "$work/found"
  [ -s "$work/want" ] || die "the layer has no $1"
  diff "$work/want" "$work/found" || die "$3: other $1"
  echo "$3: $(wc -l < "$work/want") $1"
}

keeps() { # TREE FORM
  same capabilities "$1" "$2"
  same special_modes "$1" "$2"
  same hardlinks "$1" "$2"
}

unpacked() { # FORM
  "$bin/unpack" --json --form "$1" --blob "$blob" --diff-id "$diff_id" "$layer" "$work/$1" > "$work/report" || die "$(cat "$work/report")"
}

# In a network namespace of its own, where nobody may open a ping socket: it needs the capability of the file.
pings() { # TREE PROGRAM
  unshare --net bash -euo pipefail -c '
    python3 -c "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sh14x\", b\"lo\", 1))"
    chroot --userspec=65534:65534 "$1" "$2" -c 1 -W 5 127.0.0.1' - "$1" "$2"
}

runs() { # FORM MOUNT_OPTIONS
  local tree=$work/tree.$1
  mkdir "$tree" "$work/upper.$1" "$work/work.$1"
  mount -t overlay -o "$2lowerdir=$(lowerdir_of "$work/report"),upperdir=$work/upper.$1,workdir=$work/work.$1" overlay "$tree"
  keeps "$tree" "$1, mounted"
  [ "$(chroot "$tree" dpkg-query -W -f '${Status}' iputils-ping)" = "install ok installed" ] || die "$1: dpkg does not run"
  if ! unshare --net true 2> /dev/null; then
    skip "running ping" "no network namespace can be made here"
    return
  fi
  pings "$tree" /usr/bin/ping > "$work/log" 2>&1 || die "$1: ping does not run: $(cat "$work/log")"
  cp "$tree/usr/bin/ping" "$tree/usr/bin/without"
  ! pings "$tree" /usr/bin/without > "$work/log" 2>&1 || die "a ping without the capability runs too: the check shows nothing"
  umount "$tree"
  echo "$1: ping runs with its capability, and not without"
}

changes_of_the_process() { # COMMAND...: the system calls that change what all threads share
  strace --follow-forks --seccomp-bpf -qqq -e signal=none -e trace=umask,chdir,fchdir,chroot -o "$work/trace" "$@" > "$work/log" 2>&1 \
    || die "strace: $(cat "$work/log")"
  cat "$work/trace"
}

leaves_the_process_alone() {
  local form calls
  if ! strace -qqq -o /dev/null true 2> "$work/log"; then
    skip strace "$(last_line "$work/log")"
    return
  fi
  [ "$(changes_of_the_process sh -c 'umask 077; cd /; chroot . true' | grep -cE '(umask|chdir|chroot)\(')" -ge 3 ] || die "strace sees nothing"
  for form in merged overlay-trusted overlay-user; do
    calls=$(changes_of_the_process "$bin/unpack" --form "$form" --threads 2 --blob "$blob" "$layer" "$work/traced")
    [ "$calls" = "" ] || die "$form: the process was changed: $calls"
    rm -rf -- "$work/traced"
  done
  mkdir "$work/traced"
  calls=$(changes_of_the_process "$bin/unpack" --in-place --blob "$blob" "$layer" "$work/traced")
  [ "$calls" = "" ] || die "in place: the process was changed: $calls"
  echo "no umask, chdir or chroot in any form, and strace sees those of a shell"
}

if [ "${1:-}" != --inside ]; then
  [ $# -le 1 ] || die "usage: keeps.sh [DIR]"
  need tar getcap python3 strace setpriv chroot
  build
  in_namespace ${1:+"$(cd "$1" && pwd)"}
fi
image=${2:-}
overlay_ready || { skip keeps "no overlay can be mounted here"; exit 0; }
if [ "$image" = "" ]; then
  image=$work/image
  bash "$here/image.sh" "$image"
fi
[ -e "$image/layers" ] || { skip keeps "image.sh has made no image"; exit 0; }
layer=$image/layers/0.tar.gz
read -r blob diff_id < "$image/layers/claims"
mkdir "$work/reference"
tar --numeric-owner --xattrs --xattrs-include='*' -xpf "$layer" -C "$work/reference"
unpacked merged
keeps "$work/merged" merged
unpacked overlay-trusted
runs overlay-trusted ""
unpacked overlay-user
runs overlay-user "userxattr,"
leaves_the_process_alone
