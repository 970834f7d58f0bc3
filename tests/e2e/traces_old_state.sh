#!/usr/bin/env bash
# The state directory of a replica is put back to an older copy, its tree is not, and once its tree with it: the primary
# does not skip what the replica lacks now.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
begin_pair 'on_alone_after = 2'
stop B
cp -a "$W/B/state" "$W/state.old"
cp -a "$b" "$W/tree.old"
start B
later() { # NAME
  for i in 1 2 3; do
    echo "$1 $i" >"$a/$1-$i"
    settle A
  done
  echo "$1" >"$a/etc/conf.d/01.conf"
  rm -f "$a/etc/conf.d/0$2.conf"
  settle A
}
put_back() { # FROM TO
  find "$2" -mindepth 1 -delete
  cp -a "$1/." "$2/"
}

step "the state is older than the tree"
later first 3
stop B
put_back "$W/state.old" "$W/B/state"
start B
wait_for 30 "B hears A" connected B
if role_state B diverged; then catchup B A; fi
settle A
equal A B

step "state and tree are older"
later second 4
stop B
put_back "$W/state.old" "$W/B/state"
put_back "$W/tree.old" "$b"
start B
wait_for 30 "B hears A" connected B
if role_state B diverged; then catchup B A; fi
settle A
equal A B
[ -e "$b/second-3" ] && [ ! -e "$b/etc/conf.d/04.conf" ] || fail "the primary skipped what the replica lacks"
