#!/usr/bin/env bash
# Two hosts over TLS on ext4: every kind of change, judged after each; status, wait, verify; clean ends.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'max_delete = "off"' # 5,000 files come and go in a small tree
populate "$(tree A)"
mkdir "$(tree B)"
a=$(tree A)

step "first sync into an empty tree"
start_all
ready A
equal A B --holes
status_is A 's["role"] == "primary"' || fail "A is not primary: $(status A 's["role"]')"
status_is B 's["role"] == "secondary"' || fail "B is not secondary: $(status B 's["role"]')"

change() { # WHAT COMMAND...
  local what=$1
  shift
  "$@" || fail "cannot: $what"
  settle A
  equal A B
  step "  $what"
}
step "changes"
change "create" bash -c "for i in \$(seq 200); do echo \$i >'$a/new'\$i; done"
change "modify in place" bash -c "printf xyz | dd of='$a/data/large' bs=1 seek=2000000 conv=notrunc status=none"
change "same size, same second" bash -c "printf 1 >'$a/s'; printf 2 >'$a/s'; printf 3 >'$a/s'"
change "append" bash -c "head -c 100000 /dev/urandom >>'$a/data/block+1'"
change "truncate" truncate -s 1234 "$a/data/block"
change "grow by a hole" truncate -s 20M "$a/data/sparse"
change "rename" mv "$a/new1" "$a/renamed"
change "rename over" mv "$a/new2" "$a/renamed"
change "rename of a directory" mv "$a/etc" "$a/etcetera"
change "directories swapped" bash -c "mkdir '$a/p' '$a/q' && touch '$a/p/1' '$a/q/2' && mv '$a/p' '$a/t' && mv '$a/q' '$a/p' && mv '$a/t' '$a/q'"
change "parent and child exchanged" bash -c "mkdir -p '$a/u/v' && touch '$a/u/1' '$a/u/v/2' && mv '$a/u/v' '$a/v' && mv '$a/u' '$a/v/u'"
change "atomic exchange" python3 -c "
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2) == 0" "$a/new3" "$a/data"
change "a hard link" ln "$a/new4" "$a/new4.link"
change "a write through a hard link" bash -c "echo more >>'$a/new4.link'"
change "a hard link broken" bash -c "cp '$a/new4' '$a/new4.t' && mv '$a/new4.t' '$a/new4.link'"
change "a link of the populated tree removed" rm "$a/etcetera/block.link"
change "symlink retargeted" ln -sfn elsewhere "$a/etcetera/to-large"
change "chmod" chmod 6751 "$a/new5"
change "chown" chown 1234:4321 "$a/new5"
change "times" touch -d @12345.678901234 "$a/new6"
change "symlink times" touch -h -d @12345.678901234 "$a/etcetera/dangling"
change "user attribute" setfattr -n user.x -v y "$a/new7"
change "attribute removed" setfattr -x user.x "$a/new7"
change "ACL" setfacl -m u:99:rwx,g:98:r "$a/new8"
change "ACL removed" setfacl -b "$a/new8"
change "default ACL" setfacl -m d:u:99:rwx "$a/etcetera"
change "capability" setcap cap_net_admin+ep "$a/new9"
change "directory's own mode" chmod 711 "$a/etcetera/conf.d"
change "the root's own mode" chmod 750 "$a"
change "type change: file to directory" bash -c "rm '$a/new10' && mkdir '$a/new10' && touch '$a/new10/x'"
change "type change: directory to symlink" bash -c "rm -r '$a/new10' && ln -s x '$a/new10'"
change "fifo, device, socket" bash -c "mkfifo '$a/f2' && mknod '$a/c2' c 1 7 && python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' '$a/s2'"
change "a directory moved in, full" bash -c "mkdir -p '$W/A/fs/out/in' && cp -a '$a/etcetera' '$W/A/fs/out/in' && mv '$W/A/fs/out' '$a/in'"
change "a directory moved out" mv "$a/in" "$W/A/fs/out"
change "mmap" python3 -c "
import mmap, sys
with open(sys.argv[1], 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0); m[77] = 77 if m[77] != 77 else 78; m.flush(); m.close()" "$a/new3/large"
change "5,000 files at once" bash -c "mkdir '$a/many' && cd '$a/many' && seq 5000 | split -l 1 -a 4 -"
change "and removed" rm -rf "$a/many"

step "verify"
repl A verify t || fail "verify: status $?"
repl A verify t --full || fail "verify --full: status $?"
repl A verify t --sha256 >"$W/verify.out" 2>&1 || { cat "$W/verify.out"; fail "verify --sha256: status $?"; }
equal A B
[ "$(grep -oE 'sha256 [0-9a-f]{64}$' "$W/verify.out" | sort | uniq -c | awk '{ print $1 }')" = 2 ] ||
  { cat "$W/verify.out"; fail "verify --sha256 does not show one digest of both"; }

step "a replica that was changed while its daemon was down is held, named, and repaired when a person says so"
held() { repl A wait t --for durable --timeout 20 >"$W/wait.out" 2>&1; [ $? = 3 ]; }
stop B
stamp=$(stat -c %y "$(tree B)/etcetera/conf.d/07.conf")
printf Z | dd of="$(tree B)/etcetera/conf.d/07.conf" bs=1 seek=3 conv=notrunc status=none
touch -d "$stamp" "$(tree B)/etcetera/conf.d/07.conf"
start B
wait_for 20 "A knows that B holds a path" held
repl B status t >"$W/status.out"
grep -q '07.conf: it was changed here (content)' "$W/status.out" || fail "the status of B does not say what is held"
repl A verify t --full >"$W/verify.out" 2>&1
[ $? = 6 ] || { cat "$W/verify.out"; fail "verify does not say: equal, except what is held"; }
grep -q 'held: .*07.conf' "$W/verify.out" || { cat "$W/verify.out"; fail "verify does not say what is held"; }
repl A verify t --sha256 >"$W/verify.out" 2>&1
[ $? = 3 ] || { cat "$W/verify.out"; fail "verify --sha256 does not say that something is held"; }
repl B approve t >"$W/approve.out" || fail "approve: status $?"
kept=$(sed -n 's/^t: 1 released; local versions are kept in //p' "$W/approve.out")
[ -n "$kept" ] || { cat "$W/approve.out"; fail "approve does not say where the local version is"; }
wait_for 20 "the primary's version has gone in" repl A wait t --for durable --timeout 20
[ -n "$(on B ls -A "$kept")" ] || fail "nothing is kept in $kept"
equal A B
repl A verify t --full || fail "verify after approve: status $?"
repl A verify t --sha256 || fail "verify --sha256 after approve: status $?"

step "status for people and for programs"
repl A status t | grep -q primary || fail "status does not name the role"
status_is A 's["tree"] == "t"' || fail "status --json names another tree"

step "clean ends; whoever still waits is told"
stop B
repl A wait t --wait-for-peers >"$W/wait.out" 2>&1 &
waiting=$!
on A "$REPL" wait t --wait-for-peers --timeout 300 >/dev/null 2>&1 & # and one that goes away
sleep 0.5
kill "$!"
stop A
wait "$waiting"
[ $? = 1 ] && grep -q 'the tree was closed before it could answer; ask again' "$W/wait.out" ||
  { cat "$W/wait.out"; fail "a wait that cannot end is not told"; }
exit 0
