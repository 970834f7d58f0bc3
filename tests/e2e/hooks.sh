#!/usr/bin/env bash
# Programs that are run for events: a peer that came into sync, a hold on either side; each once. A reload lets what runs
# go on; the end of the daemon ends it.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'on_synced = ["/etc/repl/note", "two words; touch /etc/repl/shell"]' 'on_hold = "/etc/repl/note"'
a=$(tree A) b=$(tree B)
mkdir -p "$a" "$b"
echo 1 >"$a/file"
for name in A B; do
  cat >"$W/$name/etc/note" <<'NOTE'
#!/bin/sh
echo "$REPL_EVENT|$REPL_TREE|$REPL_NODE|$REPL_ROLE|$REPL_PEER|$REPL_REASON|$*" >>/var/lib/repl/events
echo "noted"
if [ -e /etc/repl/slow ]; then sleep 600; fi
NOTE
  chmod 755 "$W/$name/etc/note"
done
events() { grep -c "^$2" "$W/$1/state/events" 2>/dev/null; } # NODE EVENT
noted() { [ "$(events "$1" "$2")" = "$3" ]; }
exactly() { # NODE EVENT NUMBER
  wait_for 20 "$1 notes $2, $3 times" noted "$1" "$2" "$3"
  never 1 "$1 noted $2 more than $3 times" bash -c "[ \"\$(grep -c '^$2' '$W/$1/state/events')\" -gt $3 ]"
}

step "a peer in sync is told once, however much is written then"
start_all
ready A
exactly A synced 1
for i in 1 2 3 4 5; do echo "$i" >"$a/file" && settle A; done
exactly A synced 1
[ "$(head -1 "$W/A/state/events")" = "synced|t|A|primary|B||two words; touch /etc/repl/shell" ] ||
  fail "the note is: $(cat "$W/A/state/events")"
[ ! -e "$W/A/etc/shell" ] || fail "an argument reached a shell"
grep -q 't: on_synced: noted' "$W/A/log/daemon" || fail "the log does not have the hook's output"

step "drift is told on the replica, once until none is left"
echo mine >"$b/file"
exactly B hold 1
echo mine >"$b/other"
exactly B hold 1
grep -q '^hold|t|B|secondary||paths were changed here' "$W/B/state/events" || fail "the note is: $(cat "$W/B/state/events")"
repl B approve t >/dev/null || fail "approve"
ready A
echo mine >"$b/file"
exactly B hold 2
repl B approve t >/dev/null || fail "approve"
ready A

step "a peer that comes back is in sync once more"
stop B
start B
ready A
exactly A synced 2

step "a root that went is a hold"
mv "$b" "$b.away"
wait_for 20 "B notes a hold" bash -c "grep -q '^hold|t|B|.*the root' '$W/B/state/events'"
mv "$b.away" "$b"
ready A

step "a hook that others can write to is told beforehand, and not run"
chmod 777 "$W/B/etc/note"
repl B config check >"$W/check.out" 2>&1
grep -q 'warning: \[tree.t\] on_hold: /etc/repl/note: .*chmod go-w' "$W/check.out" ||
  fail "config check does not warn: $(cat "$W/check.out")"
before=$(events B hold)
echo mine >"$b/file"
wait_for 20 "B says that the hook is not run" grep -q 't: on_hold: not run: /etc/repl/note: .*chmod go-w' "$W/B/log/daemon"
[ "$(events B hold)" = "$before" ] || fail "it was run"
chmod 755 "$W/B/etc/note"
repl B approve t >/dev/null || fail "approve"
ready A

step "a reload ends no hook, the end of the daemon does"
touch "$W/B/etc/slow"
echo mine >"$b/file"
wait_for 20 "B notes a hold" noted B hold $((before + 1))
kill -HUP "${DAEMON[B]}"
wait_for 20 "B has reloaded" grep -q 'the configuration is reloaded' "$W/B/log/daemon"
slept() { nsenter --target "${HOLDER[B]}" --mount -- pgrep -f '^sleep 600$' >/dev/null; }
slept || fail "the reload ended the hook"
stop B
! slept || fail "the hook outlived the daemon"
grep -q 'was ended because repl ends' "$W/B/log/daemon" || fail "the log does not say that the hook was ended"
stop A
step "done"
