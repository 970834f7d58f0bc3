#!/usr/bin/env bash
# `repl mirror SRC DST` on one host: first copy, live changes, --once, --delete, filters, one file, clean end.
. "$(dirname "$0")/lib.sh"
filesystem ext4 "$W/fs" 600
src=$W/fs/src dst=$W/fs/dst
populate "$src"
mkdir -p "$W/m/log"

mirror() { # ARGUMENT...: in the background, its own state
  "$REPL" --state-dir "$W/m/state" mirror "$@" >>"$W/m/log/mirror" 2>&1 </dev/null &
  MIRROR=$!
}
end_mirror() { # a clean end on Ctrl-C: status 0, soon
  kill -INT "$MIRROR"
  wait_for 10 "end of the mirror on SIGINT" bash -c "! kill -0 $MIRROR"
  wait "$MIRROR" || fail "the mirror ended with status $? on SIGINT"
}
once() { "$REPL" --state-dir "$W/m/state-once" mirror "$@" --once >>"$W/m/log/once" 2>&1 </dev/null; }
settled() { judge "$src" "$dst" "$@"; }

sleep 0.1 # what is read within the granularity of its ctime is read again the next time
step "first copy with --once, into a directory that does not exist"
once "$src" "$dst" || fail "--once ended with status $?"
judge "$src" "$dst" --holes || fail "not equal after --once"

step "--once again: nothing to do, nothing touched"
state_of() { find "$1" -name .repl-staging -prune -o -printf '%P %i %T@ %C@\n' | sort | md5sum; }
before=$(state_of "$dst")
once "$src" "$dst" || fail "status $?"
[ "$before" = "$(state_of "$dst")" ] || fail "a second --once touched the copy"

step "what is foreign at the destination stays without --delete"
echo mine >"$dst/foreign"
once "$src" "$dst" || true
[ "$(cat "$dst/foreign")" = mine ] || fail "foreign file gone without --delete"

step "and goes with it"
once "$src" "$dst" --delete || fail "status $?"
[ ! -e "$dst/foreign" ] || fail "foreign file still there after --delete"
judge "$src" "$dst" || fail "not equal after --delete"

step "live: create, modify, append, rename, link, attributes, delete"
mirror "$src" "$dst" --delete
echo live >"$src/live"
wait_for 20 "a new file" cmp -s "$src/live" "$dst/live"
echo more >>"$src/live"
mkdir "$src/dir" && cp "$src"/etc/conf.d/* "$src/dir/" && mv "$src/dir" "$src/renamed"
ln "$src/live" "$src/live.link"
chmod 604 "$src/live" && setfattr -n user.k -v v "$src/live"
rm -r "$src/etc"
printf '0123' | dd of="$src/data/large" bs=1 seek=1000000 conv=notrunc status=none
wait_for 30 "live changes" settled
end_mirror

step "interrupted before both are equal: never a success"
mkdir "$W/fs/big"
head -c 150M /dev/urandom >"$W/fs/big/file"
"$REPL" --state-dir "$W/m/state-once" mirror "$W/fs/big" "$W/fs/big-dst" --once >"$W/m/log/interrupted" 2>&1 </dev/null &
MIRROR=$!
wait_for 20 "the destination is begun" test -d "$W/fs/big-dst"
kill -INT "$MIRROR"
wait "$MIRROR"
status=$?
cmp -s "$W/fs/big/file" "$W/fs/big-dst/file" && fail "too fast to be interrupted"
[ "$status" = 1 ] || fail "status $status though the copy is not there"
grep -q 'interrupted before both were equal; run it again' "$W/m/log/interrupted" || fail "it does not say why"
once "$W/fs/big" "$W/fs/big-dst" || fail "run again: status $?"
cmp "$W/fs/big/file" "$W/fs/big-dst/file" || fail "run again, and different"
rm -r "$W/fs/big" "$W/fs/big-dst"

step "changed while no mirror ran; the next start catches up"
echo while-away >"$src/away"
rm "$src/live.link"
mirror "$src" "$dst" --delete
wait_for 30 "catch-up" settled
end_mirror

step "one file as the source"
echo one >"$src/single"
if once "$src/single" "$W/fs/other-name"; then fail "a file was given another name"; fi
mkdir "$W/fs/one"
once "$src/single" "$W/fs/one" || fail "status $?"
cmp "$src/single" "$W/fs/one/single" || fail "single file"
[ "$(ls "$W/fs/one")" = single ] || fail "more than the single file was copied"

step "filters: excluded paths are neither copied nor deleted"
mkdir -p "$W/fs/f-dst"
echo kept >"$W/fs/f-dst/kept.tmp"
echo x >"$src/a.tmp"
once "$src" "$W/fs/f-dst" --delete --include /data/ --exclude '*.tmp' --exclude /data/sparse || fail "status $?"
[ ! -e "$W/fs/f-dst/a.tmp" ] && [ ! -e "$W/fs/f-dst/data/sparse" ] || fail "an excluded path was copied"
[ "$(cat "$W/fs/f-dst/kept.tmp")" = kept ] || fail "an excluded path was deleted"
cmp "$src/data/large" "$W/fs/f-dst/data/large" || fail "an included file is missing"

step "--json: every line an object, the last says how it ended; --quiet: nothing"
"$REPL" --state-dir "$W/m/state-json" mirror "$src" "$W/fs/j-dst" --once --json >"$W/m/log/json" 2>"$W/m/log/json.err" </dev/null ||
  fail "--json: status $?"
python3 - "$W/m/log/json" <<'PYTHON' || { cat "$W/m/log/json"; fail "--json"; }
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
assert [e["event"] for e in events if e["event"] != "progress"] == ["in_sync", "end"]
assert events[0]["event"] == "progress" and events[0]["bytes_done"] > 0
assert events[-1] == {"event": "end", "equal": True, "errors": [], "exit": 0}
PYTHON
[ ! -s "$W/m/log/json.err" ] || fail "--json writes to stderr: $(cat "$W/m/log/json.err")"
"$REPL" --state-dir "$W/m/state-json" mirror "$W/fs/nothing" "$W/fs/j-dst" --json >"$W/m/log/json" 2>/dev/null
[ $? = 1 ] || fail "status of a source that is not there"
grep -q '"errors":\["the source .* does not exist"\],"event":"end","exit":1' "$W/m/log/json" || { cat "$W/m/log/json"; fail "the end is not told"; }
"$REPL" --state-dir "$W/m/state-quiet" mirror "$src" "$W/fs/q-dst" --once --quiet >"$W/m/log/quiet" 2>&1 </dev/null || fail "--quiet: status $?"
[ ! -s "$W/m/log/quiet" ] || fail "--quiet says: $(cat "$W/m/log/quiet")"
"$REPL" --state-dir "$W/m/state-quiet" mirror "$src" "$src/below" --once --quiet 2>/dev/null
[ $? = 2 ] || fail "a wrong DST is not a wrong command line"

step "refusals: no such source, a destination inside the source"
if once "$W/fs/nowhere" "$W/fs/x"; then fail "a missing source was accepted"; fi
if once "$src" "$src/inside"; then fail "a destination inside the source was accepted"; fi
exit 0
