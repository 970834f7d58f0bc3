#!/usr/bin/env bash
# The commands where no daemon runs: the same engine works in the command's own process, and ends with it.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'on_promote = ["/mnt/fs/promoted"]' # a hook each
for name in A B; do
  printf '#!/bin/sh\nsleep 1\necho "$REPL_ROLE" >>/mnt/fs/hook.out\n' >"$W/$name/fs/promoted"
  chmod 755 "$W/$name/fs/promoted"
done
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
for i in $(seq 20); do echo "first $i" >"$a/file-$i"; done
ended() { # STATUS NODE ARGUMENT...: the command ends so; what it said is in $W/out
  local want=$1 status
  shift
  repl "$@" >"$W/out" 2>&1
  status=$?
  [ "$status" = "$want" ] || { cat "$W/out"; fail "repl $*: exit $status, not $want"; }
}
says() { grep -q -- "$1" "$W/out" || { cat "$W/out"; fail "it does not say: $1"; }; }

step "nothing stored"
ended 2 A role t
says "never ran on this node"
ended 7 A status t
start_all
ready A
equal A B

step "stored: role never says that this is the primary, status what is known"
stop A
stop B
ended 2 A role t
says "primary, but not known to be current, stopped"
ended 2 B role t
says "secondary, stopped"
ended 7 B status t --json
grep '^{' "$W/out" | python3 -c '
import json, sys
s = json.loads(sys.stdin.read())
assert s["role"] == "secondary" and s["state"] == "stopped" and not s["running"] and s["entries"] == 21, s'

step "pause and resume are stored"
ended 0 B pause t
start B
wait_for 20 "B answers" answers B t
status_is B 'any("paused" in h for h in s["holds"])' || fail "B was not paused"
stop B
ended 0 B resume t
ended 7 B status t
if grep -q paused "$W/out"; then fail "B is paused"; fi

step "a directory that another process has is refused"
exec {lock}<>"$W/B/state/t/index/owner"
flock -x "$lock"
ended 7 B promote t
says "directly it cannot be done"
ended 2 B role t
says "no daemon answers"
exec {lock}>&-

step "promote, alone: with its hook, which is waited for"
ended 0 B promote t
says "works directly"
says "the primary now"
says "node A does not answer"
[ "$(cat "$W/B/fs/hook.out")" = primary ] || fail "the hook has not run, or not once"
[ ! -e "$W/B/run/t.sock" ] || fail "a socket is left"
ended 2 B role t
says "epoch 2"
echo "of B" >"$b/new"

step "verify, wait and diff reach a peer whose daemon runs"
start A
wait_for 20 "A answers" answers A t
ended 0 B wait t --for durable --wait-for-peers --timeout 60
[ "$(cat "$a/new")" = "of B" ] || fail "B's change is not on A"
ended 0 B verify t --full
ended 0 B diff t --peer A
equal A B

step "catchup of all trees without a daemon, over what only this node has"
stop A
for i in $(seq 12); do echo "only A $i" >"$a/file-$i"; done
start B
wait_for 20 "B answers" answers B t
ended 0 A catchup --from B --yes --certificate "$W/A/log/certificate.json"
says "verified, equal to B"
says "works directly"
[ "$(cat "$a/file-1")" = "first 1" ] || fail "A has not caught up"
kept A file-1 "only A 1"
equal A B
