#!/usr/bin/env bash
# Bits rot on the disk under a tree, and neither size nor times say so: the scrub finds it on either node. On a replica
# the bad file is held, or with `on_drift = "repair"` fetched again, and its bytes are kept; the primary sends nothing of
# it. What changed without an event is replicated.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'on_drift = "repair"'
a=$(tree A) b=$(tree B)
mkdir -p "$a/dir" "$b"
for name in whole rotten-here dir/rotten-there; do
  python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(sys.argv[1]).randbytes(300000))' "$name" >"$a/$name"
done
start_all
ready A
equal A B

# Eight bytes of the file's second block, on the device below the filesystem.
rot() { # NODE FILE
  local device block
  sync -f "$2"
  device=$(findmnt -n -o SOURCE --target "$W/$1/fs")
  block=$(debugfs -R "bmap <$(stat -c %i "$2")> 1" "$device" 2>/dev/null)
  [ "$block" -gt 0 ] || fail "the block of $2 is not known"
  stat -c '%s %Y %Z' "$2" >"$W/before"
  printf 'bit rot!' | dd of="$device" bs=1 seek=$((block * $(stat -f -c %S "$2"))) conv=notrunc,fsync status=none
  python3 -c 'import os, sys; os.posix_fadvise(os.open(sys.argv[1], os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)' "$2"
  grep -qa 'bit rot!' "$2" || fail "$2 did not rot"
  stat -c '%s %Y %Z' "$2" | cmp -s - "$W/before" || fail "the times of $2 changed"
}
scrubbed() { status_is "$1" 's["scrub_verified_unix_seconds"] > 0'; }
says() { status_is "$1" "any('$2: bit rot' in e for e in s['errors'])"; }
kept() { find "$W"/B/state "$b/.repl-staging" -path '*/kept/*' -type f -exec grep -la 'bit rot!' {} + 2>/dev/null; }

step "a file rots on each node; nobody knows"
good=$(sha256sum <"$b/dir/rotten-there")
rot A "$a/rotten-here"
rot B "$b/dir/rotten-there"
repl A verify t >"$W/verify.out" || { cat "$W/verify.out"; fail "the indexes differ"; }

step "both are scrubbed"
stop A
stop B
usual_config 'on_drift = "repair"' 'scrub_days = 1'
start_all
ready A
wait_for 30 "A has read everything" scrubbed A
wait_for 30 "B has read everything" scrubbed B
says A rotten-here || { status A 's["errors"]'; fail "A does not say what rotted"; }
says B dir/rotten-there || { status B 's["errors"]'; fail "B does not say what rotted"; }
mended() { [ "$(sha256sum <"$b/dir/rotten-there")" = "$good" ]; }
wait_for 20 "the replica has the primary's version" mended
[ -n "$(kept)" ] || fail "the bad bytes were not kept"
status_is A "not any('whole' in e for e in s['errors'])" || fail "A says that more rotted"
grep -qa 'bit rot!' "$b/rotten-here" && fail "the primary sent what rotted"

step "copied back from the replica, it is replicated as any change"
cp "$b/rotten-here" "$a/rotten-here"
settle A
equal A B
exit 0
