#!/usr/bin/env bash
# `repl mirror` by a user without any privilege: inotify, own files, no root needed.
. "$(dirname "$0")/lib.sh"
filesystem ext4 "$W/fs"
chmod 755 "$W"
mkdir -p "$W/fs/home" "$W/m/log"
src=$W/fs/home/src dst=$W/fs/home/dst
chown nobody "$W/fs/home"
install -m 755 "$REPL" "$W/repl"
NOBODY=(setpriv --reuid nobody --regid nogroup --clear-groups --bounding-set=-all --no-new-privs env "HOME=$W/fs/home")
as_nobody() { "${NOBODY[@]}" "$@"; }
as_nobody bash -c "mkdir -p '$src/dir/deep' '$src/private' && cd '$src' && for i in \$(seq 100); do echo \$i >dir/f\$i; done &&
  ln dir/f1 dir/link && ln -s f2 dir/symlink && chmod 700 private && echo secret >private/key && chmod 400 private/key &&
  setfattr -n user.k -v v dir/f3 && setfacl -m u:33:r dir/f4 && mkfifo fifo" || fail "cannot populate"

step "--once"
as_nobody "$W/repl" --state-dir "$W/fs/home/state-once" mirror "$src" "$dst" --once >"$W/m/log/once" 2>&1 </dev/null ||
  fail "--once ended with status $?"
judge "$src" "$dst" || fail "not equal after --once"

step "--once without the right to read a small and a large file: both are named, it is no success"
as_nobody truncate -s 700K "$src/large"
chmod 000 "$src/large" "$src/dir/f9"
for run in first again; do
  rm -rf "$dst"
  as_nobody "$W/repl" --state-dir "$W/fs/home/state-$run" mirror "$src" "$dst" --once >"$W/m/log/unread" 2>&1 </dev/null &&
    fail "--once ended as a success without what it could not read"
  grep -q "large" "$W/m/log/unread" && grep -q f9 "$W/m/log/unread" || { cat "$W/m/log/unread"; fail "not named"; }
done
for run in second third fourth; do # whatever cuts come meanwhile
  as_nobody bash -c "echo $run >>'$src/dir/f1'"
  as_nobody "$W/repl" --state-dir "$W/fs/home/state-again" mirror "$src" "$dst" --once >"$W/m/log/unread" 2>&1 </dev/null &&
    fail "the $run --once of the same pair ended as a success"
  as_nobody "$W/repl" --state-dir "$W/fs/home/state-again" mirror "$src" "$dst" --once >"$W/m/log/unread" 2>&1 </dev/null &&
    fail "the $run --once without a change ended as a success"
done
chmod 644 "$src/large" "$src/dir/f9"
as_nobody "$W/repl" --state-dir "$W/fs/home/state-again" mirror "$src" "$dst" --once >"$W/m/log/unread" 2>&1 </dev/null ||
  fail "--once ended with status $? although all can be read again"
judge "$src" "$dst" || fail "not equal after all could be read again"

step "live"
"${NOBODY[@]}" "$W/repl" --state-dir "$W/fs/home/state" mirror "$src" "$dst" --delete >"$W/m/log/mirror" 2>&1 </dev/null &
MIRROR=$!
as_nobody bash -c "echo live >'$src/live' && mkdir '$src/dir/new' && echo below >'$src/dir/new/below' && rm '$src/dir/f5' && mv '$src/dir/f6' '$src/moved' && chmod 600 '$src/dir/f7'"
wait_for 20 "equal" judge "$src" "$dst"
as_nobody bash -c "echo again >'$src/dir/new/below' && rm -r '$src/dir/deep'"
wait_for 20 "equal again" judge "$src" "$dst"

step "what it may not read is named, and does not stop the rest"
install -o root -m 600 /dev/null "$src/of-root"
as_nobody bash -c "echo after >'$src/after'"
wait_for 20 "the rest" cmp -s "$src/after" "$dst/after"
wait_for 20 "the unreadable file is named" grep -q of-root "$W/m/log/mirror"
rm -f "$src/of-root"
wait_for 20 "equal at the end" judge "$src" "$dst"
kill -INT "$MIRROR"
wait_for 10 "end of the mirror on SIGINT" bash -c "! kill -0 $MIRROR"
wait "$MIRROR" || fail "the mirror ended with status $?"
exit 0
