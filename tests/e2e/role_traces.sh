#!/usr/bin/env bash
# Three nodes under partitions and power losses: whoever returns, nothing that only one node has is overwritten, and no
# lineage is taken for the prefix of another. Each step is a trace that once decided the design.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
node C ext4
usual_config 'on_alone_after = 2'
a=$(tree A) b=$(tree B) c=$(tree C)
mkdir "$a" "$b" "$c"
for i in $(seq 20); do echo "first $i" >"$a/file-$i"; done
start_all
ready A
equal A B
equal A C

alone() { status_is "$1" 'not any(p["connected"] for p in s["peers"])'; }

step "B and C both promoted from A's epoch; B has 30 cuts, C 50; B demoted: its cuts are no prefix of C's"
unplug B
unplug C
stop A KILL
wait_for 40 "B is alone" alone B
wait_for 40 "C is alone" alone C
repl B promote t --force >"$W/promote.out" 2>&1 || { cat "$W/promote.out"; fail "promote B"; }
repl C promote t --force >"$W/promote.out" 2>&1 || { cat "$W/promote.out"; fail "promote C"; }
for i in $(seq 50); do
  [ "$i" -gt 30 ] || echo "B $i" >"$b/of-b-$i"
  [ "$i" -gt 30 ] || echo "B $i" >"$b/file-1"
  echo "C $i" >"$c/of-c-$i"
  echo "C $i" >"$c/file-1"
  sleep 0.05
done
sleep 1
plug B
plug C
wait_for 60 "B hears C" status_is B 'any(p["connected"] for p in s["peers"])'
sleep 2
[ -e "$b/of-b-30" ] && [ ! -e "$b/of-c-1" ] && [ ! -e "$c/of-b-1" ] || fail "one reign was applied over the other"
repl B demote t || fail "demote B"
wait_for 30 "B is held" role_state B diverged
sleep 1
[ "$(cat "$b/file-1")" = "B 30" ] && [ -e "$b/of-b-1" ] || fail "B's reign was overwritten without being asked"
catchup B C
equal B C
for i in 1 17 30; do kept B "of-b-$i" "B $i"; done
kept B file-1 "B 30"

step "A, whose power failed before both, follows the one that is left"
start A
wait_for 60 "A follows C" role A 1
settle C
equal C A
equal C B

step "C has what B lacks, the primary dies: B is not promoted over it"
primary=C
unplug B
wait_for 40 "C misses B" status_is "$primary" 'not all(p["connected"] for p in s["peers"])'
echo "only A and C" >"$c/while-b-was-away"
wait_for 20 "A has it" test -e "$a/while-b-was-away"
stop C KILL
plug B
# Of A, who has missed B: what B still has of the old connection says nothing.
wait_for 60 "A hears B" status_is A 'any(p["name"] == "B" and p["connected"] for p in s["peers"])'
if repl B promote t >"$W/promote.out" 2>&1; then fail "B was promoted while A is further ahead"; fi
grep -q '\bA\b' "$W/promote.out" || { cat "$W/promote.out"; fail "the refusal does not name A"; }
repl B promote t --force >"$W/promote.out" 2>&1 || { cat "$W/promote.out"; fail "promote B --force"; }
wait_for 60 "B serves" role B 0
echo "new reign" >"$b/of-the-new-reign"
sleep 3
[ "$(cat "$a/while-b-was-away" 2>/dev/null)" = "only A and C" ] ||
  kept A while-b-was-away "only A and C"
start C
wait_for 60 "C answers" answers C t
sleep 3
[ "$(cat "$c/while-b-was-away" 2>/dev/null)" = "only A and C" ] || kept C while-b-was-away "only A and C"
catchup A B
catchup C B
settle B
equal B A
equal B C
kept A while-b-was-away "only A and C"
kept C while-b-was-away "only A and C"

step "all lose power; the former primaries boot first, and do not serve what is old"
echo "newest" >"$b/newest"
settle B
stop A KILL
echo "after A went" >"$b/after"
sleep 1
stop B KILL
stop C KILL
start A
wait_for 20 "A answers" answers A t
never 4 "A serves" role A 0
start B
start C
wait_for 60 "B serves again" role B 0
settle B
equal B A
equal B C
[ "$(cat "$a/after")" = "after A went" ] || fail "what B wrote last is gone"

step "the same with the state of A lost"
for name in A B C; do stop "$name" KILL; done
rm -rf "$W/A/state/t"
echo "later" >"$b/later"
start A
wait_for 20 "A answers" answers A t
never 4 "A serves" role A 0
start B
start C
wait_for 60 "B serves again" role B 0
wait_for 60 "B has both" connected B
role_state A diverged && catchup A B
settle B
equal B A
equal B C
