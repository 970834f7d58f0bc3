#!/usr/bin/env bash
# The kernel's queue overflows while the daemon sleeps: it scans, and nothing is forgotten, on either side. Excluded
# directories cost no watch.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'watch = "inotify"' 'exclude = ["/cache/", "*.tmp"]'
a=$(tree A) b=$(tree B)
mkdir -p "$a/data" "$b"
for i in $(seq 20); do echo "$i" >"$a/data/old$i"; done
mkdir -p "$a"/cache/{1..400}
for i in $(seq 50); do mkdir "$a/data/dir$i"; done
start_all
ready A
watches() { cat /proc/"${DAEMON[$1]}"/fdinfo/* 2>/dev/null | grep -c '^inotify wd'; }
without_cache() { # rsync's and treecmp's view, without what is excluded
  mv "$a/cache" "$W/A/fs/cache.away"
  touch -d "$(stat -c %y "$b")" "$a"
  settle A
  equal A B
  mv "$W/A/fs/cache.away" "$a/cache"
  settle A
}

step "excluded directories cost no watch and do not cross"
[ ! -e "$b/cache" ] || fail "an excluded directory crossed"
for name in A B; do
  [ "$(watches $name)" -ge 52 ] || fail "$name watches $(watches $name) directories: fewer than it has"
  [ "$(watches $name)" -lt 100 ] || fail "$name watches $(watches $name) directories: also what is excluded"
done
mkdir "$a/cache/new" && touch "$a/x.tmp" "$a/y"
settle A
[ ! -e "$b/cache" ] && [ ! -e "$b/x.tmp" ] || fail "something excluded crossed"
rm "$a/x.tmp"

step "more events than the queue holds"
limit=$(cat /proc/sys/fs/inotify/max_queued_events)
kill -STOP "${DAEMON[A]}"
python3 - "$a" $((limit + 4000)) <<'PYTHON'
import os, sys
root, count = sys.argv[1], int(sys.argv[2])
for i in range(count // 3 + 1):  # create, write and close, each an event
    with open("%s/data/f%d" % (root, i % 3000), "w") as f: f.write(str(i))
for i in range(1, 11): os.unlink("%s/data/old%d" % (root, i))
os.rename(root + "/data/old11", root + "/data/renamed")
os.makedirs(root + "/late/deep"); open(root + "/late/deep/file", "w").write("late")
os.rename(root + "/data/dir1", root + "/moved-dir")
PYTHON
kill -CONT "${DAEMON[A]}"
step "  it wakes up"
settle A
step "  and has caught up"
grep -q "events were lost, scanning" "$W/A/log/daemon" || fail "no overflow: the test does not test"
without_cache

step "new directories are watched after the scan"
echo below >"$a/late/deep/below"
echo moved >"$a/moved-dir/file"
settle A
without_cache

step "the same on the replica: drift is found by the scan"
kill -STOP "${DAEMON[B]}"
echo mine >"$b/late/deep/mine"
python3 - "$b" $((limit + 4000)) <<'PYTHON'
import os, sys
root, count = sys.argv[1], int(sys.argv[2])
for i in range(count // 2 + 1):
    os.mkdir(root + "/data/blink"); os.rmdir(root + "/data/blink")
open(root + "/data/drifted", "w").write("x")
PYTHON
kill -CONT "${DAEMON[B]}"
wait_for 30 "B holds both" status_is B 's["held_keys_total"] == 2'
grep -q "events were lost, scanning" "$W/B/log/daemon" || fail "no overflow on B: the test does not test"
rm "$b/late/deep/mine" "$b/data/drifted"
wait_for 20 "nothing is held" status_is B 's["held_keys_total"] == 0'
stop A
stop B
exit 0
