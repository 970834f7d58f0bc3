#!/usr/bin/env bash
# First contact: the first node waits until all are heard; an empty or equal tree joins by itself; a tree with
# other content holds, untouched, until a person decides.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
node C ext4
usual_config
a=$(tree A)
mkdir "$a" "$(tree B)" "$(tree C)"
echo from-a >"$a/file"
cp -a "$a/." "$(tree C)/"

step "A alone does not make itself primary"
start A
wait_for 20 "A answers" answers A t
never 4 "A is primary without having heard the others" status_is A 's["role"] == "primary"'
start B
never 4 "A is primary without having heard C" status_is A 's["role"] == "primary"'
[ ! -e "$(tree B)/file" ] || fail "pushed before a primary exists"

step "all heard: A becomes primary; B (empty) and C (equal) join by themselves"
inode=$(stat -c %i "$(tree C)/file")
start C
wait_for 30 "A is primary" status_is A 's["role"] == "primary"'
ready A
equal A B
equal A C
[ "$inode" = "$(stat -c %i "$(tree C)/file")" ] || fail "an equal file was replaced"
stop A
stop B
stop C

step "a node with other content holds; nothing of it is overwritten"
rm -rf "$W"/B/state/*/t "$W"/B/state/t "$(tree B)"
mkdir "$(tree B)"
echo precious >"$(tree B)/file"
echo only-here >"$(tree B)/mine"
start_all
wait_for 30 "A and C are in touch" status_is A 'any(p["connected"] for p in s["peers"])'
echo later >"$a/later"
wait_for 30 "C is served meanwhile" test -e "$(tree C)/later"
never 4 "B was overwritten" test ! -e "$(tree B)/mine"
[ "$(cat "$(tree B)/file")" = precious ] || fail "other content was overwritten"
hold_shown() {
  status_is B 'bool(s["holds"]) or s["state"] == "held"' || status_is A 'any(p["hold"] for p in s["peers"])'
}
wait_for 20 "the hold is shown" hold_shown
stop A
stop B
stop C
exit 0
