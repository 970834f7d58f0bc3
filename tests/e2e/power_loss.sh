#!/usr/bin/env bash
# The replica's filesystem stops as in a loss of power, at any moment: what the disk's journal has is all there is.
# What was acknowledged as durable is there, the tree is what the index says, and nobody is asked.
#   power_loss.sh [--seed N] [--rounds N] [--kind ext4|xfs]
rounds=12 seed=$((RANDOM * 32768 + RANDOM)) kind=ext4
while [ $# -gt 0 ]; do
  case "$1" in
    --seed) seed=$2 ;;
    --rounds) rounds=$2 ;;
    --kind) kind=$2 ;;
    *) echo "usage: $0 [--seed N] [--rounds N] [--kind ext4|xfs]" >&2; exit 2 ;;
  esac
  shift 2
done
set -- --seed "$seed" --rounds "$rounds" --kind "$kind"
. "$(dirname "$0")/lib.sh"
step "again with: $0 --seed $seed --rounds $rounds --kind $kind"
RANDOM=$((seed % 32768))

node A ext4 1024
node B "$kind" 1024
wire A B 1
image=$(losetup --noheadings --output BACK-FILE "$(findmnt -no SOURCE "$W/B/fs")")
# The index is on the disk that loses its power, too.
share_disk() {
  on B mkdir -p /mnt/fs/state
  on B mount --bind /mnt/fs/state /var/lib/repl
}
boots=0
new_boot() {
  boots=$((boots + 1))
  printf '00000000-0000-4000-8000-%012d\n' "$boots" >"$W/boot_id"
}
new_boot
share_disk
on B mount --bind "$W/boot_id" /proc/sys/kernel/random/boot_id
usual_config
a=$(tree A)
mkdir "$a" "$(tree B)" "$a/marks"
touch "$a/stays"
start_all
ready A

# What was acknowledged as durable before the power went: $durable marks.
mark_on() {
  local n=$1
  while :; do
    n=$((n + 1))
    echo "$n" >"$a/marks/$n"
    repl A wait t --for durable --timeout 20 >/dev/null 2>&1 && echo "$n" >"$W/durable.new" &&
      mv "$W/durable.new" "$W/durable"
    sleep 0.02
  done
}
power_loss() {
  kill -KILL "${DAEMON[B]}" 2>/dev/null # it may have ended by itself: its disk fails
  { wait "${DAEMON[B]}"; } 2>/dev/null
  on B umount /var/lib/repl
  on B umount /mnt/fs
  umount "$W/B/fs" || fail "the filesystem is in use"
  wait_for 10 "end of the loop device" bash -c "! losetup -j '$image' | grep -q ."
  mount -o loop "$image" "$W/B/fs" || fail "the filesystem is broken"
  on B mount --bind "$W/B/fs" /mnt/fs
  new_boot
  on B mount --bind /mnt/fs/state /var/lib/repl
}
# What the last start found: the line with the number of paths that are not as the index says.
looked_at() { awk '/^--- start /{ line = "" } /drifted/{ line = $0 } END { print line; exit line == "" }' "$W/B/log/daemon"; }
echo 0 >"$W/durable"
for ((round = 1; round <= rounds; ++round)); do
  python3 "$HERE/random_ops.py" "$a" --seed $((seed + round)) --ops 100000 --pause-us $((RANDOM % 3 * 2000)) \
    --keep marks 2>>"$W/A/log/operations" &
  writer=$!
  mark_on "$(cat "$W/durable")" &
  marker=$!
  sleep $((RANDOM % 3)).$((RANDOM % 10))
  xfs_io -x -c shutdown "$W/B/fs" || fail "cannot stop the filesystem"
  wire_cut
  durable=$(cat "$W/durable")
  power_loss
  kill "$marker" "$writer"
  { wait "$marker" "$writer"; } 2>/dev/null
  start B
  wait_for 30 "B has looked at its tree" looked_at
  looked=$(looked_at)
  [[ $looked == *' 0 drifted'* ]] || fail "something needs a person: $looked"
  for ((n = 1; n <= durable; ++n)); do
    [ "$(cat "$(tree B)/marks/$n" 2>&1)" = "$n" ] || fail "mark $n of $durable was durable, and is lost"
  done
  wire_join
  ready A
  equal A B
  step "round $round: $durable marks durable: equal"
done
repl A verify t --full || fail "verify --full: status $?"
stop A
stop B
exit 0
