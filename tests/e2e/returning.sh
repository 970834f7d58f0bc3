#!/usr/bin/env bash
# Nodes that come back with changes that the primary never had: nothing of theirs is overwritten, nothing of the primary's
# is, and `repl catchup` keeps the ones, fetches the others and proves it.
. "$(dirname "$0")/lib.sh"
node A ext4
node B xfs
begin_pair 'on_alone_after = 2'

status_says() { # NODE TEXT
  repl "$1" status t >"$W/status.out" 2>&1
  grep -q -- "$2" "$W/status.out" || { cat "$W/status.out"; fail "the status of $1 does not say '$2'"; }
}
snapshot() { rm -rf "$2"; cp -a "$1" "$2"; rm -rf "$2/.repl-staging"; touch -r "$1" "$2"; }
restart() { stop "$1"; start "$1"; wait_for 20 "$1 is up" answers "$1" t; }
unchanged() { judge "$1" "$2" >"$W/judge.out" 2>&1 || { cat "$W/judge.out"; fail "$3"; }; }
step "the wire is cut, B is promoted, both are written to; joined: A gives way by itself and touches nothing"
unplug B
echo "of A" >"$a/both"
echo "only A" >"$a/only-a"
rm "$a/etc/conf.d/05.conf"
chmod 640 "$a/etc/conf.d/06.conf"
mkdir "$a/made-on-a" && echo deep >"$a/made-on-a/file"
restart B # or it would take 20 s of silence until it misses A
repl B promote t || fail promote
echo "of B" >"$b/both"
echo "only B" >"$b/only-b"
rm -r "$b/data/deep"
mv "$b/etc/conf.d/07.conf" "$b/etc/conf.d/moved.conf"
sleep 1
snapshot "$a" "$W/a.before"
plug B
wait_for 60 "A has given way" role_state A diverged
sleep 1
unchanged "$W/a.before" "$a" "A's tree was touched"
[ "$(cat "$b/both")" = "of B" ] && [ ! -e "$b/only-a" ] || fail "A's files were pushed over B's"
status_says A "repl catchup --from B t"
status_says B "repl catchup --from B t"
if repl A promote t 2>"$W/refused.out"; then fail "A was promoted beside B"; fi

step "the plan is itemised, and changes nothing"
repl A catchup --from B t --dry-run >"$W/plan.out" || { cat "$W/plan.out"; fail "dry run"; }
for word in both only-a only-b moved.conf kept; do
  grep -q "$word" "$W/plan.out" || { cat "$W/plan.out"; fail "the plan says nothing of $word"; }
done
unchanged "$W/a.before" "$a" "a dry run touched A's tree"
if repl A catchup --from B t </dev/null >"$W/noconsent.out" 2>&1; then fail "it was done without consent"; fi
unchanged "$W/a.before" "$a" "without consent A's tree was touched"

step "caught up while B's users go on writing; what only A had is kept"
(for i in $(seq 60); do echo "$i" >"$b/busy-$((i % 7))"; sleep 0.02; done) &
writer=$!
catchup A B
wait "$writer"
settle B
equal B A
repl A diverged list t >"$W/list.out"
for word in both only-a made-on-a/file etc/conf.d/05.conf; do
  grep -q "$word" "$W/list.out" || { cat "$W/list.out"; fail "nothing of $word in the store"; }
done
kept A both "of A"
kept A only-a "only A"
kept A made-on-a/file deep
role A 1 || fail "A is $(cat "$W/role.out")"
step "once more: in sync, verified, without a question"
repl A catchup --from B t </dev/null >"$W/again.out" 2>&1 || { cat "$W/again.out"; fail "catchup of what is in sync"; }

step "a replica that was written to while its primary was away holds the primary off"
stop B
for i in $(seq 20); do echo "here $i" >"$a/etc/conf.d/$(printf %02d "$((i + 20))").conf"; done
wait_for 20 "drift is seen" status_is A 's["held_keys_total"] >= 20'
snapshot "$a" "$W/a.before"
start B
wait_for 60 "A refuses" role_state A diverged
unchanged "$W/a.before" "$a" "what was written on A was touched"
status_says A "repl promote --force t"
catchup A B
settle B
equal B A
kept A etc/conf.d/25.conf "here 5"

step "killed while it catches up with 40 MB: it goes on by itself, and the command proves it"
unplug B
echo mine >"$a/drifted-alone"
stop A KILL
head -c 40000000 /dev/urandom >"$b/large"
for i in $(seq 15); do echo "again $i" >"$a/etc/conf.d/$(printf %02d "$((i + 20))").conf"; done
start A
wait_for 20 "A is up" answers A t
wait_for 20 "drift is seen" status_is A 's["held_keys_total"] >= 15'
plug B
wait_for 60 "A refuses" role_state A diverged
repl A catchup --from B t --yes >"$W/killed.out" 2>&1 &
command=$!
sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
stop A KILL
wait "$command"
start A
wait_for 20 "A is up" answers A t
wait_for 30 "A hears B" connected A
if role_state A diverged; then step "(it was killed before everything was kept)"; fi
catchup A B
settle B
equal B A
kept A etc/conf.d/25.conf "again 5"

step "the whole state of A is lost, its tree is not: it joins again, and what differs is kept"
stop A
rm -rf "$W/A/state/t"
echo "while stateless" >"$a/only-a"
start A
wait_for 60 "A asks for a person" role_state A diverged
if repl A promote t 2>"$W/refused.out"; then fail "promoted without a history"; fi
[ "$(cat "$a/only-a")" = "while stateless" ] || fail "it was touched"
catchup A B
settle B
equal B A
kept A only-a "while stateless"

step "split brain: both promoted; neither is applied over the other; one gives way"
unplug B
restart A
restart B
repl A promote t || fail promote
echo "split A" >"$a/both"
repl B promote t --force || fail "promote --force"
echo "split B" >"$b/both"
sleep 1
plug B
wait_for 60 "both say so" status_is A 'any("demote" in h for h in s["holds"])'
role A 2 && role_state A "split brain" || fail "A answers for the tree, and has heard B: $(cat "$W/role.out")"
wait_for 10 "B does not answer for the tree" role B 2
grep -q 'catchup --from A' "$W/role.out" && grep -q 'catchup --from B' "$W/role.out" ||
  fail "it does not name the nodes: $(cat "$W/role.out")"
if repl A promote t >"$W/promote.out" 2>&1; then fail "promoted beside another primary"; fi
grep -q 'primary, too' "$W/promote.out" || { cat "$W/promote.out"; fail "the refusal"; }
sleep 1
[ "$(cat "$a/both")" = "split A" ] && [ "$(cat "$b/both")" = "split B" ] || fail "one was applied over the other"
repl B demote t || fail demote
wait_for 30 "B is held" role_state B diverged
wait_for 10 "A answers for the tree again" role A 0
catchup B A
settle A
equal A B
kept B both "split B"

step "the primary's tree is put back to an old snapshot, its state is not: it sends nothing of that"
sync -f "$a"
cp --sparse=always "$(losetup -n -O BACK-FILE "$(findmnt -n -o SOURCE "$W/A/fs")")" "$W/snapshot"
echo "newer than the snapshot" >"$a/both"
echo "made since" >"$a/made-since"
settle A
stop A
device=$(findmnt -n -o SOURCE "$W/A/fs")
image=$(losetup -n -O BACK-FILE "$device")
on A umount /mnt/fs
umount "$W/A/fs"
cp --sparse=always "$W/snapshot" "$image"
mount -o loop "$image" "$W/A/fs"
on A mount --bind "$W/A/fs" /mnt/fs
start A
wait_for 30 "A is held" status_is A 's["state"] == "held" and any("older than what" in h for h in s["holds"])'
never 3 "the old file was pushed" grep -qv "newer than" "$b/both"
[ -e "$b/made-since" ] || fail "what was made since the snapshot was removed"
if repl A promote t 2>"$W/refused.out"; then fail "promoted without --force"; fi
repl B promote t || fail "promote of B"
wait_for 60 "A gives way" role A 1
wait_for 10 "A is diverged or follows" bash -c "[ -n x ]"
catchup A B
settle B
equal B A
[ "$(cat "$a/both")" = "newer than the snapshot" ] || fail "A has the old one"
