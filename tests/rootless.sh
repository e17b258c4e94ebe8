#!/usr/bin/env bash
# Without privilege: `examples/unpack` as an ordinary user, in a user namespace with one id, and in one with a range of ids.
#
# Unpacks one layer that other tools made (setuid, capability, ACLs, owners, closed directories) twice in each, and checks with
# find, getcap, getfacl and getfattr what lands, and that nothing is left behind. Needs root, to make the layer and to give the
# namespace its ids. A skip says why; with CI=true one that a package or being root would spare is a failure.
set -euo pipefail
umask 022
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly user=65534 first=100000 count=65536 time=1700000000

skip() { # WHY: the machine cannot do it
  echo "SKIPPED: $1"
  exit 0
}

avoidable() { # WHY
  [ "${CI:-}" != true ] || fail "$1, and with CI=true this is not skipped"
  skip "$1"
}

fail() {
  echo "rootless: $1" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || avoidable "only root can make the layer"
for pair in setpriv:util-linux unshare:util-linux nsenter:util-linux tar:tar setcap:libcap2-bin getcap:libcap2-bin \
  setfacl:acl getfacl:acl setfattr:attr getfattr:attr; do
  command -v "${pair%%:*}" > /dev/null || avoidable "${pair%%:*} is missing (package ${pair##*:})"
done

cargo build --locked --quiet --example unpack
work=$(mktemp -d "${TMPDIR:-/tmp}/safe-layers-rootless.XXXXXX")
holder=
finish() {
  [ -z "$holder" ] || kill "$holder" 2> /dev/null || true
  rm -rf -- "$work"
}
trap finish EXIT
chmod 755 "$work"
cp "${CARGO_TARGET_DIR:-target}/debug/examples/unpack" "$work/unpack"

# ---- the layer

layer=$work/layer
make_layer() {
  mkdir "$layer" "$layer/closed" "$layer/given" "$layer/readonly"
  local name
  for name in acl closed/f mine note ping readonly/f setid su; do echo "this is $name" > "$layer/$name"; done
  ln "$layer/su" "$layer/again"
  ln -s ../../su "$layer/link"
  mkfifo "$layer/pipe"
  chown -h 1000:1000 "$layer/mine" "$layer/setid" "$layer/link"
  chown -R 65533:65533 "$layer/closed"
  chmod 4755 "$layer/su"
  chmod 6755 "$layer/setid"
  chmod 0555 "$layer/readonly"
  chmod 0000 "$layer/closed"
  setcap cap_net_raw+ep "$layer/ping" \
    && setfattr -n user.note -v "a note" "$layer/note" \
    && setfacl -m u:1000:rw,g:65533:r "$layer/acl" \
    && setfacl -d -m u:1000:rwx "$layer/given"
}
make_layer || skip "the filesystem of $work does not take capabilities, ACLs or user attributes"
tar --format=posix --xattrs --xattrs-include='*' --sort=name --numeric-owner --mtime="@$time" -C "$layer" -cf "$work/layer.tar" .
for key in security.capability user.note system.posix_acl_access system.posix_acl_default; do
  grep -aq "SCHILY.xattr.$key=" "$work/layer.tar" || fail "tar left $key out of the layer"
done
claim="sha256:$(sha256sum < "$work/layer.tar" | cut -d ' ' -f 1)"

# ---- the three ways to run a command

host() { "$@"; }
alone() { setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all -- "$@"; }
one_id() { alone unshare --user --map-root-user -- "$@"; }
range() { nsenter --user --target "$holder" --setuid 0 --setgid 0 -- "$@"; }

start_range() { # the ordinary user makes the namespace, root gives it its ids, as newuidmap would
  local outside try
  outside=$(readlink /proc/self/ns/user)
  # Not by a function: the process that is waited for must be the one that gets the namespace.
  (exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all -- unshare --user sleep 3600) &
  holder=$!
  for try in $(seq 100); do
    case $(readlink "/proc/$holder/ns/user" 2> /dev/null) in
      "$outside" | "") sleep 0.1 ;;
      *) break ;;
    esac
    [ "$try" != 100 ] || fail "no namespace was made in 10 s"
  done
  echo "0 $first $count" > "/proc/$holder/uid_map" && echo "0 $first $count" > "/proc/$holder/gid_map"
}

may_give_ids() { # whether root is root of all ids, with CAP_SYS_ADMIN (21)
  local capabilities
  capabilities=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
  [ "$(tr -s ' ' < /proc/self/uid_map)" = " 0 0 4294967295" ] && ((0x$capabilities >> 21 & 1))
}

# ---- what lands

list() { # DIR: path, type, mode, owner, names, size and target, time
  find "$1" '(' -type d -printf '/%P d %m %U:%G %Ts\n' -o -printf '/%P %y %m %U:%G %Ts names=%n %s %l\n' ')' | sort
}
export -f list

wanted() { # ROOT MIDDLE LAST: the owners on disk of 0, 1000 and 65533; SU SETID: the modes of the two
  local root=$1 middle=$2 last=$3 su=$4 setid=$5
  cat << EOT
/ d 755 $root $time
/acl f 664 $root $time names=1 12 
/again f $su $root $time names=2 11 
/closed d 0 $last $time
/closed/f f 644 $last $time names=1 17 
/given d 755 $root $time
/link l 777 $middle $time names=1 8 ../../su
/mine f 644 $middle $time names=1 13 
/note f 644 $root $time names=1 13 
/ping f 644 $root $time names=1 13 
/pipe p 644 $root $time names=1 0 
/readonly d 555 $root $time
/readonly/f f 644 $root $time names=1 19 
/setid f $setid $middle $time names=1 14 
/su f $su $root $time names=2 11 
EOT
}

same() { # WHAT WANTED FOUND
  [ "$2" = "$3" ] || { diff <(echo "$2") <(echo "$3") >&2 || true; fail "$way: $1 (< wanted, > found)"; }
}

acls() { # DIR: the ACLs of the two objects that have some, by number
  (cd "$1" && getfacl --numeric --omit-header --skip-base acl given)
}
export -f acls

check() { # INSIDE OUTSIDE, five words each, as `wanted` takes them; CAPABILITY-INSIDE CAPABILITY-OUTSIDE ACLS: looks from inside with $inside
  local file
  same "the tree, inside" "$(wanted $1)" "$("$inside" bash -c 'list "$1"' - "$dest")"
  same "the tree, outside" "$(wanted $2)" "$(list "$dest")"
  same "the capability, inside" "$3" "$(cd "$dest" && "$inside" getcap ping)"
  same "the capability, outside" "$4" "$(cd "$dest" && getcap -n ping)"
  same "the ACLs" "$5" "$("$inside" bash -c 'acls "$1"' - "$dest")"
  same "the user attribute" "a note" "$(getfattr --only-values -n user.note --absolute-names "$dest/note")"
  [ "$dest/su" -ef "$dest/again" ] || fail "$way: the hardlink is another file"
  for file in acl closed/f mine note ping readonly/f setid su; do
    cmp "$layer/$file" "$dest/$file" || fail "$way: the content of $file"
  done
}

events() { # COUNTS, as JSON: those of the report, and no others
  same "the events" "{$1}" "$(grep -o '"counts":{[^}]*}' "$work/report" | cut -d : -f 2-)"
}

begin() { # WAY OWNER INSIDE, the command that looks
  way=$1 dest=$work/$1/tree inside=$3
  mkdir "$work/$way"
  chown "$2:$2" "$work/$way"
}

nothing_left() {
  same "what is left" "" "$(ls -A "$work/$way")"
}

unpack() { # POLICY COMMAND...
  local policy=$1
  shift
  "$@" "$work/unpack" --policy "$policy" --blob "$claim" --json "$work/layer.tar" "$dest" > "$work/report" 2>&1
}

accepted() { # POLICY COMMAND...
  unpack "$@" || { cat "$work/report" >&2; fail "$way: refused"; }
}

refused() { # TEXT COMMAND...: the policy that keeps owners fails so, and leaves nothing
  local text=$1
  shift
  if unpack container "$@"; then fail "$way: owners that it may not set were set"; fi
  grep -q "$text" "$work/report" || { cat "$work/report" >&2; fail "$way: the error is not about $text"; }
  nothing_left
}

begin alone "$user" host
for round in 1 2; do
  accepted rootless alone
  events '"SpecialBitsStripped":2,"XattrDropped":2,"XattrUnsupported":1'
  squashed="$user:$user $user:$user $user:$user 755 755"
  check "$squashed" "$squashed" "" "" ""
  alone chmod -R u+rwx "$dest"
  alone rm -r "$dest"
  nothing_left
done
refused "setting the owner 0:0" alone
echo "an ordinary user: ok, $round times"

one_id true || skip "an ordinary user may not make user namespaces here (sysctl user.max_user_namespaces, or a filter)"
begin one_id "$user" one_id
for round in 1 2; do
  accepted rootless one_id
  events '"SpecialBitsStripped":1,"XattrDropped":2'
  # To the namespace uid 0 is the user: setuid of a file of root's stays, and means no more than the user.
  check "0:0 0:0 0:0 4755 755" "$user:$user $user:$user $user:$user 4755 755" \
    "ping cap_net_raw=ep" "ping cap_net_raw=ep [rootid=$user]" ""
  alone chmod -R u+rwx "$dest"
  alone rm -r "$dest"
  nothing_left
done
# An ACL comes first: it names 1000.
refused "setting system.posix_acl_access: Invalid argument" one_id
echo "a namespace with one id: ok, $round times"

if ! start_range; then
  if may_give_ids; then fail "root could not give a namespace its ids"; fi
  skip "this root may not give a namespace the ids $first to $((first + count - 1))"
fi
begin range "$first" range
kept=$(acls "$layer")
[ -n "$kept" ] || fail "the layer has no ACLs"
for round in 1 2; do
  accepted container range
  events ""
  check "0:0 1000:1000 65533:65533 4755 6755" \
    "$first:$first $((first + 1000)):$((first + 1000)) $((first + 65533)):$((first + 65533)) 4755 6755" \
    "ping cap_net_raw=ep" "ping cap_net_raw=ep [rootid=$first]" "$kept"
  range rm -r "$dest"
  nothing_left
done
echo "a namespace with a range of ids: ok, $round times"
