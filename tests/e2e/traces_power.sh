#!/usr/bin/env bash
# A file that nobody has synced is acknowledged as durable by the replica; the primary loses power and comes back with an
# old or an empty file: the replica's must survive, whoever is asked first.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'on_alone_after = 2'
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
echo old >"$a/f"
echo old >"$a/g"
start_all
ready A
sync -f "$a"

lose_power() { # what was not synced is gone
  stop A KILL
  xfs_io -x -c shutdown "$W/A/fs" || fail "shutdown"
  local image
  image=$(losetup -n -O BACK-FILE "$(findmnt -n -o SOURCE "$W/A/fs")")
  on A umount /mnt/fs
  umount "$W/A/fs"
  mount -o loop "$image" "$W/A/fs" || fail "mount after the power loss"
  on A mount --bind "$W/A/fs" /mnt/fs
}

step "written without fsync, durable on the replica; the power of the primary fails"
echo "acknowledged f" >"$a/f"
echo "acknowledged new" >"$a/new"
settle A
[ "$(cat "$b/f")" = "acknowledged f" ] || fail "the replica has no f"
lose_power
[ "$(cat "$a/f" 2>/dev/null)" != "acknowledged f" ] || fail "the primary kept what was not synced: this tests nothing"

step "it boots and meets the replica: nothing old is pushed"
start A
wait_for 30 "A answers" answers A t
sleep 3
[ "$(cat "$b/f")" = "acknowledged f" ] || fail "the replica's f was replaced by the older one"
[ "$(cat "$b/new")" = "acknowledged new" ] || fail "the replica's new file was removed"

step "the replica is promoted, and both have it"
repl B promote t >"$W/promote.out" 2>&1 || repl B promote t --force >"$W/promote.out" 2>&1 ||
  { cat "$W/promote.out"; fail "promote"; }
wait_for 30 "B serves" role B 0
wait_for 30 "A hears B" connected A
catchup A B
settle B
equal B A
[ "$(cat "$a/f")" = "acknowledged f" ] && [ "$(cat "$a/new")" = "acknowledged new" ] || fail "A has not got them"
