#!/usr/bin/env bash
# Trees with `include`: one file in a directory that is otherwise none of our business, and a glob.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
for name in A B; do
  mkdir -p "$W/$name/fs/etc/libvirt/qemu"
  echo "$name's own" >"$W/$name/fs/etc/passwd"
  echo "$name's own" >"$W/$name/fs/etc/libvirt/qemu/private.xml"
done
echo hosts >"$W/A/fs/etc/hosts--warewulf"
echo one >"$W/A/fs/etc/libvirt/qemu/shared-one.xml"
config <<'TOML'
[tree.hosts]
root = "/mnt/fs/etc"
include = ["/hosts--warewulf"]
nodes = ["A", "B"]
port = 7422

[tree.qemu]
root = "/mnt/fs/etc/libvirt/qemu"
include = ["/shared-*"]
nodes = ["A", "B"]
port = 7423
TOML
a=$W/A/fs/etc b=$W/B/fs/etc
foreign() { # everything that is in no tree, on B
  find "$b" -path '*/.repl*' -prune -o ! -name 'hosts--warewulf' ! -name 'shared-*' -type f -printf '%P %m %u %s %T@ %i\n' | sort
  stat -c '%n %a %u' "$b" "$b/libvirt" "$b/libvirt/qemu"
}
before=$(foreign)

step "both trees in one daemon each"
start A hosts qemu
start B hosts qemu
ready A hosts
ready A qemu
cmp "$a/hosts--warewulf" "$b/hosts--warewulf" || fail "the single file"
cmp "$a/libvirt/qemu/shared-one.xml" "$b/libvirt/qemu/shared-one.xml" || fail "the glob"
[ "$before" = "$(foreign)" ] || fail "something outside the trees changed on B"

step "changed in place, replaced by a rename, attributes"
echo more >>"$a/hosts--warewulf"
settle A hosts
cmp "$a/hosts--warewulf" "$b/hosts--warewulf" || fail "append"
echo replaced >"$a/hosts.new" && chmod 640 "$a/hosts.new" && mv "$a/hosts.new" "$a/hosts--warewulf"
settle A hosts
cmp "$a/hosts--warewulf" "$b/hosts--warewulf" || fail "rename over"
[ "$(stat -c '%a %Y' "$a/hosts--warewulf")" = "$(stat -c '%a %Y' "$b/hosts--warewulf")" ] || fail "attributes"
[ ! -e "$b/hosts.new" ] || fail "a file outside the tree was sent"

step "the glob: a new match, a match renamed out of the glob, one removed"
echo two >"$a/libvirt/qemu/shared-two.xml"
echo three >"$a/libvirt/qemu/shared-three.xml"
settle A qemu
cmp "$a/libvirt/qemu/shared-two.xml" "$b/libvirt/qemu/shared-two.xml" || fail "new match"
mv "$a/libvirt/qemu/shared-two.xml" "$a/libvirt/qemu/private-two.xml"
rm "$a/libvirt/qemu/shared-three.xml"
settle A qemu
[ ! -e "$b/libvirt/qemu/shared-two.xml" ] && [ ! -e "$b/libvirt/qemu/private-two.xml" ] || fail "renamed out of the glob"
[ ! -e "$b/libvirt/qemu/shared-three.xml" ] || fail "removed"

step "noise beside the trees changes nothing on B, and is not sent"
sent=$(wire_bytes A)
for i in $(seq 2000); do echo "$i" >"$a/noise"; done
rm "$a/noise"
rm "$a/passwd"
settle A hosts
[ -e "$b/passwd" ] || fail "a file outside the tree was deleted"
[ $(($(wire_bytes A) - sent)) -lt 50000 ] || fail "noise outside the tree crosses the wire"
[ "$before" = "$(foreign)" ] || fail "something outside the trees changed on B"
stop A
stop B
exit 0
