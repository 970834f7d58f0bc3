#!/usr/bin/env bash
# A promotion asks its peers anew: a connection that broke in silence does not speak for the primary behind it, and one
# that stands does.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
echo one >"$a/file"
start_all
ready A
equal A B

step "the primary answers: refused at once"
if repl B promote t >"$W/out" 2>&1; then fail "promoted beside a live primary"; fi
grep -q "does not answer" "$W/out" && fail "a primary that answers counts as silent"
grep -q "is the primary, and answers" "$W/out" || { cat "$W/out"; fail "the refusal"; }
echo two >"$a/file"
settle A
equal A B

step "the line breaks in silence: the connection stands, and the primary counts as not reachable"
unplug A
status_is B 'all(p["connected"] for p in s["peers"])' || fail "B knows already"
repl B promote t >"$W/out" 2>&1 || { cat "$W/out"; fail "refused for what A said before"; }
grep -q "node A does not answer" "$W/out" || { cat "$W/out"; fail "A is not named"; }
role B 0 || fail "B is not the primary"

step "it comes back, and gives way"
plug A
wait_for 60 "A follows B" role A 1
settle B
equal B A

step "a node without a history is told how to join, not to switch over"
stop A
rm -rf "$W/A/state/t" "$a/.repl-staging"
echo other >"$a/file"
start A
wait_for 30 "A is held" role_state A diverged
if repl A promote t >"$W/out" 2>&1; then fail "a node without a history was promoted beside the primary"; fi
grep -q 'repl catchup --from B t' "$W/out" && ! grep -q switchover "$W/out" || { cat "$W/out"; fail "the hint"; }
