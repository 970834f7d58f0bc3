#!/usr/bin/env bash
# The wire is cut, things change, it is joined; either side is killed at any time. Only what changed crosses.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
wire A B 2
usual_config
a=$(tree A)
populate "$a"
mkdir "$(tree B)"
mkdir "$a/big"
for i in $(seq 300); do head -c 65536 /dev/urandom >"$a/big/$i"; done # about 20 MB that must not cross again
start_all
ready A
equal A B

step "cut: one change, a renamed directory of 20 MB, a file removed; then joined"
wire_cut
echo changed >"$a/while-cut"
mv "$a/big" "$a/bigger"
rm "$a/data/block"
sleep 2
status_is A 's["peers"][0]["lag_paths"] > 0' || fail "no lag is shown while the peer is away"
if repl A wait t --for durable --timeout 2 2>/dev/null; then fail "wait says durable while the wire is cut"; fi
before=$(wire_bytes A)
wire_join
wait_for 60 "the change" test -e "$(tree B)/while-cut"
settle A
equal A B
crossed=$(($(wire_bytes A) - before))
step "$crossed bytes crossed"
[ "$crossed" -lt 1000000 ] || fail "$crossed bytes for one small change and a rename"

step "a long cut: the connection is given up on both sides, and comes back"
wire_cut
for i in $(seq 50); do echo "$i" >"$a/bigger/long$i"; done
sleep 25
wire_join
wait_for 60 "reconnect" test -e "$(tree B)/bigger/long50"
settle A
equal A B

for victim in A B; do
  step "kill -9 of $victim amid changes"
  (for i in $(seq 400); do
    echo "$victim$i" >"$a/storm-$victim-$i"
    [ $((i % 7)) = 0 ] && mv "$a/storm-$victim-$i" "$a/moved-$victim-$i"
  done) &
  writer=$!
  sleep 0.3
  stop "$victim" KILL
  wait "$writer"
  rm -f "$a"/storm-"$victim"-1*
  start "$victim"
  ready A
  equal A B
done

step "kill -9 of both while 20 MB of new content is under way"
head -c 20000000 /dev/urandom >"$a/stream"
sleep 0.05
stop B KILL
stop A KILL
start_all
ready A
equal A B

step "B starts long before A"
stop A
stop B
echo order >"$a/order"
start B
sleep 3
start A
ready A
equal A B
stop A
stop B
exit 0
