#!/usr/bin/env bash
# One primary, two secondaries: each gets everything; one being away delays nobody, and it is told what it missed. A
# node that dials two ends as quickly as any other.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
node C xfs
usual_config
a=$(tree A)
populate "$a"
mkdir "$(tree B)" "$(tree C)"

step "first sync to two"
start_all
ready A
equal A B
equal A C

step "C is unplugged; B goes on"
unplug C
echo without-c >"$a/without-c"
mv "$a/etc" "$a/etc-moved"
rm -r "$a/data/deep"
wait_for 20 "B has it" test -e "$(tree B)/without-c"
wait_for 20 "B is equal" judge "$a" "$(tree B)"
[ ! -e "$(tree C)/without-c" ] || fail "C heard through an unplugged cable"

step "C comes back and is told what it missed"
plug C
wait_for 60 "C has it" test -e "$(tree C)/without-c"
settle A
equal A B
equal A C

step "C is killed, B restarted, changes go on"
stop C KILL
for i in $(seq 300); do echo "$i" >"$a/n$i"; done
stop B
rm "$a"/n1*
start B
start C
ready A
equal A B
equal A C

step "clean ends: C, which dialled two, goes first, while both live"
stop C
stop A
stop B
exit 0
