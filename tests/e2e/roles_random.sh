#!/usr/bin/env bash
# Random roles, deaths and partitions over three nodes; every version ever written is unique. In the end all are brought
# together with the documented commands, and each version is in the trees, was seen by whoever overwrote it, or is kept
# aside on some node.
#   tests/e2e/roles_random.sh [--seed N] [--rounds N]
SEED=$RANDOM ROUNDS=60
arguments=("$@")
while [ $# -gt 0 ]; do
  case "$1" in
    --seed) SEED=$2 ;;
    --rounds) ROUNDS=$2 ;;
    *) echo "usage: $0 [--seed N] [--rounds N]" >&2; exit 2 ;;
  esac
  shift 2
done
set -- ${arguments[@]+"${arguments[@]}"}
case " $* " in *" --seed "*) ;; *) set -- --seed "$SEED" "$@" ;; esac
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
node C ext4
usual_config 'on_alone_after = 2'
for name in A B C; do mkdir "$(tree "$name")"; done
for i in 0 1 2 3 4 5 6 7; do echo "first-$i" >"$(tree A)/f$i"; done
start_all
ready A
step "seed $SEED, $ROUNDS rounds"
RANDOM=$SEED
version=0
pick() { picked=${NODES[RANDOM % 3]}; }
write() { # NODE: an unique version over what its user saw there
  local path
  path=$(tree "$1")/f$((RANDOM % 8))
  version=$((version + 1))
  local seen
  seen=$(cat "$path" 2>/dev/null)
  echo "version-$version-$1" >"$path"
  echo "version-$version-$1 $seen" >>"$W/written"
}
command() { # what is refused is no fault; a daemon that dies is
  echo "[$(elapsed)] $*" >>"$W/A/log/actions"
  timeout 20 nsenter --target "${HOLDER[$1]}" --mount --net --uts --wdns=/ -- "$REPL" "${@:2}" \
    </dev/null >>"$W/A/log/actions" 2>&1
}
# A few paths that were changed there while it followed are held alone: catching up leaves them to `approve`.
together() { # NODE
  repl "$1" catchup --from A t --yes && return
  local status=$?
  [ "$status" = 3 ] && repl "$1" approve t
  return "$status"
}
alive() {
  local name
  for name in "${!DAEMON[@]}"; do
    running "$name" || fail "the daemon of $name ended by itself (seed $SEED)"
  done
}
for ((round = 0; round < ROUNDS; ++round)); do
  pick
  n=$picked
  pick
  other=$picked
  case $((RANDOM % 16)) in
    0) command "$n" promote t ;;
    1) command "$n" promote t --force ;;
    2) command "$n" demote t ;;
    3) [ "$n" = "$other" ] || command "$n" switchover t --to "$other" ;;
    4) [ -z "${DAEMON[$n]:-}" ] || stop "$n" KILL ;;
    5) [ -z "${DAEMON[$n]:-}" ] || stop "$n" ;;
    6 | 7) [ -n "${DAEMON[$n]:-}" ] || start "$n" ;;
    8) unplug "$n" ;;
    9 | 10) plug "$n" ;;
    11) [ "$n" = "$other" ] || command "$n" catchup --from "$other" t --yes ;;
    12) write "$n" ;;
    *) for name in A B C; do
         if repl "$name" role t >/dev/null 2>&1; then for _ in 1 2 3; do write "$name"; done; fi
       done ;;
  esac
  alive
  sleep "0.$((RANDOM % 4))"
done

step "healed: C's side gives way to A, and catches up"
for name in A B C; do
  plug "$name"
  [ -n "${DAEMON[$name]:-}" ] || start "$name"
done
for name in A B C; do wait_for 60 "$name answers" answers "$name" t; done
for name in A B C; do wait_for 90 "$name hears the others" connected "$name"; done
wait_for 60 "A is promoted" repl A promote t --force
for name in B C; do
  command "$name" demote t
  wait_for 90 "$name hears A" connected "$name"
  wait_for 90 "$name catches up" together "$name"
done
settle A
alive
equal A B
equal A C
python3 - "$W" <<'PYTHON' || fail "a version is lost (seed $SEED)"
import os, sys
top = sys.argv[1]
written, seen = [], set()
if os.path.exists(top + "/written"):
    for line in open(top + "/written"):
        made, _, before = line.rstrip("\n").partition(" ")
        written.append(made); seen.add(before)
there = set()
for name in "ABC":
    for at, _, files in os.walk(top + "/" + name + "/fs"):
        for f in files:
            try: there.add(open(os.path.join(at, f), errors="replace").read().strip())
            except OSError: pass
lost = [v for v in written if v not in there and v not in seen]
print(f"{len(written)} versions, {len(seen)} seen and overwritten, lost: {lost}")
sys.exit(bool(lost))
PYTHON
