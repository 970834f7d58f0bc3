#!/usr/bin/env bash
# Daemons that speak over a real sshd: a tree whose nodes are all reached by ssh, and one with a single node behind
# ssh, which the others dial wherever it stands in `nodes`. No keys of repl's own are needed where ssh is.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
node C ext4
d=$W/ssh

# ssh_config SSHD-NODE <<TOML: every node, reached by ssh as root; trees from stdin.
ssh_config() {
  local name trees
  trees=$(cat)
  for name in "${NODES[@]}"; do
    printf '[node.%s]\naddress = "%s"\n' "$name" "${ADDRESS[$name]}"
    [ -z "${FINGERPRINT[$name]:-}" ] || printf 'fingerprint = "%s"\n' "${FINGERPRINT[$name]}"
    printf '[node.%s.ssh]\nuser = "root"\nport = 2222\nidentity = "%s"\nrepl = "%s"\n' "$name" "$d/client" "$REPL"
    printf 'options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=%s"]\n\n' "$d/known_hosts"
  done >"$W/repl.toml"
  echo "$trees" >>"$W/repl.toml"
  for name in "${NODES[@]}"; do install -m 644 "$W/repl.toml" "$W/$name/etc/repl.toml"; done
}
a=$(tree A)
populate "$a"
mkdir "$(tree B)" "$(tree C)"
sshd A
sshd_a=$SSHD_PID

step "all by ssh: B logs in at A, without keys or ports"
ssh_config <<TOML
[tree.t]
root = "$TREE"
nodes = ["A", "B"]
transport = "ssh"
TOML
start A
start B
ready A
equal A B --holes
status_is A 's["peers"][0]["transport"] == "ssh"' || fail "the status does not say ssh"
on A bash -c '[ "$(stat -c %a /run/repl/t.link)" = 600 ]' || fail "mode of the link socket"

step "live, and after the connection died"
echo live >"$a/live"
settle A
equal A B
pkill -P "$sshd_a"
echo after >"$a/after"
wait_for 60 "reconnect" judge "$a" "$(tree B)"
repl A verify t --full || fail "verify: status $?"

step "another user may not speak for the daemon"
session=$(on A pgrep -af 'serve --stdio' | grep -oE -- '--session [0-9a-f]+' | head -1)
[ -n "$session" ] || fail "no relay runs on A"
# shellcheck disable=SC2086
on A setpriv --reuid 65534 --regid 65534 --clear-groups "$REPL" --runtime-dir /run/repl serve --stdio $session \
  </dev/null 2>"$W/refused"
[ $? = 8 ] || fail "not refused as a matter of permission"
grep -q 'log in as the user that runs the daemon' "$W/refused" || { cat "$W/refused"; fail "no advice"; }
stop B
stop A

step "one node behind ssh: the primary A, first of the list, logs in at C; B speaks TLS with A"
kill "$sshd_a"
sshd C
for name in A B; do
  repl "$name" keygen >/dev/null 2>&1 || fail "keygen on $name"
  FINGERPRINT[$name]=$(repl "$name" fingerprint)
done
ssh_config <<TOML
[tree.t]
root = "$TREE"
nodes = ["A", "B", "C"]
port = 7421
[tree.t.peer.C]
transport = "ssh"
bandwidth = "100M"
TOML
start B
start C
# C has no sshd but its own, B none at all: B must log in at C, too.
start A
ready A
equal A B
equal A C
status_is A '{p["name"]: p["transport"] for p in s["peers"]} == {"B": "tls", "C": "ssh"}' || fail "transports"
status_is A '{p["name"]: p["bandwidth_limit"] for p in s["peers"]} == {"B": 0, "C": 100 << 20}' || fail "limits"
wait_for 20 "B and C have met" status_is B 'all(p["connected"] for p in s["peers"])'

step "live"
mv "$a/etc" "$a/moved"
settle A
equal A B
equal A C
stop C
stop B
stop A
exit 0
