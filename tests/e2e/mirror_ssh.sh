#!/usr/bin/env bash
# `repl mirror SRC HOST:DST` through a real sshd: first copy, live, reconnect after the connection died, odd names.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
sshd B
populate "$(tree A)"

mirror() {
  nsenter --target "${HOLDER[A]}" --mount --net --uts -- "$REPL" mirror "$TREE" "root@${ADDRESS[B]}:$TREE" \
    --remote-repl "$REPL" "${SSH_OPTIONS[@]}" "$@" >>"$W/A/log/mirror" 2>&1 </dev/null &
  MIRROR=$!
}
settled() { judge "$(tree A)" "$(tree B)"; }

step "first copy, --once"
mirror --once
wait "$MIRROR" || fail "--once ended with status $?"
equal A B --holes

step "live"
mirror --delete
echo live >"$(tree A)/live"
wait_for 20 "a new file" cmp -s "$(tree A)/live" "$(tree B)/live"
mv "$(tree A)/data" "$(tree A)/moved"
rm -r "$(tree A)/etc"
wait_for 30 "live changes" settled

step "a name that a shell would run"
touch "$(tree A)/\$(touch pwned);\`touch pwned\`"
wait_for 20 "the name" settled
[ ! -e "$W/B/fs/pwned" ] && ! on B test -e /root/pwned || fail "a file name was executed"

step "the connection dies; the mirror comes back by itself"
pkill -P "$SSHD_PID"
echo after >"$(tree A)/after"
wait_for 60 "reconnect" settled

step "a clean end"
kill -INT "$MIRROR"
wait_for 10 "end on SIGINT" bash -c "! kill -0 $MIRROR"
wait "$MIRROR" || fail "ended with status $?"

step "one file: to its own path, into a directory, and not under another name"
echo one >"$W/A/fs/hosts"
mkdir "$W/B/fs/into"
echo other >"$W/B/fs/beside"
one() { on A "$REPL" mirror --once "$1" "root@${ADDRESS[B]}:$2" --remote-repl "$REPL" "${SSH_OPTIONS[@]}" >>"$W/A/log/one" 2>&1; }
one /mnt/fs/hosts /mnt/fs/hosts || fail "to its own path: status $?"
one /mnt/fs/hosts /mnt/fs/into || fail "into a directory: status $?"
cmp "$W/A/fs/hosts" "$W/B/fs/hosts" && [ -f "$W/B/fs/hosts" ] || fail "not where it belongs"
cmp "$W/A/fs/hosts" "$W/B/fs/into/hosts" || fail "not in the directory"
[ "$(cat "$W/B/fs/beside")" = other ] || fail "a neighbour was touched"
echo two >"$W/A/fs/second[*]"
one '/mnt/fs/second[*]' '/mnt/fs/second[*]' || fail "a second one beside it: status $?"
cmp "$W/A/fs/second[*]" "$W/B/fs/second[*]" || fail "the second is not there"
one /mnt/fs/hosts /mnt/fs/renamed && fail "under another name: success"
grep -q 'a single file keeps its name' "$W/A/log/one" || fail "it does not say why not"

step "a host that refuses: an error in words, no endless wait with --once"
kill "$SSHD_PID"
mirror --once
wait_for 60 "the error" bash -c "! kill -0 $MIRROR"
if wait "$MIRROR"; then fail "success without a server"; fi
exit 0
