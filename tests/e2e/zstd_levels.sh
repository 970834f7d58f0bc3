#!/usr/bin/env bash
# The same text over links of 10 Mbit/s, 100 Mbit/s and as fast as it gets: the slower the link, the harder it is
# compressed, the fewer bytes cross. All is said in bytes and levels, nothing in time.
. "$(dirname "$0")/lib.sh"
. "$HERE/cost.sh"
files=32 # of 1 MiB
for name in A B C D E F; do node $name tmpfs 256; done
wire A B 5 0 10
rm "$W/wire.up" # the second says it anew
wire C D 5 0 100
config < <(for names in slow:A:B middle:C:D fast:E:F; do
  IFS=: read -r tree a b <<<"$names"
  printf '[tree.%s]\nroot = "%s"\nnodes = ["%s", "%s"]\nport = 7421\n' "$tree" "$TREE" "$a" "$b"
done)

SCRATCH=$W python3 "$HERE/content.py" logs "$W/logs" 1 $files $MIB

# over TREE FROM TO: the text crosses. BYTES, and the highest LEVEL and WINDOW seen meanwhile.
over() {
  local tree=$1 from=$2 to=$3 before seen
  for name in "$from" "$to"; do
    mkdir "$(tree "$name")"
    start "$name" "$tree"
  done
  ready "$from" "$tree"
  cp -r "$W/logs" "$W/$from/fs/logs"
  before=$(wire_bytes "$from")
  mv "$W/$from/fs/logs" "$(tree "$from")/logs"
  repl "$from" wait "$tree" --for applied --wait-for-peers --timeout 100 >"$W/wait.out" 2>&1 &
  local waiting=$!
  LEVEL=0 WINDOW=0
  while kill -0 $waiting 2>/dev/null; do
    seen=$(status "$from" "$tree" 's["peers"][0]["wire"]["zstd_level"], s["peers"][0]["wire"]["zstd_window_bytes"] >> 20') &&
      IFS='(), ' read -r _ level window <<<"$seen"
    [ "${level:-0}" -gt $LEVEL ] && LEVEL=$level
    [ "${window:-0}" -gt $WINDOW ] && WINDOW=$window
    sleep 0.1
  done
  wait $waiting || fail "$tree: $(cat "$W/wait.out")"
  BYTES=$(($(wire_bytes "$from") - before))
  step "  $tree: $BYTES bytes, zstd level $LEVEL, window $WINDOW MiB"
  judge "$(tree "$from")" "$(tree "$to")" >"$W/judge.out" 2>&1 || fail "$tree: $(cat "$W/judge.out")"
}

step "$files MiB of text"
over slow A B
slow_bytes=$BYTES slow_level=$LEVEL slow_window=$WINDOW

step "lone changes behind it, each seen before the next: nothing else pushes them out"
lone_changes() {
  for i in $(seq 20); do
    echo "$i" >"$(tree A)/lone"
    until [ "$(cat "$(tree B)/lone" 2>/dev/null)" = "$i" ]; do sleep 0.005; done
  done
}
export -f lone_changes tree
export W
# A heartbeat would push one out every 2.5 s at best.
wait_for 25 "20 lone changes" timeout 24 bash -c lone_changes

over middle C D
middle_bytes=$BYTES
over fast E F
fast_bytes=$BYTES fast_level=$LEVEL

[ "$slow_level" -ge 6 ] || fail "10 Mbit/s: level $slow_level"
[ "$slow_window" -ge 64 ] || fail "10 Mbit/s: a window of $slow_window MiB"
[ "$slow_level" -gt "$fast_level" ] || fail "level $slow_level at 10 Mbit/s, $fast_level without a limit"
[ $((slow_bytes * 100)) -lt $((fast_bytes * 85)) ] || fail "10 Mbit/s: hardly fewer bytes than without a limit"
[ $((slow_bytes * 100)) -lt $((middle_bytes * 105)) ] || fail "more bytes at 10 Mbit/s than at 100"
[ $((middle_bytes * 100)) -lt $((fast_bytes * 105)) ] || fail "more bytes at 100 Mbit/s than without a limit"
exit 0
