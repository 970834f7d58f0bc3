#!/usr/bin/env bash
# A replica far behind meets its primary over a thin link, and the primary dies in the middle of the catch-up: the replica
# stands at its old cut, is promotable there without force, and nothing half is in its tree.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
wire A B 1 0 20
begin_pair 'on_alone_after = 2'
stop B
cp -a "$b" "$W/old" && rm -rf "$W/old/.repl-staging" && touch -r "$b" "$W/old"
for i in $(seq 12); do head -c 2000000 /dev/urandom >"$a/far-$i"; done
rm -r "$a/data/deep"
echo newer >"$a/etc/conf.d/01.conf"

step "the primary dies while the replica catches up"
before=$(wire_bytes B)
start B
under_way() { [ $(($(wire_bytes B) - before)) -gt 12000000 ]; }
wait_for 60 "half of it has crossed" under_way
stop A KILL
sleep 1
judge "$W/old" "$b" >"$W/judge.out" 2>&1 || { cat "$W/judge.out"; fail "the replica is not at its old cut"; }

step "it is promoted at its old cut"
wait_for 30 "B is promoted" repl B promote t
wait_for 20 "B serves" role B 0
judge "$W/old" "$b" >"$W/judge.out" 2>&1 || { cat "$W/judge.out"; fail "the promotion changed the tree"; }
