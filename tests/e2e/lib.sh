# lib.sh: two or more hosts on one machine, for the end-to-end tests, quickstart and benchmarks. Source it first:
#   . "$(dirname "$0")/lib.sh"
#
# The script is run again as pid 1 of its own pid, mount and network namespace (the arena). Hosts are namespaces
# inside it. When the script ends, however it ends, the kernel kills what it started, and mounts, loop devices
# and links go with the namespaces; only $W, a directory in /tmp, is removed by hand. Nothing is ever killed by
# name, and nothing of the machine's own /etc, /run or /var/lib is touched: the arena has overlays there.
#
# Each host has its own hostname, /etc/repl, /run/repl, /var/lib/repl and /mnt/fs (its filesystem). Seen from the
# script, the filesystem of host A is $W/A/fs: trees are changed and judged from there.
set -uo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROJECT=$(cd "$HERE/../.." && pwd)
if [ -z "${REPL_BUILD:-}" ]; then
  REPL_BUILD=$PROJECT/out/dev
  [ -x "$REPL_BUILD/cli/repl" ] || REPL_BUILD=$PROJECT/out/release
fi
REPL=${REPL:-$REPL_BUILD/cli/repl}
SUPPORT=${REPL_SUPPORT:-$REPL_BUILD/tests/support}

if [ -z "${ARENA:-}" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "$(basename "$0"): needs root (network namespaces, mounts)" >&2
    exit 1
  fi
  [ -x "$REPL" ] || [ -n "${NO_REPL:-}" ] || { echo "$REPL is missing: run ./test or ./build first" >&2; exit 1; }
  ARENA=$(mktemp -d "${TMPDIR:-/tmp}/repl-arena.XXXXXX")
  export ARENA
  setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
    bash "$0" "$@" 0<&0 &
  arena_pid=$!
  trap 'kill -KILL "$arena_pid"' INT TERM HUP
  wait "$arena_pid"
  status=$?
  # The mounts of the arena end with its last process, a moment after its first.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf --one-file-system "$ARENA" 2>/dev/null && break
    sleep 0.1
  done
  exit "$status"
fi

W=$ARENA
unset ARENA
TREE=/mnt/fs/tree  # the root of the usual tree, on every host
declare -A HOLDER=() ADDRESS=() DAEMON=() FINGERPRINT=()
NODES=()
KEPT_LOGS=()  # shown when the test fails
WIRE_PID=

began=$(date +%s%N)
elapsed() { awk -v a="$began" -v b="$(date +%s%N)" 'BEGIN { printf "%6.1f s", (b - a) / 1e9 }'; }
step() { echo "[$(elapsed)] $*"; }
fail() {
  echo "[$(elapsed)] FAILED: $*" >&2
  exit 1
}
at_exit() {
  local status=$?
  trap - EXIT
  if [ "$status" != 0 ]; then
    local log
    for log in "$W"/*/log/*; do
      [ -s "$log" ] || continue
      echo "--- last lines of ${log#"$W"/}" >&2
      tail -n "${LOG_LINES:-40}" "$log" >&2
    done
    echo "[$(elapsed)] $(basename "$0"): failed (status $status)" >&2
  else
    [ -n "${QUIET:-}" ] || echo "[$(elapsed)] $(basename "$0"): passed"
  fi
  exit "$status"
}
trap at_exit EXIT
trap 'exit 130' INT TERM

mount --make-rshared /
ip link set lo up
mkdir -p "$W/overlay"
mount -t tmpfs tmpfs "$W/overlay"
for directory in etc var/lib; do
  mkdir -p "$W/overlay/$directory/upper" "$W/overlay/$directory/work"
  mount -t overlay overlay "/$directory" \
    -o "lowerdir=/$directory,upperdir=$W/overlay/$directory/upper,workdir=$W/overlay/$directory/work"
done
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
mkdir -p /etc/repl /var/lib/repl /run/repl /run/sshd /mnt/fs
ip link add lan type bridge
ip link set lan up

# wait_for SECONDS WHAT COMMAND...: polls until the command succeeds.
wait_for() {
  local deadline=$(($(date +%s%N) + ${1%.*} * 1000000000)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s%N)" -lt "$deadline" ] || fail "not within time: $what ($*)"
    sleep 0.05
  done
}
# never SECONDS WHAT COMMAND...: the command must not succeed meanwhile.
never() {
  local deadline=$(($(date +%s%N) + ${1%.*} * 1000000000)) what=$2
  shift 2
  while [ "$(date +%s%N)" -lt "$deadline" ]; do
    if "$@" >/dev/null 2>&1; then fail "happened, and must not: $what ($*)"; fi
    sleep 0.1
  done
}

# filesystem KIND DIR [MIB]: ext4 | few-inodes (ext4 with 400) | xfs | btrfs | btrfs-subvolume | tmpfs | overlay |
# plain, mounted at DIR.
filesystem() {
  local kind=$1 at=$2 mib=${3:-512} image
  mkdir -p "$at" "$W/images"
  image=$(mktemp "$W/images/XXXXXX")
  truncate -s "${mib}M" "$image"
  case "$kind" in
    ext4) mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$image" && mount -o loop "$image" "$at" ;;
    xfs) mkfs.xfs -q -f "$image" && mount -o loop "$image" "$at" ;;
    btrfs) mkfs.btrfs -q -f "$image" >/dev/null && mount -o loop "$image" "$at" ;;
    btrfs-subvolume)
      mkdir -p "$at.top"
      mkfs.btrfs -q -f "$image" >/dev/null && mount -o loop "$image" "$at.top" &&
        btrfs -q subvolume create "$at.top/sub" && mount --bind "$at.top/sub" "$at"
      ;;
    tmpfs) mount -t tmpfs -o "size=${mib}M" tmpfs "$at" ;;
    few-inodes) mkfs.ext4 -q -N 400 "$image" && mount -o loop "$image" "$at" ;;
    overlay)
      mkdir -p "$at.layers"
      mkfs.ext4 -q "$image" && mount -o loop "$image" "$at.layers" &&
        mkdir "$at.layers/lower" "$at.layers/upper" "$at.layers/work" &&
        mount -t overlay overlay "$at" \
          -o "lowerdir=$at.layers/lower,upperdir=$at.layers/upper,workdir=$at.layers/work"
      ;;
    plain) ;;
    *) fail "unknown filesystem $kind" ;;
  esac || fail "cannot make $kind at $at"
}

# node NAME [KIND [MIB]]: a host with one filesystem, on the common network as 10.77.0.N.
node() {
  local name=$1 kind=${2:-ext4} mib=${3:-512} number=$((${#NODES[@]} + 1))
  mkdir -p "$W/$name"/{etc,state,run,log}
  filesystem "$kind" "$W/$name/fs" "$mib"
  unshare --mount --net --uts --propagation slave sleep infinity &
  HOLDER[$name]=$!
  until [ "$(readlink "/proc/${HOLDER[$name]}/ns/uts")" != "$(readlink /proc/self/ns/uts)" ]; do sleep 0.01; done
  NODES+=("$name")
  ADDRESS[$name]=10.77.0.$number
  ip link add "port$number" type veth peer name eth0 netns "${HOLDER[$name]}"
  ip link set "port$number" master lan up
  on "$name" bash -c "hostname $name && ip link set lo up && ip addr add 10.77.0.$number/24 dev eth0 &&
    ip link set eth0 up && mount --bind '$W/$name/etc' /etc/repl && mount --bind '$W/$name/state' /var/lib/repl &&
    mount --bind '$W/$name/run' /run/repl && mount --bind '$W/$name/fs' /mnt/fs" || fail "cannot set up host $name"
}
on() { # NODE COMMAND...: runs it on the host; replaces the shell when started with &, so that $! is its pid
  local name=$1
  shift
  nsenter --target "${HOLDER[$name]}" --mount --net --uts --wdns=/ -- "$@"
}
tree() { echo "$W/$1/fs/tree"; }
repl() { # NODE ARGUMENT...
  local name=$1
  shift
  on "$name" "$REPL" "$@"
}

# The latency wire: wire A B RTT_MS [LOSS [RATE_MBIT]], addresses 10.79.0.N; call it before `config`.
wire() {
  local a=$1 b=$2
  shift 2
  local address_a=10.79.0.${ADDRESS[$a]##*.} address_b=10.79.0.${ADDRESS[$b]##*.}
  "$SUPPORT/netlink" "/proc/${HOLDER[$a]}/ns/net" "/proc/${HOLDER[$b]}/ns/net" "$address_a/24" "$address_b/24" "$@" \
    >"$W/wire.up" 2>"$W/wire.log" &
  WIRE_PID=$!
  wait_for 10 "the wire" grep -q up "$W/wire.up"
  ADDRESS[$a]=$address_a
  ADDRESS[$b]=$address_b
}
wire_cut() { kill -USR1 "$WIRE_PID"; }
wire_join() { kill -USR2 "$WIRE_PID"; }
unplug() { ip link set "port${ADDRESS[$1]##*.}" down; } # without `wire`
plug() { ip link set "port${ADDRESS[$1]##*.}" up; }
# Bytes that the host has sent and received on all its links but loopback.
wire_bytes() {
  on "$1" awk -F'[: ]+' '/eth0|nl0/ { sub(/^ +/, ""); split($0, f, /[: ]+/); sum += f[2] + f[10] } END { print sum + 0 }' \
    /proc/net/dev
}

# config [NODE...] <<TOML: keys for every host that has none, and one repl.toml (its trees from stdin) for all.
config() {
  local name trees
  trees=$(cat)
  for name in "${NODES[@]}"; do
    [ -n "${FINGERPRINT[$name]:-}" ] && continue
    repl "$name" keygen >"$W/$name/keygen" 2>&1 || { cat "$W/$name/keygen"; fail "keygen on $name"; }
    FINGERPRINT[$name]=$(repl "$name" fingerprint | grep -oE 'sha256:[0-9a-f]{64}' | head -1)
    [ -n "${FINGERPRINT[$name]}" ] || fail "no fingerprint on $name"
  done
  {
    for name in "${NODES[@]}"; do
      printf '[node.%s]\naddress = "%s"\nfingerprint = "%s"\n\n' "$name" "${ADDRESS[$name]}" "${FINGERPRINT[$name]}"
    done
    echo "$trees"
  } >"$W/repl.toml"
  for name in "${NODES[@]}"; do install -m 644 "$W/repl.toml" "$W/$name/etc/repl.toml"; done
}
# usual_config [LINE...]: one tree `t` at /mnt/fs/tree on all hosts, plus the lines given.
usual_config() {
  local list
  list=$(printf '"%s", ' "${NODES[@]}")
  # Not a pipe: what config learns must stay in this shell.
  config < <(printf '[tree.t]\nroot = "%s"\nnodes = [%s]\nport = 7421\n' "$TREE" "${list%, }"; printf '%s\n' "$@")
}

# begin_pair [LINE...]: the usual tree, with all kinds of files in it, on A and B, in sync; $a and $b are where.
begin_pair() {
  usual_config "$@"
  a=$(tree A) b=$(tree B)
  populate "$a"
  mkdir "$b"
  start_all
  ready A
  equal A B
}

# start NODE [TREE...]: the daemon; its log is $W/NODE/log/daemon. WRAP=(command...) goes in front of it.
start() {
  local name=$1
  shift
  [ $# -gt 0 ] || set -- t
  echo "--- start $(date +%T.%N)" >>"$W/$name/log/daemon"
  nsenter --target "${HOLDER[$name]}" --mount --net --uts --wdns=/ -- ${WRAP[@]+"${WRAP[@]}"} "$REPL" run "$@" \
    >>"$W/$name/log/daemon" 2>&1 </dev/null &
  DAEMON[$name]=$!
}
running() { kill -0 "${DAEMON[$1]}" 2>/dev/null; }
# stop NODE [SIGNAL]: ends the daemon; after TERM it must have ended by itself, with status 0.
stop() {
  local name=$1 signal=${2:-TERM} status pid=${DAEMON[$1]:-}
  [ -n "$pid" ] || return 0
  unset "DAEMON[$name]"
  kill "-$signal" "$pid" 2>/dev/null || fail "the daemon of $name was no longer running"
  if [ "$signal" = TERM ]; then
    wait_for 20 "end of the daemon of $name" bash -c "! kill -0 $pid"
  fi
  { wait "$pid"; } 2>/dev/null # the shell's own word on a killed job
  status=$?
  [ "$signal" != TERM ] || [ "$status" = 0 ] || fail "the daemon of $name ended with status $status after TERM"
}
start_all() {
  local name
  for name in "${NODES[@]}"; do start "$name" "$@"; done
}

# status NODE [TREE] EXPRESSION: evaluates a Python expression over `repl status --json` as `s`.
status() {
  local name=$1 tree=t
  shift
  [ $# -gt 1 ] && { tree=$1; shift; }
  repl "$name" status "$tree" --json | python3 -c '
import json, sys
text = sys.stdin.read()
s = json.loads(text)
if isinstance(s, dict) and "trees" in s: s = s["trees"]
if isinstance(s, list): s = s[0]
print(eval(sys.argv[1]))' "$1"
}
status_is() { # NODE [TREE] EXPRESSION: true if it evaluates to True
  [ "$(status "$@" 2>/dev/null)" = True ]
}
connected() { status_is "$1" 'all(p["connected"] for p in s["peers"]) and len(s["peers"]) > 0'; }
answers() { # NODE TREE: its daemon does, held (3) or not
  repl "$1" status "$2" --json
  case $? in 0 | 3) return 0 ;; *) return 1 ;; esac
}
# settle NODE [TREE [SECONDS]]: everything written before now is durable on all peers, also those that are coming back.
settle() {
  local tree=${2:-t} seconds=${3:-60}
  repl "$1" wait "$tree" --for durable --wait-for-peers --timeout "$seconds" >"$W/wait.out" 2>&1 || {
    local code=$?
    cat "$W/wait.out" >&2
    repl "$1" status "$tree" >&2
    fail "repl wait on $1: exit $code"
  }
}
ready() { # NODE [TREE]: waits until the primary answers and everything has reached its peers
  local name=$1 tree=${2:-t}
  wait_for 30 "daemon of $name answers" answers "$name" "$tree"
  wait_for 60 "$name is primary of $tree" status_is "$name" "$tree" 's["role"] == "primary"'
  settle "$name" "$tree" "${3:-120}"
}

# --- roles, for the tree t
role() { # NODE STATUS: `repl role` ends with it
  repl "$1" role t >"$W/role.out" 2>&1
  [ $? = "$2" ]
}
role_state() { [ "$(repl "$1" role t --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["state"])')" = "$2" ]; }
catchup() { # NODE FROM: with a certificate; the tree is then the other's
  repl "$1" catchup --from "$2" t --yes --certificate "$W/$1/log/certificate.json" >"$W/catchup.out" 2>&1 || {
    local status=$?
    cat "$W/catchup.out"
    fail "catchup: exit $status"
  }
  python3 - "$W/$1/log/certificate.json" <<'PYTHON' || fail "the certificate"
import json, sys
(made,) = json.load(open(sys.argv[1]))
assert made["verified"] and made["fingerprint"] == made["peer_fingerprint"], made
assert made["position"] == made["peer_position"], made
PYTHON
}
kept() { # NODE PATH CONTENT: the newest diverged store of the node has that version
  mkdir -p "$W/$1/fs/restored"
  repl "$1" diverged restore t "$2" --id "$(ls "$(tree "$1")/.repl-staging/diverged" | tail -1)" --to /mnt/fs/restored >"$W/restore.out" 2>&1 || { cat "$W/restore.out"; fail "restore $2"; }
  [ "$(cat "$W/$1/fs/restored/$2")" = "$3" ] || fail "$2 was restored as '$(cat "$W/$1/fs/restored/$2")'"
  rm -rf "$W/$1/fs/restored"
}

# judge DIR_A DIR_B [treecmp option...]: equal by both judges, or the differences. xfs lists its ACLs a second
# time, as trusted.SGI_ACL_*: those are no attributes of their own.
judge() {
  local a=$1 b=$2 out status=0 exclude=()
  shift 2
  local name
  for name in "${STAGING[@]}"; do exclude+=(--exclude "/$name"); done
  out=$(rsync -n -aHAX --delete --checksum --itemize-changes \
    --filter='-x trusted.SGI_ACL_*' "${exclude[@]}" "$a/" "$b/" 2>&1)
  if [ -n "$out" ]; then
    echo "rsync sees differences ($a | $b):"
    head -n 30 <<<"$out"
    status=1
  fi
  exclude=()
  for name in "${STAGING[@]}"; do exclude+=(--exclude "$name"); done
  "$SUPPORT/treecmp" "${exclude[@]}" "$@" "$a" "$b" || status=1
  return "$status"
}
STAGING=(.repl-staging)  # what is repl's own below a root
# equal A B [option...]: the usual tree of two hosts.
equal() {
  local a=$1 b=$2
  shift 2
  judge "$(tree "$a")" "$(tree "$b")" "$@" >"$W/judge.out" 2>&1 || {
    cat "$W/judge.out" >&2
    fail "$a and $b differ"
  }
}

# sshd NODE: a real sshd on port 2222 with its own keys; ssh_options reach it with $W/ssh/client.
sshd() {
  local name=$1 d=$W/ssh
  mkdir -p "$d"
  [ -f "$d/host" ] || ssh-keygen -q -t ed25519 -N '' -f "$d/host"
  [ -f "$d/client" ] || ssh-keygen -q -t ed25519 -N '' -f "$d/client"
  install -m 600 "$d/client.pub" "$d/authorized"
  cat >"$d/sshd_config" <<CONFIG
Port 2222
ListenAddress ${ADDRESS[$name]}
HostKey $d/host
AuthorizedKeysFile $d/authorized
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
AcceptEnv none
CONFIG
  nsenter --target "${HOLDER[$name]}" --mount --net --uts --wdns=/ -- /usr/sbin/sshd -D -e -f "$d/sshd_config" \
    >"$W/$name/log/sshd" 2>&1 </dev/null &
  SSHD_PID=$!
  wait_for 10 "sshd on $name" bash -c "grep -q 'Server listening' '$W/$name/log/sshd'"
  SSH_OPTIONS=(--ssh-port 2222 --ssh-identity "$d/client" --ssh-option StrictHostKeyChecking=no
    --ssh-option "UserKnownHostsFile=$d/known_hosts" --ssh-option BatchMode=yes)
}

# A small tree with one of everything that repl promises to carry.
populate() {
  local at=$1
  mkdir -p "$at"
  python3 - "$at" <<'PYTHON'
import os, random, socket, stat, subprocess, sys
root = sys.argv[1]
os.chdir(root)
rng = random.Random(1)
os.makedirs("etc/conf.d"); os.makedirs("data/deep/" + "/".join("level%d" % i for i in range(40)))
os.makedirs("empty"); os.mkdir("sticky"); os.chmod("sticky", 0o1777)
os.mkdir("setgid"); os.chown("setgid", 0, 12); os.chmod("setgid", 0o2770)
for i in range(60):
    with open("etc/conf.d/%02d.conf" % i, "wb") as f: f.write(rng.randbytes(rng.randrange(0, 9000)))
with open("data/large", "wb") as f: f.write(rng.randbytes(3 << 20))
with open("data/block", "wb") as f: f.write(rng.randbytes(65536))
with open("data/block+1", "wb") as f: f.write(rng.randbytes(65537))
open("data/nothing", "wb").close()
with open("data/sparse", "wb") as f:
    f.truncate(8 << 20); f.seek(4 << 20); f.write(b"island"); 
os.link("data/large", "data/large.link"); os.link("data/block", "etc/block.link")
os.symlink("../data/large", "etc/to-large"); os.symlink("/nowhere/at all\n", "etc/dangling")
os.lchown("etc/dangling", 33, 33)
os.utime("etc/dangling", ns=(1, 1_234_567_890_123_456_789), follow_symlinks=False)
os.mkfifo("fifo", 0o640); os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
os.mknod("block-device", stat.S_IFBLK | 0o600, os.makedev(7, 99))
s = socket.socket(socket.AF_UNIX); s.bind("socket"); s.close()
for name in [b"newline\nname", b"invalid-\xff\xfe", b"esc\x1b[31m", b"-rf", b" leading", b"trailing ", b"back\\slash",
             b"star*?[x]", "ünïcödé".encode(), b"n" * 255, b"quote'\"$(x)`y`"]:
    with open(name, "wb") as f: f.write(name)
for i, mode in enumerate([0o600, 0o000, 0o4755, 0o2755, 0o777, 0o444]):
    with open("mode%d" % i, "w") as f: f.write("x")
    os.chown("mode%d" % i, 1000 + i, 2000 + i); os.chmod("mode%d" % i, mode)
with open("attributes", "w") as f: f.write("x")
for key, value in [("user.empty", b""), ("user.binary", b"\x00\xff"), ("trusted.t", b"t")]:
    os.setxattr("attributes", key, value)
os.setxattr("etc", "user.on-directory", b"d")
subprocess.run(["setfacl", "-m", "u:33:rw,g:12:r", "attributes"], check=True)
subprocess.run(["setfacl", "-m", "u:33:rwx,d:u:33:rx", "sticky"], check=True)
subprocess.run(["setcap", "cap_net_raw+ep", "mode4"], check=True)
os.utime("data/nothing", ns=(5, 987_654_321)); os.utime("data/block", ns=(5, 2_000_000_000_000_000_001))
os.utime("empty", ns=(7, 1_111_111_111_222_222_222))
PYTHON
}
