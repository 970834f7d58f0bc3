#!/usr/bin/env bash
# Writers that order their own writes, on a primary whose link is slow, cut and joined, while the replica is killed -9
# at random: at every state that the replica comes back at, what the writer relies on holds.
#   ordered_writers.sh WRITER [--rounds N] [--seed N] [--kind FILESYSTEM]
# WRITER: git | strict_git | chain | strict_chain | dpkg | sqlite_rollback | sqlite_wal | large_sqlite_rollback | large_sqlite_wal
# The seed is printed; the same seed gives the same writes and faults (their timing is the machine's).
#
# Each round: the writer goes on, the wire may be cut for a while, the replica's daemon is killed, the wire is cut, the
# daemon comes back, and what its tree is then is copied and judged; so no later cut hides what recovery left. Which
# promise is judged is what the replica's own status says of its cut: see `consistency` below.
writer=${1:-} rounds=4 seed=$((RANDOM * 32768 + RANDOM)) kind=ext4
usage() { echo "usage: $0 WRITER [--rounds N] [--seed N] [--kind FILESYSTEM]" >&2; exit 2; }
case "$writer" in
  git | strict_git | chain | strict_chain | dpkg | sqlite_rollback | sqlite_wal | large_sqlite_rollback | large_sqlite_wal) shift ;;
  *) usage ;;
esac
while [ $# -gt 0 ]; do
  case "$1" in
    --rounds) rounds=$2 ;;
    --seed) seed=$2 ;;
    --kind) kind=$2 ;;
    *) usage ;;
  esac
  shift 2
done
set -- "$writer" --rounds "$rounds" --seed "$seed" --kind "$kind"
. "$(dirname "$0")/lib.sh"
step "again with: $0 $*"
RANDOM=$((seed % 32768))
some_ms() { echo "$(((RANDOM * 32768 + RANDOM) % ($2 - $1 + 1) + $1))e-3"; } # seconds, for sleep

rtt=$((RANDOM % 10 + 1)) rate=$((RANDOM % 5 * 5 + 5))
node A "$kind" 1024
node B "$kind" 1024
wire A B $rtt 0 $rate 1
# Only `order = "strict"` keeps what is new behind large files that it names. `git gc` of a repository that is the whole
# tree is a mass delete.
case "$writer" in
  strict_*) usual_config 'max_delete = "off"' 'order = "strict"' ;;
  *) usual_config 'max_delete = "off"' ;;
esac
# What is large takes its time: most states would be those of a replica that is still catching up.
case "$writer" in *git | strict_* | large_*) pause_ms=9000 ;; *) pause_ms=3000 ;; esac
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
start_all
ready A
step "$writer over $rate Mbit/s, $rtt ms"
writers() { python3 "$HERE/ordered_writers.py" "$@"; }
writers write "$writer" "$a" "$W/ledger" "$W/stop" "$seed" >"$W/done" 2>"$W/A/log/writer" &
writing=$!

# What is promised of the cut that the replica is at: `exact`: it is a state of the primary. `loose`: large files are
# under way; nothing that was replaced or removed after them is gone. `unordered`: the cut could not be exact. `partial`:
# not a whole cut.
declare -A count=([exact]=0 [loose]=0 [unordered]=0 [partial]=0)
may_judge() {
  case "$consistency" in
    exact) judged=(--moment) ;;
    loose)
      judged=()
      [ "$writer" = dpkg ] || return 1 # `status` is replaced; what others add relies on large files, too
      ;;
    *) return 1 ;;
  esac
}
at_rest() { status_is B 's["state"] == "waiting" and s["role"] == "secondary"'; }
copy() {
  rm -rf "$W/B/fs/copy"
  cp -a --reflink=auto "$b" "$W/B/fs/copy"
}
the_copy_is() { writers judge "$writer" "$W/B/fs/copy" "$W/ledger" "$a" "$@" 2>&1; }
follows() { status_is B 's["peers"][0]["connected"]'; }
for round in $(seq "$rounds"); do
  wait_for 60 "B is back" follows
  sleep "$(some_ms 100 $pause_ms)"
  if [ $((RANDOM % 3)) = 0 ]; then
    wire_cut
    sleep "$(some_ms 100 1500)"
    wire_join
    sleep "$(some_ms 1 3000)"
  fi
  kill -0 "$writing" 2>/dev/null || { cat "$W/A/log/writer" >&2; fail "the writer ended"; }
  stop B KILL
  wire_cut
  start B
  wait_for 60 "B has recovered" at_rest
  read -r consistency cut held < <(status B '"%s %d %d" % (s["consistency"], s["cut"], s["held_keys_total"])')
  [ "$held" = 0 ] || { repl B status t >&2; fail "a recovery is taken for drift"; }
  count[$consistency]=$((count[$consistency] + 1))
  copy
  if may_judge; then
    words=$(the_copy_is ${judged[@]+"${judged[@]}"}) || {
      [ -z "${KEEP:-}" ] || { cp -a "$W/B/fs/copy" "$KEEP" && cp "$W/ledger" "$KEEP.ledger" 2>/dev/null; }
      fail "round $round, cut $cut ($consistency): $words"
    }
  else
    words="not judged; $(the_copy_is | head -c 200)"
  fi
  step "round $round: cut $cut, $consistency: $words"
  wire_join
done
touch "$W/stop"
wait "$writing" || { cat "$W/A/log/writer" >&2; fail "the writer failed"; }
ready A
equal A B
is_exact() { status_is B 's["consistency"] == "exact"'; }
wait_for 60 "at rest it is an exact cut" is_exact
copy
words=$(the_copy_is --moment) || fail "at the end: $words"
step "$(cat "$W/done"); $rounds states after a kill: ${count[exact]} exact, ${count[loose]} loose," \
  "${count[unordered]} not exact, ${count[partial]} not whole; the primary's cuts not exact: $(status A 's["unordered_cuts"]')"
step "end: $words"
writers spoil "$writer" "$W/B/fs/copy"
words=$(the_copy_is) && fail "the judge does not see what was spoiled: $words"
step "spoiled: $words"
case "$writer" in
  *git | strict_* | large_*) ;;
  *) [ "$rounds" -lt 3 ] || [ "${count[exact]}" -gt 0 ] || fail "no state was ever judged" ;;
esac
exit 0
