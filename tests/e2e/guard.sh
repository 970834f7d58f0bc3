#!/usr/bin/env bash
# A guarded tree (guard = true): nobody but repl writes on a secondary, and a switchover waits for nobody who has a file
# open. Writers are processes of the host, in its mount namespace; judged from outside.
. "$(dirname "$0")/lib.sh"
node A "${1:-ext4}"
node B "${1:-ext4}"
usual_config 'guard = true'
a=$(tree A) b=$(tree B)
mkdir -p "$a/dir" "$b"
echo 1 >"$a/dir/file"
guard() { status_is "$1" "s[\"guard\"] == \"$2\""; }
guarded() { wait_for 20 "$1's guard is $2" guard "$1" "$2"; }
writes() { on "$1" sh -c "echo $2 >$TREE/$3" 2>"$W/write.err"; }
refused() { # NODE: as by a read-only filesystem
  ! writes "$1" x "new" || fail "a write on $1 was not refused"
  grep -q 'Read-only file system' "$W/write.err" || fail "the write failed otherwise: $(cat "$W/write.err")"
  ! on "$1" rm -f "$TREE/dir/file" 2>/dev/null || fail "a removal on $1 was not refused"
}
mounts() { on "$1" grep -c " $TREE " /proc/self/mountinfo; }
switchover() { repl "$1" switchover t --to "$2" --timeout 20 >"$W/switchover.out" 2>&1; }
hold() { # NODE FILE: a process of the host has it open for writing, until let_go; its pid is $held
  rm -f "$W/held"
  on "$1" python3 -c "
import os, time
f = open('$TREE/$2', 'a'); print(os.getpid(), flush=True); time.sleep(600)" >"$W/held" &
  disown
  wait_for 10 "$2 is open" grep -q . "$W/held"
  held=$(cat "$W/held")
}
let_go() {
  kill "$held"
  wait_for 10 "the writer's end" bash -c "! kill -0 $held"
}

step "a secondary's tree is read-only, and cuts arrive all the same"
start_all
ready A
guarded A writable
guarded B read-only
refused B
writes A 2 dir/file || fail "the primary cannot be written"
writes A sub dir/more || fail "the primary cannot be written"
on A ln "$TREE/dir/more" "$TREE/linked"
on A dd if=/dev/urandom of="$TREE/large" bs=1M count=3 status=none
settle A
judge "$a" "$b" || fail "different"
on A sh -c "echo tail >>$TREE/large; rm $TREE/linked; mv $TREE/dir $TREE/renamed; mkdir $TREE/dir; echo 3 >$TREE/dir/file"
settle A
judge "$a" "$b" || fail "different after changes"
status_is B 's["held_keys_total"] == 0' || fail "something is held"

step "an ended daemon leaves the guard, and a new one finds it"
stop B KILL
refused B
start B
settle A
guarded B read-only
[ "$(mounts B)" = 1 ] || fail "there are $(mounts B) mounts at the root"
stop B
refused B
start B
writes A 4 dir/file
settle A
judge "$a" "$b" || fail "different after restarts"

step "a writer with a file open is named, and the primary goes on"
hold A dir/file
! switchover A B || fail "the switchover was not refused"
grep -q "pid $held (python3) has $TREE/dir/file open for writing" "$W/switchover.out" ||
  fail "the writer is not named: $(cat "$W/switchover.out")"
guarded A writable
guarded B read-only
writes A 5 dir/file || fail "the primary cannot be written after the refusal"
ready A
let_go

step "so is one that had it open before there was a guard"
on A sh -c "umount -l $TREE"
stop A
! on A grep -q " $TREE " /proc/self/mountinfo || on A umount -l "$TREE"
hold A dir/file
start A
ready A
guarded A writable
! switchover A B || fail "the switchover was not refused"
grep -q "does not reach pid $held (python3) has $TREE/dir/file" "$W/switchover.out" ||
  fail "the writer is not named: $(cat "$W/switchover.out")"
guarded A writable
repl A doctor >"$W/doctor.out" 2>&1
grep -q "does not reach: pid $held (python3) has $TREE/dir/file" "$W/doctor.out" || fail "doctor: $(cat "$W/doctor.out")"
ready A
repl A switchover t --to B --unguarded >"$W/switchover.out" 2>&1 || fail "unguarded: $(cat "$W/switchover.out")"
let_go

step "the roles have moved, and the guards with them"
guarded A read-only
guarded B writable
refused A
writes B 6 dir/file || fail "the new primary cannot be written"
ready B
judge "$a" "$b" || fail "different after the switchover"
switchover B A || fail "back: $(cat "$W/switchover.out")"
guarded B read-only
guarded A writable
ready A

step "a primary that dies is one again, writable"
stop A KILL
start A
ready A
writes A 7 dir/file || fail "it cannot be written"
settle A

step "demote closes the guard, promote opens it"
repl A demote t >"$W/demote.out" 2>&1 || fail "demote: $(cat "$W/demote.out")"
guarded A read-only
refused A
repl B promote t >"$W/promote.out" 2>&1 || fail "promote: $(cat "$W/promote.out")"
guarded B writable
writes B 8 dir/file || fail "the promoted node cannot be written"
ready B
judge "$a" "$b" || fail "different at the end"

step "what was kept in a guarded tree can be restored, and discarded"
stop A
writes B mine dir/file || fail "B cannot be written"
wait_for 20 "B has it in a cut" status_is B 's["peers"][0]["lag_paths"] > 0'
stop B KILL
start A
wait_for 20 "A answers" answers A t
repl A promote t --force >"$W/promote.out" 2>&1 || fail "promote: $(cat "$W/promote.out")"
writes A other dir/file || fail "A cannot be written"
start B
wait_for 30 "B has diverged" role_state B diverged
guarded B read-only
catchup B A
kept B dir/file mine
refused B
repl B diverged discard t --all --yes >"$W/discard.out" 2>&1 || fail "discard: $(cat "$W/discard.out")"
[ -z "$(ls "$b/.repl-staging/diverged")" ] || fail "the store is still there"
ready A
judge "$a" "$b" || fail "different after the catch-up"

step "who cannot mount is told so beforehand"
on A setpriv --bounding-set -sys_admin --inh-caps -all "$REPL" config check >"$W/check.out" 2>&1
[ $? = 2 ] || fail "config check accepts it"
grep -q 'guard = true: .*CAP_SYS_ADMIN' "$W/check.out" || fail "config check: $(cat "$W/check.out")"

step "a guard that is not wanted any more is taken away by hand"
stop B
usual_config
start B
wait_for 20 "B says what to do" status_is B "any('umount $TREE' in h for h in s['holds'])"
on B umount "$TREE" || fail "umount"
writes A 9 dir/file || fail "A cannot be written"
ready A
judge "$a" "$b" || fail "different without the guard"
guarded B off
stop A
stop B
step "done"
