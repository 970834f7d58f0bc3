#!/usr/bin/env bash
# A link of 1 Gbit/s and 200 ms: nothing waits a round trip per file, frame or cut, and the link is filled. Time is
# counted in round trips of the wire, with bounds that a wait per item exceeds many times over, and a link that lies
# idle for the most part too.
. "$(dirname "$0")/lib.sh"
rtt=${RTT_MS:-200}
files=${FILES:-1000}
megabytes=${MEGABYTES:-100}
node A tmpfs 2048
node B tmpfs 2048
wire A B "$rtt" 0 "${RATE_MBIT:-1000}"
usual_config
a=$(tree A)
outside=$W/A/fs/outside # of the tree, on its filesystem
mkdir -p "$a" "$(tree B)" "$outside"
echo first >"$a/first"
start_all
ready A

round_trips() { awk -v from="$1" -v to="$(date +%s%N)" -v rtt="$rtt" 'BEGIN { printf "%d", (to - from) / 1e6 / rtt + 0.5 }'; }
# counted WHAT MAX: what was changed since `from` becomes durable within so many round trips.
counted() {
  settle A t 280
  local took
  took=$(round_trips "$from")
  step "$1: $took round trips"
  [ "$took" -le "$2" ] || fail "$1 took $took round trips, at most $2 are allowed"
}

step "$files small files in $((files / 50)) directories"
python3 - "$outside/small" "$files" <<'PYTHON'
import os, random, sys
rng = random.Random(1)
for i in range(int(sys.argv[2])):
    directory = "%s/d%d" % (sys.argv[1], i // 50)
    os.makedirs(directory, exist_ok=True)
    with open("%s/f%d" % (directory, i), "wb") as f: f.write(rng.randbytes(rng.randrange(1, 8000)))
PYTHON
from=$(date +%s%N)
mv "$outside/small" "$a/small"
counted "$files files" "${FILES_TRIPS:-60}"

step "30 cuts, one after the other"
from=$(date +%s%N)
for i in $(seq 30); do
  echo "$i" >"$a/one-after-the-other.$i"
  sleep 0.02
done
counted "30 cuts" 30

step "one file of $megabytes MB"
head -c "${megabytes}M" /dev/urandom >"$outside/large"
from=$(date +%s%N)
mv "$outside/large" "$a/large"
counted "$megabytes MB" "${LARGE_TRIPS:-40}"

step "a comparison of $files files: every time changed while B was away"
stop B
find "$a/small" -type f -exec touch -d '2001-02-03 04:05:06' {} +
from=$(date +%s%N)
start B
wait_for 60 "B is back" connected A
counted "$files changed times" 60
equal A B
