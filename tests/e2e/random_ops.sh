#!/usr/bin/env bash
# The property that everything else serves: after any mix of operations, cuts and crashes, once writes stop and
# the wire is up, both trees are equal for both judges.
#   random_ops.sh [--seed N] [--seconds S] [--kind FILESYSTEM]
# The seed is printed; the same seed gives the same operations and faults (their timing is the machine's).
seconds=40 seed=$((RANDOM * 32768 + RANDOM)) kind=ext4
while [ $# -gt 0 ]; do
  case "$1" in
    --seed) seed=$2 ;;
    --seconds) seconds=$2 ;;
    --kind) kind=$2 ;;
    *) echo "usage: $0 [--seed N] [--seconds S] [--kind FILESYSTEM]" >&2; exit 2 ;;
  esac
  shift 2
done
set -- --seed "$seed" --seconds "$seconds" --kind "$kind"
. "$(dirname "$0")/lib.sh"
step "again with: $0 --seed $seed --seconds $seconds --kind $kind"
RANDOM=$((seed % 32768))

node A "$kind" 1024
node B "$kind" 1024
wire A B 1
usual_config
a=$(tree A)
mkdir "$a" "$(tree B)"
touch "$a/stays"
LOG_LINES=${LOG_LINES:-80}
start_all
ready A

round=0
until [ $SECONDS -ge "$seconds" ]; do
  round=$((round + 1))
  ops=$((RANDOM % 900 + 100)) pause=$((RANDOM % 3 * 400)) fault=$((RANDOM % 7)) when=0.$((RANDOM % 8 + 1))
  python3 "$HERE/random_ops.py" "$a" --seed $((seed + round)) --ops "$ops" --pause-us "$pause" \
    2>>"$W/A/log/operations" &
  writer=$!
  case "$fault" in
    0 | 1) what="no fault" ;;
    2)
      what="cut and joined"
      sleep "$when"
      wire_cut
      sleep 1
      wire_join
      ;;
    3)
      what="kill -9 of A, restarted at once"
      sleep "$when"
      stop A KILL
      start A
      ;;
    4)
      what="kill -9 of B, restarted at once"
      sleep "$when"
      stop B KILL
      start B
      ;;
    5)
      what="A away until the writes have ended"
      sleep "$when"
      stop A
      wait "$writer"
      start A
      ;;
    6)
      what="cut, both killed, joined"
      sleep "$when"
      wire_cut
      stop B KILL
      stop A KILL
      wire_join
      start_all
      ;;
  esac
  wait "$writer" || true
  [ ! -s "$W/A/log/operations" ] || { cat "$W/A/log/operations"; fail "the operations themselves failed"; }
  ready A
  equal A B
  step "round $round: $ops operations, $what: equal"
done
repl A verify t --full || fail "verify --full after round $round: status $?"
stop A
stop B
exit 0
