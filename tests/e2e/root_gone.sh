#!/usr/bin/env bash
# The root of the primary goes away, is replaced or emptied: nothing is deleted on the peer, the daemon lives, says
# what it waits for, and goes on when the root is back.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
for i in $(seq 30); do echo "$i" >"$a/file$i"; done
start_all
ready A
equal A B
untouched() { [ "$(find "$b" -name 'file*' | wc -l)" = 30 ]; }
gone() { status_is A 's["state"] == "held" and any("root" in h for h in s["holds"])'; }

step "moved away while the daemon runs, and back"
mv "$a" "$a.away"
wait_for 20 "A says that its root is gone" gone
never 3 "the peer lost files" bash -c "[ \$(find '$b' -name 'file*' | wc -l) != 30 ]"
running A || fail "the daemon of A ended"
mv "$a.away" "$a"
echo back >"$a/back"
ready A
equal A B

step "removed while the daemon runs, made again from a copy"
cp -a "$a" "$W/A/fs/copy"
rm -rf "$a"
wait_for 20 "A says that its root is gone" gone
sleep 1
gone || fail "A forgot its hold"
cp -a "$W/A/fs/copy" "$a"
wait_for 20 "A serves again" status_is A 's["state"] == "synced"'
echo again >"$a/again"
settle A
untouched || fail "the peer lost files"
equal A B

step "moved away while the daemon is down; the place is empty: braked"
stop A
mv "$a" "$a.away"
mkdir "$a"
start A
emptied() { status_is A 's["state"] == "held" and any("approve" in h for h in s["holds"])'; }
wait_for 20 "A holds the emptied root" emptied
never 3 "the peer lost files" bash -c "[ \$(find '$b' -name 'file*' | wc -l) != 30 ]"
repl A wait t --timeout 2 2>/dev/null && fail "wait says that everything has arrived"

step "it was a mistake: the content comes back, without a word to repl"
rmdir "$a/.repl-staging" 2>/dev/null
stop A
rm -rf "$a"
mv "$a.away" "$a"
start A
ready A
untouched || fail "the peer lost files"
equal A B

step "it was meant: approved, and the peer follows"
stop A
find "$a" -mindepth 1 -maxdepth 1 ! -name .repl-staging -exec rm -rf {} +
start A
wait_for 20 "A holds the emptied root" emptied
untouched || fail "the peer lost files before the approval"
repl A approve t || fail "approve: status $?"
settle A
equal A B
untouched && fail "approved, but the peer kept the files"

step "the root of the secondary goes away, and comes back"
echo one >"$a/one"
settle A
mv "$b" "$b.away"
wait_for 20 "B says that its root is gone" status_is B 's["state"] == "held" and any("root" in h for h in s["holds"])'
echo two >"$a/two"
[ ! -e "$b" ] || fail "B made its root by itself"
mv "$b.away" "$b"
settle A
equal A B
stop A
stop B
exit 0
