#!/usr/bin/env bash
# A normal day of a pair: the primary dies, the secondary is promoted, users go on there, the old primary comes back by
# itself and harms nothing, and the role moves back while users write.
. "$(dirname "$0")/lib.sh"
node A ext4
node B xfs
for name in A B; do
  # The writer holds the lock while it looks and writes: when the hook ends, nobody writes any more.
  printf '#!/bin/sh\nrm -f /etc/repl/may-write\nflock /etc/repl/lock true\n' >"$W/$name/etc/stop-writers"
  printf '#!/bin/sh\ntouch /etc/repl/may-write\n' >"$W/$name/etc/let-writers"
  chmod 755 "$W/$name/etc/stop-writers" "$W/$name/etc/let-writers"
  touch "$W/$name/etc/lock"
done
begin_pair 'on_alone_after = 2' 'on_demote = "/etc/repl/stop-writers"' 'on_promote = "/etc/repl/let-writers"'

refused() { # NODE TEXT COMMAND...: exit 3, and it names what helps
  local name=$1 text=$2
  shift 2
  repl "$name" "$@" >"$W/refused.out" 2>&1
  local status=$?
  [ "$status" = 3 ] || { cat "$W/refused.out"; fail "repl $*: exit $status, not 3"; }
  grep -q -- "$text" "$W/refused.out" || { cat "$W/refused.out"; fail "repl $*: nothing of '$text'"; }
}

step "who is who; a promotion beside a living primary is refused"
role A 0 && role B 1 || fail "roles: $(cat "$W/role.out")"
refused B "repl switchover t --to B" promote t
refused B "is not the primary" switchover t --to A
role A 0 || fail "A is not the primary any more"

step "the primary dies at rest; the secondary is promoted; users go on there"
stop A KILL
repl B promote t --dry-run || fail "promote --dry-run"
role B 1 || fail "a dry run promoted"
repl B promote t || fail "promote"
wait_for 20 "B is the primary" role B 0
echo new >"$b/after-failover"
rm "$b/etc/conf.d/01.conf"
mv "$b/data" "$b/moved"
repl B promote t | grep -qi "already" || fail "a second promote says nothing"

step "it comes back and follows, without a person; nothing old is pushed"
start A
wait_for 30 "A follows" role A 1
settle B
equal B A
[ "$(cat "$a/after-failover")" = new ] || fail "the newer file is not there"
[ ! -e "$a/etc/conf.d/01.conf" ] || fail "a removed file came back"

step "the role moves there and back while users write to whoever is the primary"
: >"$W/acknowledged"
(
  n=0
  until [ -e "$W/enough" ]; do
    for name in A B; do
      n=$((n + 1))
      flock -s "$W/$name/etc/lock" bash -c '[ -e "$1" ] && echo "$2" >"$3" && echo "$2" >>"$4"' _ \
        "$W/$name/etc/may-write" "$n" "$(tree "$name")/write-$n" "$W/acknowledged"
    done
    sleep 0.05
  done
) &
writer=$!
from=B to=A
for i in $(seq "${SWITCHOVERS:-10}"); do
  wait_for 20 "$to follows $from" connected "$from"
  repl "$from" switchover t --to "$to" >"$W/switchover.out" 2>&1 || { cat "$W/switchover.out"; fail "switchover $i"; }
  wait_for 20 "$to is the primary" role "$to" 0
  wait_for 20 "$from follows" role "$from" 1
  swap=$from from=$to to=$swap
done
touch "$W/enough"
wait "$writer"
settle "$from"
equal "$from" "$to"
writes=$(wc -l <"$W/acknowledged")
step "$writes writes, primary $from"
[ "$writes" -gt 20 ] || fail "hardly a write was acknowledged"
while read -r n; do
  [ -e "$(tree "$from")/write-$n" ] || fail "write $n is lost"
done <"$W/acknowledged"

step "a primary that starts alone serves nobody before it has heard the other, or was told to"
primary=$from other=$to
stop "$other"
stop "$primary"
start "$primary"
wait_for 20 "$primary answers" answers "$primary" t
role "$primary" 2 || fail "it calls itself $(cat "$W/role.out")"
wait_for 20 "$primary is held" status_is "$primary" 's["state"] == "held" and any("repl promote" in h for h in s["holds"])'
role "$primary" 2 || fail "it calls itself $(cat "$W/role.out")"
start "$other"
wait_for 30 "$primary has shown that it is current" role "$primary" 0
stop "$other"
stop "$primary" KILL
start "$primary"
wait_for 20 "$primary answers" answers "$primary" t
repl "$primary" promote t || fail "promote of one that is alone"
role "$primary" 0 || fail "it is not the primary after promote"
start "$other"
settle "$primary"
equal "$primary" "$other"

step "demoted: nobody is the primary; either may be promoted"
repl "$primary" demote t || fail "demote"
wait_for 20 "$primary is no primary" role "$primary" 1
role "$other" 1 || fail "roles"
echo nobody >"$(tree "$other")/written-while-nobody-is"
wait_for 10 "the drift is seen" status_is "$other" 's["held_keys_total"] > 0'
wait_for 30 "promote of $other" repl "$other" promote t
settle "$other"
equal "$other" "$primary"
[ -e "$(tree "$primary")/written-while-nobody-is" ] || fail "what was changed there is not the new reign's first change"

step "paused: nothing crosses, also over a restart; resumed: all of it"
repl "$other" pause t || fail pause
echo paused >"$(tree "$other")/while-paused"
stop "$other"
start "$other"
never 3 "it crossed while paused" test -e "$(tree "$primary")/while-paused"
repl "$other" resume t || fail resume
settle "$other"
equal "$other" "$primary"
