#!/usr/bin/env bash
# Many small files are on their way to an empty replica while the tree changes and both daemons are killed: in the end
# both are equal, and nothing that was removed or renamed meanwhile has come back.
#   first_sync_killed.sh [FILES]    20,000 by default
count=${1:-20000}
. "$(dirname "$0")/lib.sh"
. "$HERE/cost.sh"
node A ext4 4200 # for its inodes
node B ext4 4200
wire A B 1 0 40 # 5 MB/s: 5 MB take a second on any machine
usual_config
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
step "$count files"
python3 - "$a" "$count" <<'PYTHON' || fail "cannot make the files"
import os, random, sys
os.chdir(sys.argv[1])
rng = random.Random(5)
for i in range(int(sys.argv[2])):
    if i % 500 == 0: os.mkdir("d%d" % (i // 500))
    with open("d%d/%d" % (i // 500, i), "wb") as f: f.write(rng.randbytes(100 + i % 300))
PYTHON
bytes=$((count * 250))
before=$(wire_bytes A)
crossed() { [ $(($(wire_bytes A) - before)) -gt "$1" ]; }
killed() { # NODE
  stop "$1" KILL
  start "$1"
  wait_for 60 "$1 answers" answers "$1" t
}
start_all
wait_for 60 "a quarter" crossed $((bytes / 4))
rm "$a/d0/1" "$a/d$((count / 500 - 1))/$((count - 1))" # the first and the last that a walk comes to
mv "$a/d1" "$a/renamed"
content make "$a/new" 6 4096
step "the receiver is killed"
killed B
wait_for 60 "more" crossed $((bytes / 2))
rm -r "$a/d2"
echo changed >"$a/d3/1500"
step "the sender is killed"
killed A
wait_for 90 "the first files are visible" test -e "$b/d0/0"
step "both are killed, and the tree changes while nobody looks"
stop A KILL
stop B KILL
rm -r "$a/d4"
mv "$a/d5" "$a/renamed too"
echo changed >"$a/d6/3000"
start_all
ready A
equal A B
stop B
rm -r "$a/d7"
start B
settle A
step "$(($(wire_bytes A) - before)) bytes crossed for $bytes"
crossed "$bytes" || fail "fewer bytes than the files have: this test counts wrongly"
equal A B
exit 0
