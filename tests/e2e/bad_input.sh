#!/usr/bin/env bash
# What is wrong is refused or held with words that help, loses nothing, and goes on when it is put right.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4 48
node C ext4
usual_config
a=$(tree A)
mkdir "$a" "$(tree B)" "$(tree C)"
echo one >"$a/one"

says() { # PATTERN NODE COMMAND...: the command fails, and says so
  local pattern=$1 name=$2
  shift 2
  if repl "$name" "$@" >"$W/says" 2>&1; then cat "$W/says"; fail "accepted: $*"; fi
  grep -qiE "$pattern" "$W/says" || { cat "$W/says"; fail "the message of '$*' does not match '$pattern'"; }
}
step "command line and configuration"
says "run|usage|command" A nonsense
says "tree|no-such" A run no-such-tree
for broken in 'prot = 7421' 'nodes = ["A", "Z"]' 'root = "relative"' 'include = ["["]'; do
  { sed '/^\[tree/,$d' "$W/repl.toml"
    printf '[tree.x]\nroot = "/mnt/fs/tree"\nnodes = ["A", "B"]\nport = 7421\n' |
      grep -v "^${broken%% *} " ; echo "$broken"; } >"$W/A/etc/broken.toml"
  repl A --config /etc/repl/broken.toml run x >"$W/says" 2>&1 </dev/null &
  pid=$!
  wait_for 10 "the refusal of: $broken" bash -c "! kill -0 $pid"
  wait "$pid" && fail "accepted: $broken"
  grep -q broken.toml "$W/says" || { cat "$W/says"; fail "the message does not name the file ($broken)"; }
done

step "two daemons on one tree; an index of another tree, a damaged one, none"
start_all
ready A
on B "$REPL" --runtime-dir /run/second run t >"$W/B/log/second" 2>&1 </dev/null &
second=$!
pid_of_b=$(on B cat /var/lib/repl/t/index/owner)
wait_for 20 "the second daemon is refused" grep -q "already in use by pid $pid_of_b" "$W/B/log/second"
[ "$pid_of_b" = "${DAEMON[B]}" ] || fail "pid $pid_of_b is not that of the daemon, ${DAEMON[B]}"
wait "$second" && fail "the second daemon ended with status 0" # the port is the first one's, too
settle A
stop B
index=$W/B/state/t/index
refused() { # PATTERN: B holds with these words, and its tree stays as it is
  start B
  wait_for 20 "the index is refused: $1" grep -qE "$1" "$W/B/log/daemon"
  says_so() { [[ $(repl B status t --json) =~ $1 ]]; }
  wait_for 20 "the status says so: $1" says_so "$1"
  if repl A wait t --timeout 1 >/dev/null 2>&1; then fail "wait says durable, and the index of B is refused"; fi
  [ -e "$(tree B)/one" ] || fail "the tree of B was touched"
  stop B
}
cp -a "$index" "$index.good"
head -c 8192 /dev/zero | tr '\0' x | dd of="$index/data.mdb" conv=notrunc status=none
refused 'damaged'
rm -r "$index"
cp -a "$index.good" "$index"
mv "$W/B/state/t" "$W/B/state/other"
sed "s/tree\.t/tree.other/" "$W/B/etc/repl.toml" >"$W/B/etc/other.toml"
on B timeout 3 "$REPL" --config /etc/repl/other.toml run other >"$W/B/log/other" 2>&1 </dev/null
grep -q 'another tree' "$W/B/log/other" || fail "the index of another tree is not refused"
mv "$W/B/state/other" "$W/B/state/t"
rm -r "$index" "$index.good" # as the messages say: it is made again
start B
settle A
equal A B
stop A
stop B
stop C

step "a missing root: no crash, nothing deleted on the peers"
start_all
ready A
equal A B
stop A
mv "$a" "$a.away"
start A
sleep 3
[ -e "$(tree B)/one" ] || fail "a missing root emptied the peer"
if running A; then stop A; else wait "${DAEMON[A]}" && fail "ended with status 0 without its root"; unset "DAEMON[A]"; fi
mv "$a.away" "$a"
start A
ready A
equal A B

step "a full disk on B: C is not held up, B catches up when there is room"
head -c 40000000 /dev/urandom >"$W/B/fs/ballast"
head -c 20000000 /dev/urandom >"$W/A/fs/large"
mv "$W/A/fs/large" "$a/large" # at once: a version that is still being written may cross, too
wait_for 60 "C has it" cmp -s "$a/large" "$(tree C)/large"
sleep 2
running B || fail "the daemon of B died of a full disk"
if repl A wait t --for durable --timeout 1 2>/dev/null; then fail "wait says durable, and B is full"; fi
[ ! -e "$(tree B)/large" ] || fail "a part of a file is visible on B"
rm "$W/B/fs/ballast"
wait_for 90 "B has it" cmp -s "$a/large" "$(tree B)/large"
settle A
equal A B
equal A C

step "a wrong key: refused, nothing crosses"
stop B
mv "$W/B/state" "$W/B/state.kept" && mkdir "$W/B/state.new" # another identity on B, which A does not know
on B umount /var/lib/repl && on B mount --bind "$W/B/state.new" /var/lib/repl
mkdir -p "$W/B/etc.kept" && cp -a "$W/B/etc/." "$W/B/etc.kept/"
find "$W/B/etc" -type f ! -name '*.toml' -delete
repl B keygen >/dev/null 2>&1 || fail "keygen"
repl B fingerprint | grep -q "${FINGERPRINT[B]}" && fail "the new key is the old one"
start B
echo secret >"$a/secret"
never 5 "a file crossed to a host with a wrong key" test -e "$(tree B)/secret"
status_is A 'not [p for p in s["peers"] if p["name"] == "B"][0]["connected"]' || fail "connected with a wrong key"
# A is dialled by B, so only its log can say who came; C dials B, and its status says why not.
grep -q 'its fingerprint sha256:.* is not the one in the config' "$W/A/log/daemon" || fail "A does not say why"
wait_for 30 "the reason is shown" status_is C '"fingerprint" in str([p["last_error"] for p in s["peers"]])'
stop B
exit 0
