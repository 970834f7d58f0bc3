#!/usr/bin/env bash
# Where io_uring is denied (containers, kernel.io_uring_disabled) repl falls back by itself and does the same.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config
a=$(tree A)
populate "$a"
mkdir "$(tree B)"

step "the wrapper denies io_uring"
"$SUPPORT/deny_uring" python3 -c '
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(425, 1, None) == -1 and ctypes.get_errno() == errno.EPERM' || fail "io_uring is not denied"

step "both daemons without io_uring"
WRAP=("$SUPPORT/deny_uring")
start_all
WRAP=()
ready A
equal A B --holes
for name in A B; do
  status_is "$name" 's["io_backend"] == "plain"' || fail "$name says its backend is $(status "$name" 's["io_backend"]')"
done
mv "$a/etc" "$a/moved"
head -c 5000000 /dev/urandom >"$a/new"
printf x | dd of="$a/data/large" bs=1 seek=500000 conv=notrunc status=none
rm -r "$a/data/deep"
settle A
equal A B
stop A
stop B

step "and with it again, on the same state"
start_all
ready A
echo again >"$a/again"
settle A
equal A B
stop A
stop B
exit 0
