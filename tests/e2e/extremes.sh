#!/usr/bin/env bash
# Paths beyond PATH_MAX, a file beyond 4 GiB, many names in one directory: copied, followed live, judged by treecmp
# (rsync cannot name such paths; it judges the rest).
. "$(dirname "$0")/lib.sh"
filesystem ext4 "$W/fs" 900
src=$W/fs/src dst=$W/fs/dst
mkdir -p "$W/m/log"
python3 - "$src" <<'PYTHON' || fail "cannot populate"
import os, sys
root = sys.argv[1]
os.mkdir(root)
os.chdir(root)
for level in range(40):                       # 40 * 201 bytes
    name = ("level%02d-" % level) + "x" * 192
    os.mkdir(name)
    os.chdir(name)
with open("at the bottom", "w") as f: f.write("deep")
os.symlink("at the bottom", "link")
os.chdir(root)
with open("large", "wb") as f:                # holes but for its ends and what lies across 4 GiB
    f.write(b"begin")
    f.seek((4 << 30) - 3); f.write(b"across")
    f.seek((5 << 30) - 3); f.write(b"end")
os.mkdir("many")
for i in range(20000):
    os.close(os.open("many/%d" % i, os.O_CREAT | os.O_WRONLY, 0o600))
PYTHON
settled() {
  [ -e "$dst/$1" ] && [ ! -e "$dst/$2" ]
}
same() {
  "$SUPPORT/treecmp" --exclude .repl-staging --holes "$src" "$dst" >"$W/judge.out" 2>&1 &&
    [ -z "$(rsync -n -aHAX --delete --itemize-changes --exclude='/level*' --exclude=/renamed --exclude=/.repl-staging "$src/" "$dst/")" ]
}

"$REPL" --state-dir "$W/m/state" mirror "$src" "$dst" >>"$W/m/log/mirror" 2>&1 </dev/null &
MIRROR=$!
step "first copy"
wait_for 90 "in sync" grep -q "in sync" "$W/m/log/mirror"
same || { cat "$W/judge.out"; fail "not equal after the first copy"; }
[ "$(du -k "$dst/large" | cut -f1)" -lt 1024 ] || fail "the holes were filled: $(du -k "$dst/large")"

step "live: a byte beyond 4 GiB, a write at the bottom, a rename at the top"
printf X | dd of="$src/large" bs=1 seek=$(((4 << 30) + 4096)) conv=notrunc status=none
python3 - "$src" <<'PYTHON' || fail "cannot write at the bottom"
import os, sys
os.chdir(sys.argv[1])
while True:
    below = [n for n in os.listdir(".") if n.startswith("level")]
    if not below: break
    os.chdir(below[0])
with open("at the bottom", "a") as f: f.write("er")
PYTHON
mv "$src"/level00-* "$src/renamed"
mv "$src/many" "$src/more"
wait_for 30 "the renames" settled more many
for tries in 1 2 3; do same && break; sleep 1; done
[ -e "$dst/renamed" ] && same || { cat "$W/judge.out"; fail "not equal after live changes"; }
kill -INT "$MIRROR"
wait "$MIRROR" || fail "the mirror ended with status $?"
# rm cannot name them either
python3 - "$src" "$dst" <<'PYTHON'
import shutil, sys
for root in sys.argv[1:]: shutil.rmtree(root)
PYTHON
exit 0
