#!/usr/bin/env bash
# A file that is rewritten in place all the time: while it holds still between its generations the replica never shows
# two of them in one file, also to a reader that is slow; when it never holds still it is sent as it was read, and
# `repl status` counts that.
#   stable_reads.sh [--kind ext4|xfs|btrfs]
kind=ext4
[ "${1:-}" = --kind ] && kind=$2
set -- --kind "$kind"
. "$(dirname "$0")/lib.sh"
. "$HERE/cost.sh"
node A "$kind" 1200
node B "$kind" 1200
usual_config
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
size=$((64 * MIB))
head -c $size /dev/zero >"$a/f"
start_all
ready A
generations() { python3 "$HERE/generations.py" "$@"; }
hot() { status A 's["peers"][0]["hot_files"]'; }
generations write "$a/f" $size 0 1
since=$(date +%s%N)
settle A
# The pause of a writer that holds still long enough to be read is a matter of the machine, not of a second.
pause=$(awk -v ns=$(($(date +%s%N) - since)) 'BEGIN { printf "%.1f", 2 * ns / 1e9 + 0.5 }')

step "five generations, $pause s apart; again where a busy machine shows too few of them"
generations sample "$b/f" "$W/stop" "$W/report" &
sampler=$!
for _ in 1 2 3 4; do
  generations write "$a/f" $size "$pause" 5
  settle A
  [ ! -e "$W/report.enough" ] || break
done
touch "$W/stop"
wait "$sampler"
{ read -r mixed which; read -r seen; } <"$W/report"
step "  $mixed samples of more than one generation; $seen generations seen; $(hot) times hot"
[ "$mixed" = 0 ] || [ "$(hot)" -gt 0 ] || fail "the replica showed a mixture of generations: $which"
[ "$seen" -ge 3 ] || fail "only $seen generations were seen: this test shows nothing"
equal A B

step "a writer without pauses"
was=$(hot)
python3 "$HERE/generations.py" write "$a/f" $size 0 & # the writer itself: it is to be killed
writer=$!
is_hot() { [ "$(hot)" -gt "$was" ]; }
wait_for 60 "it is counted as hot" is_hot
kill "$writer"
wait "$writer" 2>/dev/null
settle A
equal A B
exit 0
