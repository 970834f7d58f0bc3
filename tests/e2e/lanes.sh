#!/usr/bin/env bash
# A large file under way delays nobody, and nothing overtakes it that destroys a version: 1 GiB over 200 Mbit/s, small
# changes beside it, destructive ones behind it, and both daemons killed in the middle. What is "behind" is counted in
# bytes that the sender's interface has sent, never in time.
. "$(dirname "$0")/lib.sh"
. "$HERE/cost.sh"
node A ext4 2600
node B ext4 2600
# The queue of a real router: 0.5 MB, 20 ms. What stands in it cannot be overtaken by anybody.
wire A B 2 0 200 0.5
usual_config
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
start_all
ready A
export COUNTER=/proc/${HOLDER[A]}/net/dev
overtake() { python3 "$HERE/overtake.py" "$@"; }

# Sent between a small change and its being seen: the queue, what the socket holds back (128 KiB), a segment, and what
# passes while two daemons and a poll of this test take their turns.
behind_max=$((2 * MIB))
size=$((1024 * MIB))

step "1 GiB is under way"
head -c $size <(openssl enc -aes-128-ctr -pass pass:1 -nosalt -pbkdf2 </dev/zero 2>/dev/null) >"$W/A/fs/large"
for name in removed replaced truncated; do content make "$a/$name" 2 $((64 * KIB)); done
content make "$W/A/fs/replacement" 3 $((64 * KIB))
content make "$a/overwritten" 4 4096
settle A
before=$(wire_bytes A)
mv "$W/A/fs/large" "$a/large"
under_way() { [ $(($(wire_bytes A) - before)) -gt $1 ]; }
wait_for 30 "the large file is under way" under_way $((8 * MIB))

step "20 new files and 20 overwritten in place become visible before it"
overtake small "$a" "$b" large $size 20 $behind_max || fail "small changes do not overtake"

step "a removal, a rename over and a truncation wait for it; so does repl wait"
overtake order "$b" large $size $((2 * MIB)) removed replaced truncated 2>"$W/order" &
order=$!
rm "$a/removed"
mv "$W/A/fs/replacement" "$a/replaced"
truncate -s 10 "$a/truncated"
{
  repl A wait t --for applied --wait-for-peers --timeout 200 >"$W/wait.early" 2>&1 && [ ! -e "$b/large" ] && touch "$W/early"
} &
echo later >"$a/later" # a creation that came after them
settled_small() { [ "$(cat "$b/later" 2>/dev/null)" = later ]; }
wait_for 60 "a later creation" settled_small
[ ! -e "$b/large" ] || fail "the large file was complete too early for this test"
status_is A 's["peers"][0]["loose_since_cut"] > 0 and s["peers"][0]["large_files"] == 1 and s["peers"][0]["held_back"] >= 3' ||
  { status A 's["peers"][0]'; fail "the status of A does not say what is under way, and what waits"; }
status_is B 's["incomplete"]' || fail "the status of B does not say that it is not at a whole cut"
[ -e "$b/removed" ] && [ "$(stat -c %s "$b/truncated")" = $((64 * KIB)) ] || fail "a version was destroyed before"

step "both daemons are killed in the middle"
wait_for 60 "a third of it" under_way $((size / 3))
stop B KILL
start B
wait_for 60 "half of it" under_way $((size / 2))
stop A KILL
start A
wait_for 60 "A answers" answers A t
[ ! -e "$b/large" ] || fail "the large file was complete too early for this test"
repl A wait t --for applied --wait-for-peers --timeout 200 >"$W/wait.out" 2>&1 || { cat "$W/wait.out"; fail "repl wait"; }
[ "$(stat -c %s "$b/large" 2>/dev/null)" = $size ] || fail "repl wait returned before the large file was there"
[ ! -e "$W/early" ] || fail "repl wait returned before the large file was there"
wait "$order" || { cat "$W/order"; fail "the order was not kept"; }
crossed=$(($(wire_bytes A) - before))
step "$crossed bytes crossed for $size"
[ "$crossed" -lt $((size + size / 4)) ] || fail "the large file was sent again"
settle A
status_is A 's["peers"][0]["loose_since_cut"] == s["peers"][0]["held_back"] == 0' || fail "A is still loose"
status_is B 'not s["incomplete"]' || fail "B is still not at a whole cut"
equal A B
exit 0
