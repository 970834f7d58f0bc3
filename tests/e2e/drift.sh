#!/usr/bin/env bash
# Somebody changes the replica: it is held, named and never overwritten unseen; the rest flows; `repl approve` lets
# the primary's version in and keeps the local one.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config
a=$(tree A) b=$(tree B)
mkdir -p "$a/dir/deep" "$b"
for name in content mode owner attribute target removed replaced same both dir/deep/inner; do echo "$name" >"$a/$name"; done
ln -s there "$a/link"
start_all
ready A
equal A B

held() { status_is B "s['held_keys_total'] == $1"; }
named() { # PATH REASON
  repl B status t >"$W/status.out"
  grep -qF "$1: $2" "$W/status.out" || { cat "$W/status.out"; fail "the status of B does not say: $1: $2"; }
}
verify_is() { # STATUS
  repl A verify t >"$W/verify.out" 2>&1
  local code=$?
  [ "$code" = "$1" ] || { cat "$W/verify.out"; fail "verify ends with $code, not $1"; }
}
kept() { find "$W"/B/state "$b/.repl-staging" -path '*/kept/*' -type f -exec cat {} + 2>/dev/null; }

step "changed while the daemon runs"
echo mine >"$b/content"
chmod 600 "$b/mode"
chown 7 "$b/owner"
setfattr -n user.mine -v x "$b/attribute"
rm "$b/removed"
echo other >"$b/new-here"
echo below >"$b/dir/deep/new-below" # in a directory that repl made
ln -sfn elsewhere "$b/link"
wait_for 20 "eight paths are held" held 8
named content "it was changed here (size)"
named mode "it was changed here (mode)"
named owner "it was changed here (owner)"
named attribute "it was changed here (extended attributes)"
named link "it was changed here (modification time)"
named removed "it was removed here"
named new-here "it was made here, not by the primary"
named dir/deep/new-below "it was made here, not by the primary"
verify_is 6
repl B status t >/dev/null
[ $? = 3 ] || fail "status of a node that holds does not end with 3"

step "the rest flows; a held path is not overwritten when the primary changes it"
echo more >"$a/flows"
echo newer >"$a/content"
wait_for 20 "the rest flows" cmp -s "$a/flows" "$b/flows"
never 1 "a held path was overwritten" cmp -s "$a/content" "$b/content"
verify_is 6

step "what becomes equal by itself is released"
chmod 644 "$b/mode"
chown 0 "$b/owner"
setfattr -x user.mine "$b/attribute"
rm "$b/new-here" "$b/dir/deep/new-below"
ln -sfn there "$b/link"
touch -h -d "$(stat -c %y "$a/link")" "$b/link"
wait_for 20 "two paths are held" held 2

step "changed while the daemon is down, and on both sides"
stop B
echo "changed" >"$b/same" && touch -r "$a/same" "$b/same"
echo inner >"$b/dir/deep/own"
echo b >"$b/both"
echo a-a >"$a/both"
start B
wait_for 20 "five paths are held" held 5
verify_is 6
[ "$(cat "$b/both")" = b ] || fail "a path that changed on both sides was overwritten"
named dir/deep/own "it was made here, not by the primary"

step "approved: the primary's versions go in, the local ones are kept"
repl B approve t >"$W/approve.out" || { cat "$W/approve.out"; fail "approve: status $?"; }
wait_for 20 "nothing is held" held 0
settle A
equal A B
verify_is 0
for word in mine changed b inner; do grep -qx "$word" <<<"$(kept)" || fail "the local version '$word' was not kept"; done

step "and it goes on as before, also after a restart"
echo after >"$a/content"
settle A
equal A B
stop B
start B
ready A
equal A B
held 0 || fail "something is held after the restart"

step 'on_drift = "repair": nobody is asked, and nothing is lost'
stop B
usual_config 'on_drift = "repair"'
echo "before the start" >"$b/content"
start B
ready A
echo repaired >"$b/owner"
rm "$b/mode"
mkdir "$b/made here" && echo inside >"$b/made here/inside"
chmod 600 "$b/dir/deep/inner"
wait_for 20 "the primary's tree is back" judge "$a" "$b"
wait_for 20 "nothing is held" held 0
verify_is 0
for word in "before the start" repaired inside; do grep -qx "$word" <<<"$(kept)" || fail "the local version '$word' was not kept"; done
stop A
stop B
exit 0
