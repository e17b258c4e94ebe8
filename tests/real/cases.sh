# Sourced by layers.sh: many small images, each unpacked by examples/unpack and by every peer that can, and one line for each pair.
# shellcheck shell=bash

# DIR/CASE/{0,1,…}.tar are the layers, bottom first; DIR/CASE/expected.txt, if there, is the tree that they give.
run_cases() { # DIR
  local worker workers=2
  case_names=()
  while read -r name; do
    case_names+=("$name")
  done < <(cd "$1" && find . -name 0.tar -printf '%h\n' | sed 's|^\./||' | sort)
  [ ${#case_names[@]} != 0 ] || die "no cases in $1"
  cases_layout "$1"
  start_containerd || { may_lack cases "containerd does not start: $(last_line "$work/containerd.log")"; exit 0; }
  import_layout "$work/layout"
  local pids=()
  mkdir "$work/lists"
  for ((worker = 0; worker < workers; worker++)); do
    work_on_cases "$1" $worker $workers > "$work/result.$worker" &
    pids+=($!)
  done
  for worker in "${pids[@]}"; do
    wait "$worker" || die "a worker ended early"
  done
  stop_containerd
  ours_is_expected "$1"
  versions > "$work/cases.txt"
  sort -V "$work"/result.* | awk -F '\t' -v OFS='\t' -f "$here/fold.awk" | sort >> "$work/cases.txt"
}

cases_layout() { # DIR: one layout for all, with the tags c0, c1, …
  local k words=()
  for k in "${!case_names[@]}"; do
    words+=(-- "c$k" "$1/${case_names[k]}"/*.tar)
  done
  python3 "$here/oci.py" layout "$work/layout" "$(dpkg --print-architecture)" "${words[@]:1}" > "$work/images"
  mapfile -t images < "$work/images"
}

work_on_cases() { # DIR WORKER WORKERS
  local k
  exec 9> "$work/lock"
  for ((k = $2; k < ${#case_names[@]}; k += $3)); do
    home=$work/c$k
    mkdir "$home"
    one_case "${case_names[k]}" "$1/${case_names[k]}" "${images[k]}"
    rm -rf -- "$home"
  done
}

one_case() { # NAME DIR IMAGE: a line for each peer on standard output
  local layers=("$2"/*.tar) snapshotter layer image
  read -ra image <<< "$3"
  for layer in "${layers[@]}"; do
    tar --quoting-style=literal -tf "$layer" 2> /dev/null || true
  done > "$home/entries"
  ours=refused
  ! "$bin/unpack" --unverified "${layers[@]}" "$home/ours" > "$home/ours.log" 2>&1 || ours=applied
  [ $ours = refused ] || listed "$home/ours" > "$work/lists/$1"
  if [ ${#layers[@]} = 1 ] && ! grep -qF .wh. "$layer"; then
    mkdir "$home/gnutar" "$home/bsdtar"
    peer "$1" gnutar tar --delay-directory-restore --numeric-owner --xattrs --xattrs-include='*' -C "$home/gnutar" -xpf "$layer"
    peer "$1" bsdtar env LC_ALL=C.UTF-8 bsdtar --numeric-owner -C "$home/bsdtar" -xpf "$layer"
  fi
  peer "$1" umoci umoci raw unpack --image "$work/layout:${image[0]}" "$home/umoci"
  for snapshotter in overlayfs native; do
    peer "$1" "containerd-$snapshotter" serially "mount_$snapshotter" "${image[@]}" "$home/containerd-$snapshotter"
    umount "$home/containerd-$snapshotter" 2> /dev/null || true
  done
}

serially() { # COMMAND...: cases share layers, and containerd fails where two unpack the same one at the same time
  local status=0
  flock 9
  "$@" || status=$?
  flock --unlock 9
  return $status
}

ours_is_expected() { # DIR: where the suite says which tree a case gives, the program must give the same
  python3 "$here/oci.py" expected "$1" "$work/lists" || die "the program's tree is not the suite's"
}

peer() { # NAME PEER COMMAND...
  local name=$1 peer=$2 theirs=refused
  shift 2
  ! "$@" > "$home/$peer.log" 2>&1 || theirs=applied
  # An overlay may list a name that cannot be looked up.
  [ $theirs = refused ] || listed "$home/$peer" > "$home/$peer.list" 2> "$home/$peer.log" || theirs=unreadable
  if [ $ours = applied ] && [ $theirs = applied ]; then
    judge "$name" "$peer" differs "$work/lists/$name" "$home/$peer.list"
  else
    printf '.\ttype=directory\toutcome=%s\n' $ours > "$home/ours.outcome"
    printf '.\ttype=directory\toutcome=%s\n' $theirs > "$home/$peer.outcome"
    judge "$name" "$peer" $theirs "$home/ours.outcome" "$home/$peer.outcome"
  fi
}

judge() { # NAME PEER OUTCOME OURS THEIRS
  local rules details
  "$bin/manifest" diff "$2" "$1" "$home/entries" "$here/differences.txt" "$4" "$5" > "$home/diff" || true
  # A few cases have the name of a temporary directory in them.
  sed -i -e '$d' -e 's/^DIFFERENT /? /' -e 's/^ALLOWED //' -e 's/safe-layers-test-[0-9A-Za-z]*/TEMPORARY/g' "$home/diff"
  if [ ! -s "$home/diff" ]; then
    printf '%s\t%s\tagrees\n' "$1" "$2"
    return
  fi
  rules=$(cut -d ' ' -f 1 "$home/diff" | sort -u | paste -sd ,)
  details=$(sed -e "s/^[^ ]* $2: //" "$home/diff" | paste -sd ';')
  printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$rules" "${details:0:300}"
}
