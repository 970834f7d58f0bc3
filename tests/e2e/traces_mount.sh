#!/usr/bin/env bash
# A filesystem is mounted over a directory of the tree, on the primary and on the replica, and unmounted again: nothing
# is removed because it is covered, what is mounted is neither sent nor written to, and it recovers by itself.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'on_alone_after = 2'
a=$(tree A) b=$(tree B)
mkdir -p "$a/d/below" "$b"
for i in $(seq 20); do echo "$i" >"$a/d/file-$i"; done
echo deep >"$a/d/below/file"
start_all
ready A
equal A B

cover() { # NODE: what is in the cover is no part of the tree
  on "$1" mount -t tmpfs cover "$TREE/d"
  on "$1" bash -c "mkdir -p $TREE/d/below && echo foreign >$TREE/d/of-the-cover && echo foreign >$TREE/d/file-1"
}
uncover() { on "$1" umount "$TREE/d"; }
# The cover lies in the host's own mounts: from here the tree is seen beneath it.
whole() { [ "$(find "$1/d" -type f | wc -l)" = "$2" ] && [ "$(cat "$1/d/file-1")" = 1 ] && [ ! -e "$1/d/of-the-cover" ]; }
arrived() { wait_for 20 "$2 has come" test -e "$1/$2"; }
restart() { stop "$1"; start "$1"; wait_for 20 "$1 answers" answers "$1" t; }

step "covered on the primary: what is beside it flows, nothing of the covered is removed or sent"
cover A
echo beside >"$a/beside"
touch "$a/d"
arrived "$b" beside
whole "$b" 21 || fail "the replica lost what the primary only covers"

step "the primary's daemon starts under the cover"
restart A
wait_for 60 "A serves" role A 0
echo again >"$a/again"
arrived "$b" again
sleep 1
whole "$b" 21 || fail "a scan under the cover removed what is covered"

step "uncovered: what was written beneath it comes by itself"
uncover A
echo after >"$a/d/after"
rm "$a/d/file-20"
settle A
equal A B

step "covered on the replica: what is mounted there is not written to; the tree says that it waits"
cover B
echo 'beside b' >"$a/beside-b"
echo new >"$a/d/new"
rm "$a/d/file-19"
sleep 2
on B test ! -e "$TREE/d/new" || fail "it was written into the cover"
on B test "$(on B cat "$TREE/d/file-1")" = foreign || fail "the cover was changed"
if repl A wait t --for durable --timeout 2 >"$W/wait.out" 2>&1; then fail "wait is content while the replica cannot apply"; fi
wait_for 20 "B or A says so" bash -c "$(declare -f repl on); $(declare -p HOLDER REPL); { repl A status t; repl B status t; } | grep -iE 'mount|covered'"

step "uncovered: it recovers by itself"
uncover B
settle A
equal A B

step "the replica's daemon starts under a cover, and is uncovered: nothing is lost on either side"
cover B
restart B
sleep 2
uncover B
echo last >"$a/d/last"
settle A
equal A B
[ "$(find "$a/d" -type f | wc -l)" -ge 20 ] || fail "the primary lost files"
