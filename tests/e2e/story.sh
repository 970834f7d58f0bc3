#!/usr/bin/env bash
# The product, in one run: three pairs with their trees, a floating address each, users who write and read through it. The
# first node of each pair dies, the address moves to the second, which is promoted; users go on; the first comes back at
# boot and touches nothing that is newer; the role and the address go back. What `repl wait` has acknowledged is never lost.
# Times are printed, never asserted.  --rounds N repeats it.
. "$(dirname "$0")/lib.sh"
rounds=1
[ "${1:-}" = --rounds ] && rounds=$2

node mgmt1 ext4 128
node mgmt2 ext4 128
node salt1 ext4 128
node salt2 xfs 512
node home1 xfs 512
node home2 ext4 256
node users plain
declare -A TREES=([mgmt]="idm log hosts qemu" [salt]="salt pki" [home]="home") SHELF=([mgmt]=10.77.1.1 [salt]=10.77.1.2 [home]=10.77.1.3)
declare -A PLACE=([idm]=etc/idm [log]=var/log/idm [hosts]=etc [qemu]=etc/libvirt/qemu [salt]=srv/salt [pki]=etc/salt/pki/master [home]=home)
declare -A WRITES=([mgmt]=idm [salt]=salt [home]=home)  # the tree that the users of a pair write to
PAIRS=(mgmt salt home)
for name in mgmt salt home; do
  for node in "${name}1" "${name}2"; do for t in ${TREES[$name]}; do mkdir -p "$W/$node/fs/${PLACE[$t]}"; done; done
done
tree_toml() { # NAME PAIR PORT [LINE...]
  printf '[tree.%s]\nroot = "/mnt/fs/%s"\nnodes = ["%s1", "%s2"]\nport = %s\non_alone_after = 2\n' "$1" "${PLACE[$1]}" "$2" "$2" "$3"
  shift 3
  [ $# = 0 ] || printf '%s\n' "$@"
}
config < <(
  tree_toml idm mgmt 7421
  tree_toml log mgmt 7422
  tree_toml hosts mgmt 7423 'include = ["/hosts--warewulf"]'
  tree_toml qemu mgmt 7424 'include = ["/shared-*"]'
  tree_toml salt salt 7425
  tree_toml pki salt 7426
  tree_toml home home 7427
)
place() { echo "$W/$1/fs/${PLACE[$2]}"; } # NODE TREE
populate "$(place mgmt1 idm)"
for i in $(seq 200); do echo "line $i"; done >"$(place mgmt1 log)/idm.log"
echo "10.0.0.1 one" >"$(place mgmt1 hosts)/hosts--warewulf"
for name in mgmt1 mgmt2; do echo "$name's own" >"$W/$name/fs/etc/passwd"; done
echo one >"$(place mgmt1 qemu)/shared-one.xml"
for i in $(seq 50); do echo "state $i" >"$(place salt1 salt)/$i.sls"; done
(umask 077 && head -c 2048 /dev/urandom >"$(place salt1 pki)/master.pem")
git init -q "$(place salt1 salt)/repository.git" --bare
for i in $(seq 20); do mkdir -p "$(place home1 home)/user$i/work" && head -c 100000 /dev/urandom >"$(place home1 home)/user$i/work/data"; done

# The floating address is on one node of a pair; the bridge learns where it is from what is sent with it.
address_to() { # NODE
  local shelf=${SHELF[${1%?}]}
  on "$1" ip addr add "$shelf/16" dev eth0 && on "$1" ping -c 1 -w 1 -I "$shelf" "${ADDRESS[users]}" >/dev/null 2>&1
  on users ip neigh flush to "$shelf" >/dev/null 2>&1
  return 0
}
address_off() { on "$1" ip addr del "${SHELF[${1%?}]}/16" dev eth0; }
on users ip addr add 10.77.2.1/16 dev eth0

# The service of a node: its users write and read files of one tree, and hear which node answers. A write is acknowledged
# when `repl wait` is content, if it was asked for.
cat >"$W/service.py" <<'PYTHON'
import os, socketserver, subprocess, sys
node, root, tree, repl = sys.argv[1:]
class Ask(socketserver.StreamRequestHandler):
    def handle(self):
        word, name, text, sure = self.rfile.readline().decode().rstrip("\n").split("\t")
        if word == "read":
            try: answer = open(os.path.join(root, name)).read()
            except OSError: answer = "none"
        elif subprocess.run([repl, "role", tree], capture_output=True).returncode != 0: answer = "refused"
        else:
            with open(os.path.join(root, name), "w") as f: f.write(text)
            answer = "written"
            if sure == "sure" and subprocess.run([repl, "wait", tree, "--for", "durable", "--timeout", "5"], capture_output=True).returncode == 0: answer = "acknowledged"
        self.wfile.write(("%s\t%s" % (node, answer)).encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
Server(("0.0.0.0", 8080), Ask).serve_forever()
PYTHON
cat >"$W/ask.py" <<'PYTHON'
import socket, sys
s = socket.create_connection((sys.argv[1], 8080), 1)
s.settimeout(8)
s.sendall(("\t".join(sys.argv[2:]) + "\n").encode())
answer = b""
while chunk := s.recv(65536): answer += chunk
print(answer.decode())
PYTHON
serve() {
  local tree=${WRITES[${1%?}]}
  nsenter --target "${HOLDER[$1]}" --mount --net --uts --wdns=/ -- python3 "$W/service.py" "$1" "/mnt/fs/${PLACE[$tree]}" "$tree" "$REPL" \
    >>"$W/$1/log/service" 2>&1 </dev/null &
}
ask() { on users python3 "$W/ask.py" "${SHELF[$1]}" "$2" "$3" "${4:-}" "${5:-}" 2>/dev/null; } # PAIR read|write NAME [TEXT [sure]]
accepted() { [[ "$(ask "$1" write "$2" "$3")" == "$4"$'\t'written ]]; }
ms() { echo $(($(date +%s%N) / 1000000)); }
role_of() { repl "$1" role "$2" >/dev/null 2>&1; [ $? = "$3" ]; }
all_trees() { # PAIR COMMAND...: with each of its trees
  local pair=$1 t
  shift
  for t in ${TREES[$pair]}; do "$@" "$t" || fail "$* $t"; done
}
same() { # PAIR FROM TO
  local t
  for t in ${TREES[$1]}; do
    settle "$2" "$t"
    case $t in
      hosts | qemu) # what is not included is the node's own
        for f in "$(place "$2" "$t")"/{hosts--warewulf,shared-*}; do
          [ ! -e "$f" ] || judge_file "$f" "$(place "$3" "$t")/$(basename "$f")" || fail "$f differs on $3"
        done ;;
      *) judge "$(place "$2" "$t")" "$(place "$3" "$t")" >"$W/judge.out" 2>&1 || { cat "$W/judge.out"; fail "$t of $2 and $3 differs"; } ;;
    esac
  done
}
judge_file() { cmp "$1" "$2" && [ "$(stat -c '%a %u %g %y' "$1")" = "$(stat -c '%a %u %g %y' "$2")" ]; }
move_role() { # FROM TO TREE
  wait_for 30 "$2 follows $1" status_is "$1" "$3" 'all(p["connected"] for p in s["peers"])'
  repl "$1" switchover "$3" --to "$2" >"$W/$1/log/switchover" 2>&1 || { cat "$W/$1/log/switchover"; return 1; }
  wait_for 20 "$2 is the primary of $3" role_of "$2" "$3" 0
}

for pair in "${PAIRS[@]}"; do
  for n in 1 2; do start "$pair$n" ${TREES[$pair]}; serve "$pair$n"; done
  all_trees "$pair" ready "${pair}1"
  same "$pair" "${pair}1" "${pair}2"
  address_to "${pair}1"
done
step "three pairs, seven trees, are equal"

one_story() { # PAIR ROUND
  local pair=$1 r=$2 first=${1}1 second=${1}2 t i died lost=0 sure=0 unsure=0 began_at
  for i in 1 2 3; do
    wait_for 5 "an acknowledged write" bash -c "$(declare -f ask on); $(declare -p HOLDER SHELF W); [[ \$(ask $pair write sure-$r-$i text-$r-$i sure) == $first*acknowledged ]]"
  done
  for i in $(seq 10); do accepted "$pair" "unsure-$r-$i" "text-$r-$i" "$first" && unsure=$((unsure + 1)); done
  died=$(ms)
  unplug "$first"
  stop "$first" KILL
  address_off "$first"
  # The person of the runbook, at once: promote, then the address.
  for t in ${TREES[$pair]}; do
    repl "$second" promote "$t" >"$W/$second/log/promote" 2>&1 || repl "$second" promote "$t" --force >"$W/$second/log/promote" 2>&1 ||
      { cat "$W/$second/log/promote"; fail "promote $t on $second"; }
  done
  address_to "$second"
  wait_for 20 "$second accepts a write" accepted "$pair" "after-$r" "after the death" "$second"
  local rto=$(($(ms) - died))
  for i in 1 2 3; do
    [ "$(ask "$pair" read "sure-$r-$i")" = "$second"$'\t'"text-$r-$i" ] || fail "the acknowledged write sure-$r-$i is lost"
    sure=$((sure + 1))
  done
  for i in $(seq 10); do [ "$(ask "$pair" read "unsure-$r-$i")" = "$second"$'\t'"text-$r-$i" ] || lost=$((lost + 1)); done
  for i in $(seq 10); do accepted "$pair" "meanwhile-$r-$i" "$i" "$second" || fail "a user cannot write"; done
  rm -f "$(place "$second" "${WRITES[$pair]}")/sure-$r-3"
  plug "$first"
  began_at=$(ms)
  start "$first" ${TREES[$pair]}
  for t in ${TREES[$pair]}; do
    wait_for 30 "$first is no primary of $t" role_of "$first" "$t" 1
    wait_for 30 "$first hears $second" status_is "$first" "$t" 'all(p["connected"] for p in s["peers"])'
    repl "$first" catchup --from "$second" "$t" --yes --certificate "$W/$first/log/certificate" >"$W/$first/log/catchup" 2>&1 ||
      { cat "$W/$first/log/catchup"; fail "catchup of $t"; }
    settle "$second" "$t"
  done
  local back=$(($(ms) - began_at))
  same "$pair" "$second" "$first"
  [ "$(ask "$pair" read "after-$r")" = "$second"$'\t'"after the death" ] || fail "the newer file was overwritten"
  [ ! -e "$(place "$first" "${WRITES[$pair]}")/sure-$r-3" ] || fail "a removed file came back"
  began_at=$(ms)
  address_off "$second"
  for t in ${TREES[$pair]}; do move_role "$second" "$first" "$t" || fail "switchover of $t"; done
  address_to "$first"
  wait_for 20 "$first accepts a write" accepted "$pair" "back-$r" "back" "$first"
  local switch=$(($(ms) - began_at))
  same "$pair" "$first" "$second"
  [ "$(cat "$W/${first}/fs/etc/passwd" 2>/dev/null)" = "$([ "$pair" != mgmt ] || echo "$first's own")" ] || fail "what is in no tree was touched"
  step "$pair, round $r: RTO $rto ms; RPO 0 of $sure acknowledged, $lost of $unsure unacknowledged; back and proven in $back ms; handed back in $switch ms"
}
# The pairs have nothing in common but the machine: their stories are told side by side.
stories=()
for pair in "${PAIRS[@]}"; do
  (for r in $(seq "$rounds"); do one_story "$pair" "$r"; done) &
  stories+=($!)
done
for story in "${stories[@]}"; do wait "$story" || fail "one of the stories"; done
# The daemons were started by the stories: they end with the arena.
exit 0
