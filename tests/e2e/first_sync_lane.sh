#!/usr/bin/env bash
# A lone change does not wait for the many small files of a first sync: 40,000 of them over 200 Mbit/s, new files and
# overwritten ones beside them. What is "before" a change is counted in bytes that the sender's interface has sent, never
# in time.
. "$(dirname "$0")/lib.sh"
. "$HERE/cost.sh"
node A ext4 1000
node B ext4 1000
# The queue of a real router: 0.5 MB, 20 ms. What stands in it cannot be overtaken by anybody.
wire A B 2 0 200 0.5
usual_config
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
python3 - "$a" <<'PYTHON'
import os, random, sys
rng = random.Random(1)
for d in range(40):
    os.mkdir("%s/d%02d" % (sys.argv[1], d))
    for i in range(1000):
        with open("%s/d%02d/f%d" % (sys.argv[1], d, i), "wb") as file:
            file.write(rng.randbytes(4096))
os.mkdir(sys.argv[1] + "/zz")
open(sys.argv[1] + "/zz/last", "wb").write(rng.randbytes(100))
open(sys.argv[1] + "/overwritten", "wb").write(rng.randbytes(4096))
PYTHON
export COUNTER=/proc/${HOLDER[A]}/net/dev
before=$(wire_bytes A)
start_all
under_way() { [ $(($(wire_bytes A) - before)) -gt $1 ]; }
wait_for 30 "the first sync is under way" under_way $((8 * MIB))

# The queue, what the socket holds back, what waits in one lane (1 MiB), the piece's own records, and what passes while two
# daemons and a poll of this test take their turns.
step "10 new files and 10 overwritten in place become visible before the rest"
python3 "$HERE/overtake.py" small "$a" "$b" zz/last 100 10 $((10 * MIB)) || fail "small changes do not overtake"
settle A
equal A B
exit 0
