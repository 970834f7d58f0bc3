#!/usr/bin/env bash
# A restart with nothing changed reads no content and sends next to nothing: cost is the scan's, not the data's.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config
a=$(tree A)
mkdir "$a" "$(tree B)"
python3 - "$a" <<'PYTHON'
import os, random, sys
os.chdir(sys.argv[1]); rng = random.Random(2)
for d in range(40):
    os.mkdir("d%d" % d)
    for f in range(50):
        with open("d%d/content-%d" % (d, f), "wb") as o: o.write(rng.randbytes(rng.randrange(100, 20000)))
PYTHON
start_all
ready A
equal A B
sleep 2.5 # past the granularity of timestamps: no entry is suspiciously young
stop A
stop B

trace() { # NODE
  WRAP=(strace -f -qq -y -e trace=read,pread64,preadv,preadv2,readv,mmap,io_uring_enter,openat,openat2 -o "$W/$1/trace"
    "$SUPPORT/deny_uring") # without io_uring, so that strace sees every read
  start "$1"
  WRAP=()
}
step "both restart, traced"
before=$(wire_bytes A)
trace B
trace A
ready A
sleep 1
crossed=$(($(wire_bytes A) - before))
for name in A B; do
  opened=$(grep -cE 'open(at|at2)\(.*content-[0-9]+' "$W/$name/trace")
  read=$(grep -cE '(read|pread64|preadv2?|readv)\([0-9]+<[^>]*content-[0-9]+>' "$W/$name/trace")
  step "$name: $opened content files opened, $read reads of content"
  [ "$read" = 0 ] || fail "$name read content of unchanged files"
done
step "$crossed bytes on the wire for 2,000 files"
[ "$crossed" -lt 100000 ] || fail "$crossed bytes on the wire, nothing changed"
equal A B

step "the trace can see a read: a changed file is read"
echo changed >>"$a/d7/content-7"
settle A
grep -qE '(read|pread64|preadv2?|readv)\([0-9]+<[^>]*content-7>' "$W/A/trace" || fail "the trace sees no read at all"
equal A B
exit 0
