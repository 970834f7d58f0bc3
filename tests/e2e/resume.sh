#!/usr/bin/env bash
# A large file is under way when the connection is lost: it goes on where it stopped, also when a daemon was
# killed meanwhile. Counted in bytes on the wire.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
wire A B 2 0 400 # 400 Mbit/s: 120 MB take some seconds
usual_config
a=$(tree A)
mkdir -p "$a" "$(tree B)"
start_all
ready A

interrupted() { # HOW COMMAND...
  local how=$1 before crossed
  shift
  head -c 120000000 /dev/urandom >"$W/A/fs/large"
  before=$(wire_bytes A)
  mv "$W/A/fs/large" "$a/large"
  wait_for 30 "half of it" eval '[ $(($(wire_bytes A) - '"$before"')) -gt 60000000 ]'
  "$@"
  wait_for 90 "the rest of it" cmp "$a/large" "$(tree B)/large"
  settle A
  equal A B
  crossed=$(($(wire_bytes A) - before))
  step "$how: $crossed bytes crossed for 120,000,000"
  [ "$crossed" -gt 110000000 ] || fail "fewer bytes than the file has: this test counts wrongly"
  [ "$crossed" -lt 170000000 ] || fail "the file was sent again"
  rm "$a/large"
  settle A
}
reset_connection() {
  kill -9 "${DAEMON[B]}"
  wait "${DAEMON[B]}" 2>/dev/null
  start B
}
restart_sender() {
  kill -9 "${DAEMON[A]}"
  wait "${DAEMON[A]}" 2>/dev/null
  start A
}
step "an interrupted file of 120 MB"
interrupted "the receiver was killed" reset_connection
interrupted "the sender was killed" restart_sender
