#!/usr/bin/env bash
# The primary dies, the secondary is promoted, users go on there, the old primary comes back.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config
a=$(tree A) b=$(tree B)
populate "$a"
mkdir "$b"
start_all
ready A
equal A B
ctl() { on "$1" python3 /tmp/ask.py /run/repl/t.sock "${@:2}"; }
role_is() { # NODE EXIT
  ctl "$1" role t | grep -q "$2"
}
step "roles"
ctl A role t; ctl B role t
step "promote is refused while the primary answers"
ctl B promote t
step "kill -9 of A at rest; promote B"
stop A KILL
sleep 0.3
ctl B promote t
ready_b() { wait_for 30 "B primary" status_is B 's["role"]=="primary"'; }
ready_b
echo new >"$b/after-failover"; rm "$b/etc/conf.d/01.conf"; echo changed >"$b/etc/conf.d/02.conf"
sleep 1
step "A comes back by itself, without local changes: follows without a person"
start A
wait_for 30 "A secondary" status_is A 's["role"]=="secondary"'
ctl A role t
settle B
equal B A
ctl A role t
step "back: kill B, promote A"
stop B KILL
sleep 0.3
ctl A promote t
wait_for 30 "A primary" status_is A 's["role"]=="primary" and s["current"]'
echo x >$a/x
step "changes on B while it was dead: diverged"
echo mine >$b/only-b; echo mine >$b/etc/conf.d/03.conf; rm -r $b/data/deep
start B
wait_for 30 "B up" answers B t
sleep 3
ctl B role t
ctl A diff t
ctl B diff t
ctl B catchup_plan t from=A
ctl B catchup t from=A plan=1000
equal A B
repl B status t; repl A status t
find $W/B -path '*diverged*'
settle A
