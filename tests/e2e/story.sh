#!/usr/bin/env bash
# The whole story of three pairs whose users come by a floating address: mgmt (four trees), salt (two), home (the second
# node is the primary). A normal day; the primary dies with everything on it, the address moves, the secondary is promoted,
# users change and delete there; the old primary boots and harms nothing, catches up, is verified, and gets the role back.
# Then a cut cable instead of a death, a secondary that dies, and both. What users were told is kept on both nodes is
# never lost. Time to recover and writes at risk are printed.
. "$(dirname "$0")/lib.sh"
for name in mgmt1 mgmt2 salt1 salt2 home1 home2; do node "$name" ext4 256; done
declare -A TREES=([mgmt]="idm log hosts qemu" [salt]="srv pki" [home]="home")
declare -A FLOATING=([mgmt]=10.77.0.101 [salt]=10.77.0.102 [home]=10.77.0.103)
declare -A PRIMARY=([mgmt]=mgmt1 [salt]=salt1 [home]=home2) SECONDARY=([mgmt]=mgmt2 [salt]=salt2 [home]=home1)
declare -A DIR=([idm]=etc/idm [log]=var/log/idm [hosts]=etc/warewulf [qemu]=etc/qemu [srv]=srv/salt [pki]=etc/pki [home]=home)
pairs=(mgmt salt home)
{
  port=7421
  for pair in "${pairs[@]}"; do
    for tree in ${TREES[$pair]}; do
      printf '[tree.%s]\nroot = "/mnt/fs/%s"\nnodes = ["%s", "%s"]\nport = %s\non_alone_after = 2\n' \
        "$tree" "${DIR[$tree]}" "${PRIMARY[$pair]}" "${SECONDARY[$pair]}" $((port++))
      [ "$tree" != hosts ] || echo 'include = ["/hosts--warewulf"]'
      [ "$tree" != qemu ] || echo 'include = ["/shared-*"]'
    done
  done
} >"$W/trees"
config <"$W/trees"

at() { echo "$W/$1/fs/${DIR[$2]}"; } # NODE TREE
for pair in "${pairs[@]}"; do
  for tree in ${TREES[$pair]}; do
    mkdir -p "$(at "${PRIMARY[$pair]}" "$tree")" "$(at "${SECONDARY[$pair]}" "$tree")"
  done
done
for tree in idm log; do populate "$(at mgmt1 $tree)"; done
for tree in srv pki; do populate "$(at salt1 $tree)"; done
populate "$(at home2 home)"
chmod 600 "$(at salt1 pki)"/data/* 2>/dev/null
for node in mgmt1 mgmt2; do
  echo "$node's own" | tee "$(at $node hosts)/other" >"$(at $node qemu)/private.xml"
done
echo hosts >"$(at mgmt1 hosts)/hosts--warewulf"
echo one >"$(at mgmt1 qemu)/shared-one.xml"

# --- what stands at the floating address: writes, waits for the peer if it has one, and says what it knows
SERVICE='
import os, socket, subprocess, sys
repl, tree, root, address, pid = sys.argv[1:]
open(pid, "w").write(str(os.getpid()))
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: the address may come later
server.bind((address, 8000))
server.listen(8)
while True:
    client, _ = server.accept()
    number = client.recv(100).decode()
    with open(os.path.join(root, "write-" + number), "w") as file:
        file.write(number)
        file.flush()
        os.fsync(file.fileno())
    kept = subprocess.run([repl, "wait", tree, "--for", "durable", "--timeout", "2"], capture_output=True).returncode == 0
    client.sendall(b"kept" if kept else b"here")
    client.close()
'
# Writes all the time; a line for each answer: number, what was said, when.
CLIENT='
import socket, sys, time
address, out, stop = sys.argv[1:]
import os
n = 0
with open(out, "w", buffering=1) as log:
    while not os.path.exists(stop):
        if os.path.exists(out + ".pause"):
            open(out + ".pauses", "w").close()
            time.sleep(0.02)
            continue
        n += 1
        said = "nothing"
        try:
            with socket.create_connection((address, 8000), timeout=0.3) as s:
                s.settimeout(3)
                s.sendall(str(n).encode())
                said = s.recv(100).decode() or "nothing"
        except OSError:
            pass
        log.write("%d %s %f\n" % (n, said, time.time()))
        time.sleep(0.05)
'
ANNOUNCE='
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0x806))
mac = s.getsockname()[4]
ip = socket.inet_aton(sys.argv[1])
s.send(b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x806, 1, 0x800, 6, 4, 1) + mac + ip + b"\xff" * 6 + ip)
'
declare -A SERVING=()
serve() { # PAIR NODE: the service starts with the machine
  local tree=${TREES[$1]%% *}
  on "$2" python3 -c "$SERVICE" "$REPL" "$tree" "/mnt/fs/${DIR[$tree]}" "${FLOATING[$1]}" "$W/service.$2" &
  SERVING[$2]=$!
  disown "${SERVING[$2]}" # its end is nobody's message
}
take_address() { # PAIR NODE
  on "$2" ip addr add "${FLOATING[$1]}/24" dev eth0 && on "$2" python3 -c "$ANNOUNCE" "${FLOATING[$1]}"
}
drop_address() { on "$2" ip addr del "${FLOATING[$1]}/24" dev eth0; }
boot() { # PAIR NODE: everything that starts by itself
  start "$2" ${TREES[$1]}
  serve "$1" "$2"
}
dies() { # PAIR NODE: kill -9 of everything on it, and its address is gone
  stop "$2" KILL
  kill -KILL "$(cat "$W/service.$2")"
  wait_for 5 "end of the service of $2" bash -c "! kill -0 ${SERVING[$2]}"
  on "$2" ip addr flush dev eth0 to "${FLOATING[$1]}/32"
}
is_role() { # NODE TREE STATUS
  repl "$1" role "$2" >"$W/role.out" 2>&1
  [ $? = "$3" ]
}
all_are() { # PAIR NODE STATUS
  local tree
  for tree in ${TREES[$1]}; do is_role "$2" "$tree" "$3" || return 1; done
}
all_equal() { # PAIR: by both judges, while users pause; of a tree with `include` what is in it
  local tree p s
  rm -f "$W/client.$1.pauses"
  touch "$W/client.$1.pause"
  [ -e "$W/stop" ] || wait_for 10 "users of $1 pause" test -e "$W/client.$1.pauses"
  for tree in ${TREES[$1]}; do
    settle "${PRIMARY[$1]}" "$tree"
    repl "${PRIMARY[$1]}" verify "$tree" >"$W/verify.out" 2>&1 || { cat "$W/verify.out"; fail "verify $tree"; }
    p=$(at "${PRIMARY[$1]}" "$tree") s=$(at "${SECONDARY[$1]}" "$tree")
    case "$tree" in
      hosts) cmp "$p/hosts--warewulf" "$s/hosts--warewulf" || fail "hosts differs" ;;
      qemu) cmp "$p/shared-one.xml" "$s/shared-one.xml" || fail "qemu differs" ;;
      *) judge "$p" "$s" >"$W/judge.out" 2>&1 || { cat "$W/judge.out"; fail "$tree differs"; } ;;
    esac
  done
  rm "$W/client.$1.pause"
}
swap() {
  local was=${PRIMARY[$1]}
  PRIMARY[$1]=${SECONDARY[$1]} SECONDARY[$1]=$was
}
now() { date +%s.%N; }
answers_at() { grep -q . <(awk -v t="$2" '$3 > t && $2 != "nothing"' "$W/client.$1"); }
# What users were told to be on both nodes is there; and how long nobody answered since the time given.
promised() { # PAIR SINCE WHAT
  local root
  root=$(at "${PRIMARY[$1]}" "${TREES[$1]%% *}")
  python3 - "$W/client.$1" "$root" "$2" "$1: $3" <<'PYTHON' || fail "$1: a write that was kept on both nodes is lost"
import os, sys
log, root, since, what = sys.argv[1:]
answers = [line.split() for line in open(log) if line.count(" ") == 2]
there = lambda n: os.path.exists(os.path.join(root, "write-" + n))
lost = [n for n, said, _ in answers if said == "kept" and not there(n)]
risk = [n for n, said, _ in answers if said == "here" and not there(n)]
times = [float(t) for _, said, t in answers if said != "nothing"]
gaps = [b - a for a, b in zip(times, times[1:]) if b > float(since) > a - 3]
print("    %s: at most %.2f s between two answers; %d writes kept on both, %d lost; %d of one node alone, %d lost" % (
    what, max(gaps, default=0), sum(a[1] == "kept" for a in answers), len(lost), sum(a[1] == "here" for a in answers), len(risk)))
sys.exit(1 if lost else 0)
PYTHON
}

step "a normal day: three pairs, seven trees"
for pair in "${pairs[@]}"; do
  for name in "${PRIMARY[$pair]}" "${SECONDARY[$pair]}"; do boot "$pair" "$name"; done
done
for pair in "${pairs[@]}"; do
  for tree in ${TREES[$pair]}; do ready "${PRIMARY[$pair]}" "$tree"; done
  take_address "$pair" "${PRIMARY[$pair]}" || fail "the address of $pair"
  python3 -c "$CLIENT" "${FLOATING[$pair]}" "$W/client.$pair" "$W/stop" &
done
ip addr add 10.77.0.200/24 dev lan # where users sit
for pair in "${pairs[@]}"; do wait_for 20 "users of $pair are served" answers_at "$pair" 0; done
sleep 1
for pair in "${pairs[@]}"; do all_equal "$pair"; done

for pair in "${pairs[@]}"; do
  old=${PRIMARY[$pair]} new=${SECONDARY[$pair]}
  step "$pair: $old dies; the address moves, $new is promoted; users change and delete there"
  died=$(now)
  dies "$pair" "$old"
  repl "$new" promote ${TREES[$pair]} >"$W/promote.out" 2>&1 || { cat "$W/promote.out"; fail "promote"; }
  take_address "$pair" "$new"
  wait_for 20 "users of $pair are served again" answers_at "$pair" "$died"
  swap "$pair"
  promised "$pair" "$died" "death"
  for tree in ${TREES[$pair]}; do
    case "$tree" in
      hosts) echo newer >"$(at "$new" hosts)/hosts--warewulf" ;;
      qemu) echo newer >"$(at "$new" qemu)/shared-one.xml" ;;
      *) rm "$(at "$new" "$tree")/etc/conf.d/01.conf" && echo newer >"$(at "$new" "$tree")/changed" ;;
    esac
  done

  step "$pair: $old boots: nothing is harmed; catchup, verified; the role and the address move back"
  boot "$pair" "$old"
  for tree in ${TREES[$pair]}; do
    wait_for 30 "$old knows its place in $tree" is_role "$old" "$tree" 1
    wait_for 30 "$old has met $new for $tree" status_is "$old" "$tree" 's["peers"][0]["connected"]'
  done
  repl "$old" catchup --from "$new" ${TREES[$pair]} --yes --certificate "$W/certificate.json" >"$W/catchup.out" 2>&1 ||
    { cat "$W/catchup.out"; fail "catchup"; }
  python3 -c 'import json,sys; made=json.load(open(sys.argv[1])); assert len(made)==int(sys.argv[2]) and all(m["verified"] for m in made), made' \
    "$W/certificate.json" "$(wc -w <<<"${TREES[$pair]}")" || fail "the certificate"
  all_equal "$pair"
  moved=$(now)
  drop_address "$pair" "$new"
  repl "$new" switchover ${TREES[$pair]} --to "$old" >"$W/switchover.out" 2>&1 || { cat "$W/switchover.out"; fail "switchover"; }
  take_address "$pair" "$old"
  wait_for 20 "users of $pair are served again" answers_at "$pair" "$moved"
  swap "$pair"
  promised "$pair" "$moved" "planned"
  all_are "$pair" "$old" 0 || fail "$old is not the primary again"
  all_equal "$pair"
  case "$pair" in
    mgmt) [ "$(cat "$(at "$old" hosts)/hosts--warewulf")" = newer ] && [ "$(cat "$(at mgmt1 hosts)/other")" = "mgmt1's own" ] ;;
    *) [ ! -e "$(at "$old" "${TREES[$pair]%% *}")/etc/conf.d/01.conf" ] ;;
  esac || fail "$pair: what users changed is not there"
done

step "salt: the secondary dies and returns: nobody is needed"
dies salt salt2
sleep 0.5
boot salt salt2
all_equal salt

step "home: the cable of the primary is cut; users go on at the other; the cable is back"
cut=$(now)
unplug home2
repl home1 promote home --force >"$W/promote.out" 2>&1 || { cat "$W/promote.out"; fail "promote"; }
take_address home home1
wait_for 20 "users of home are served again" answers_at home "$cut"
echo nobody-saw >"$(at home2 home)/written-behind-the-cut" # by a cron job of the node that is cut off
swap home
promised home "$cut" "cut cable"
on home2 ip addr flush dev eth0 to "${FLOATING[home]}/32"
plug home2
gave_way() { is_role home2 home 1 || is_role home2 home 2; }
wait_for 40 "home2 gives way" gave_way
[ "$(cat "$(at home2 home)/written-behind-the-cut")" = nobody-saw ] || fail "what was written behind the cut is gone"
caught_up() { repl home2 catchup --from home1 home --yes; }
wait_for 60 "catchup of home2" caught_up
all_equal home
repl home2 diverged list home | grep -q written-behind-the-cut || fail "what was written behind the cut was not kept"

step "mgmt: both die; both return"
settle mgmt1 idm
dies mgmt mgmt1
dies mgmt mgmt2
boot mgmt mgmt2
boot mgmt mgmt1
for tree in ${TREES[mgmt]}; do wait_for 40 "mgmt1 is the primary of $tree" is_role mgmt1 "$tree" 0; done
take_address mgmt mgmt1
all_equal mgmt

touch "$W/stop"
sleep 1
for pair in "${pairs[@]}"; do promised "$pair" 0 "all in all" && all_equal "$pair"; done
for name in "${!SERVING[@]}"; do kill "$(cat "$W/service.$name")"; done
exit 0
