#!/usr/bin/env bash
# What a disk, a limit or a link refuses: nothing is acknowledged that is not there, the reason is in `repl status` and,
# not over and over, in the log; other trees and peers go on; and once it is put right all becomes equal without a person.
#   faults.sh [ROW...]
# A row has hosts of its own: A is the primary of t (peers B and C) and of u (peer B), and B is what suffers.
all=(small stage index inodes quota read_only descriptors memory dead_disk failed_sync primary_state
  never_acks flapping)
[ "${1:-}" = --list ] && { echo "${all[@]}"; exit 0; }
[ $# -gt 0 ] || set -- "${all[@]}"
if [ $# -gt 1 ]; then
  bad=()
  for row; do "$0" "$row" || bad+=("$row"); done
  [ ${#bad[@]} = 0 ] && exit 0
  echo "$(basename "$0"): these rows failed: ${bad[*]}" >&2
  exit 1
fi
ROW=$1
. "$(dirname "$0")/lib.sh"
declare -F "row_$ROW" >/dev/null || case " ${all[*]} " in *" $ROW "*) ;; *) fail "no row $ROW; there are: ${all[*]}" ;; esac
QUIET_SECONDS=${QUIET_SECONDS:-6} # for so long the log and the processor time of a fault are counted

# hosts [MIB_OF_B [KIND_OF_B]]: both trees on their nodes, everything in sync.
hosts() {
  node A ext4 400
  node B "${2:-ext4}" "${1:-64}"
  node C ext4 400
  a=$(tree A) b=$(tree B) c=$(tree C)
  local name
  for name in A B; do
    mkdir -p "$W/$name/other" /mnt/other
    mount -t tmpfs tmpfs "$W/$name/other"
    on "$name" mount --bind "$W/$name/other" /mnt/other
    mkdir "$W/$name/other/tree"
  done
  if [ -n "${SMALL_STATE:-}" ]; then # on this node the state of t, and of t alone, is on a small filesystem
    filesystem ext4 "$W/$SMALL_STATE/state/t" 24
    on "$SMALL_STATE" mount --bind "$W/$SMALL_STATE/state/t" /var/lib/repl/t
  fi
  config < <(printf '[tree.t]\nroot = "%s"\nnodes = ["A", "B", "C"]\nport = 7421\n' "$TREE"
    printf '[tree.u]\nroot = "/mnt/other/tree"\nnodes = ["A", "B"]\nport = 7422\n')
  mkdir "$a" "$b" "$c"
  echo one >"$a/one"
  start A t u
  start B t u
  start C t
  ready A
  ready A u
}
bytes() { head -c "$1" /dev/urandom; }
# Enters the tree whole, so that no version of it that is still being written crosses.
place() { # NAME BYTES
  bytes "$2" >"$W/A/fs/placed" && mv "$W/A/fs/placed" "$a/$1"
}
fill() { # DIR [LEAVE_KIB]: no more room than that for anybody
  cat /dev/zero >"$1/ballast" 2>/dev/null
  sync -f "$1" && cat /dev/zero >>"$1/ballast" 2>/dev/null # what was set aside for delayed allocation
  truncate -s "-${2:-0}K" "$1/ballast"
}

says() { # NODE PATTERN: people are told, and so are programs
  local text json # its exit code is 3 where something is held
  text=$(repl "$1" status t)
  json=$(repl "$1" status t --json)
  grep -qE "$2" <<<"$text" && grep -qE "$2" <<<"$json"
}
# What it said most often since its last start, without the time.
loudest() { # NODE
  sed -n '/^--- start/h;/^--- start/!H;${x;p}' "$W/$1/log/daemon" | cut -d' ' -f2- | sort | uniq -c | sort -rn | head -1
}
cpu_ms() { # NODE: processor time of its daemon
  awk -v hz="$(getconf CLK_TCK)" '{ print int(($14 + $15) * 1000 / hz) }' "/proc/${DAEMON[$1]}/stat"
}
peak_mib() { awk '/VmHWM/ { print int($2 / 1024) }' "/proc/${DAEMON[$1]}/status"; }
# quiet [MS]: while the fault lasts neither daemon says the same over and over, nor keeps a processor busy.
quiet() {
  local name line took
  local -A before=()
  for name in A B; do before[$name]=$(cpu_ms "$name"); done
  sleep "$QUIET_SECONDS"
  for name in A B; do
    took=$(($(cpu_ms "$name") - before[$name]))
    line=$(loudest "$name")
    step "  $name: $took ms of processor time in $QUIET_SECONDS s; most often said:$line"
    read -r times line <<<"$line"
    [ "$times" -le 4 ] || fail "$name fills its log, $times times: $line"
    [ "$took" -le "${1:-$((QUIET_SECONDS * 250))}" ] || fail "$name is busy doing nothing: $took ms in $QUIET_SECONDS s"
  done
}
unacknowledged() { # nothing says that B has it
  if repl A wait t --for durable --timeout 1 >"$W/wait.out" 2>&1; then fail "wait says durable, and B has not got it"; fi
}
others_go_on() { # another peer, another tree
  echo "$RANDOM$RANDOM" >"$a/for-c"
  wait_for 20 "C goes on" cmp -s "$a/for-c" "$c/for-c"
  [ -n "${ONE_PROCESS:-}" ] && return
  echo "$RANDOM$RANDOM" >"$W/A/other/tree/for-u"
  settle A u 20
  cmp -s "$W/A/other/tree/for-u" "$W/B/other/tree/for-u" || fail "tree u says durable, and has it not"
}
# suffers PATTERN [PATTERN_OF_A]: B does, for this reason.
suffers() {
  wait_for 20 "B says why" says B "$1"
  wait_for 20 "A says why B lags" says A "${2:-$1}"
  unacknowledged
  others_go_on
  grep -qE "$1" "$W/B/log/daemon" || fail "the log of B does not say why"
  running A || fail "the daemon of A died"
  running B || fail "the daemon of B died"
  quiet
  says B "$1" || fail "the status of B forgot why"
  says A "${2:-$1}" || fail "the status of A forgot why"
  unacknowledged
}
silent() { ! says "$1" "$2"; }
# recovers [PATTERN]: without a person; and afterwards no status speaks of it. (Between B and C `last error` says that
# neither is a primary, so only A is asked for errors of any kind.)
recovers() {
  settle A t 90
  settle A u 20
  equal A B
  equal A C
  wait_for 10 "A no longer complains of what is over" silent A "${1:-last error: |\"last_error\": ?\"[^\"]}"
  [ $# = 0 ] || wait_for 10 "B no longer complains of what is over" silent B "$1"
  repl A verify t --full >"$W/verify" 2>&1 || { cat "$W/verify"; fail "verify"; }
}

FULL='[Nn]o space left'
row_small() {
  hosts 48
  fill "$W/B/fs" 512
  for i in $(seq 200); do bytes 8000 >"$a/small$i"; done
  suffers "$FULL"
  step "killed in the middle of it, and room made"
  stop B KILL
  start B t u
  rm "$W/B/fs/ballast"
  recovers "$FULL"
}
row_stage() {
  hosts 48
  fill "$W/B/fs" 12000
  place large 24000000
  suffers "$FULL"
  [ ! -e "$b/large" ] || fail "a part of a file is visible"
  rm "$W/B/fs/ballast"
  recovers "$FULL"
}
overfill_state() { # HOST: its state has no room for what is made now
  SMALL_STATE=$1
  hosts
  fill "$W/$1/state/t"
  mkdir "$a/many"
  for i in $(seq 3000); do echo "$i" >"$a/many/a-name-that-takes-some-room-in-the-index-$i"; done
}
row_index() {
  overfill_state B
  suffers "the disk is full|$FULL"
  rm "$W/B/state/t/ballast"
  recovers "the disk is full|$FULL"
}
row_inodes() {
  hosts 64 few-inodes
  mkdir "$W/B/fs/ballast"
  for i in $(seq 5000); do : >"$W/B/fs/ballast/$i" || break; done 2>/dev/null
  mkdir "$a/d"
  for i in $(seq 20); do echo "$i" >"$a/d/$i"; done
  suffers "$FULL"
  rm -r "$W/B/fs/ballast"
  recovers "$FULL"
}
row_quota() {
  hosts 256 btrfs
  btrfs quota enable "$W/B/fs" && btrfs qgroup limit 24M "$W/B/fs" || fail "no quota here"
  sync -f "$W/B/fs"
  place large 40000000
  suffers 'quota'
  btrfs qgroup limit none "$W/B/fs"
  recovers 'quota'
}
row_read_only() {
  hosts
  mount -o remount,ro "$W/B/fs" || fail "cannot remount"
  for i in $(seq 20); do bytes 3000 >"$a/f$i"; done
  rm "$a/one"
  suffers '[Rr]ead-only'
  mount -o remount,rw "$W/B/fs"
  recovers '[Rr]ead-only'
}
# The limit is lowered under the running daemon to what it has open, up to the first that is free.
row_descriptors() {
  ONE_PROCESS=1
  hosts
  local pid=${DAEMON[B]} limits free=0
  limits=$(prlimit --pid "$pid" --nofile --output SOFT,HARD --noheadings | tr -s ' ' ':')
  while [ -e "/proc/$pid/fd/$free" ]; do free=$((free + 1)); done
  step "  $free of its descriptors and two more"
  prlimit --pid "$pid" --nofile="$((free + 2)):" || fail "prlimit"
  mkdir -p "$a"/d{1..40}/e
  for i in $(seq 40); do echo "$i" >"$a/d$i/e/f"; done
  wait_for 20 "A says why B lags" says A '[Dd]escriptors|Too many open files'
  unacknowledged
  others_go_on
  running B || fail "the daemon of B died"
  quiet
  unacknowledged
  prlimit --pid "$pid" --nofile="${limits#:}" || prlimit --pid "$pid" --nofile=65536:
  recovers
}
# Too little address space for the index: the trees hold and say so, and open when there is enough. Then so little that
# the daemon ends in the middle of a cut: systemd starts it again.
row_memory() {
  ONE_PROCESS=1
  hosts 256
  stop B
  WRAP=(prlimit --as=$((900 << 20)):)
  start B t u
  WRAP=()
  wait_for 20 "B answers" answers B t
  wait_for 20 "B says why" says B 'memory'
  echo more >"$a/more"
  unacknowledged
  quiet
  prlimit --pid "${DAEMON[B]}" --as=unlimited: || fail "prlimit"
  recovers
  step "  no memory in the middle of a cut"
  prlimit --pid "${DAEMON[B]}" --as="$(($(awk '/VmSize/ { print $2 }' "/proc/${DAEMON[B]}/status") * 1024 + (1 << 20))):"
  mkdir "$W/A/fs/many"
  bytes 60000000 | split -b 240000 - "$W/A/fs/many/"
  mv "$W/A/fs/many" "$a/many"
  wait_for 20 "C has it" test -e "$c/many/zz" -o -e "$c/many/jp"
  sleep 2
  if running B; then
    step "  it lived"
    prlimit --pid "${DAEMON[B]}" --as=unlimited:
  else
    step "  it ended"
    unset "DAEMON[B]"
    start B t u
  fi
  recovers
}
# EIO everywhere, as after a failed journal: the filesystem is shut down, and mounted again. (The kernel has no
# device mapper here.)
row_dead_disk() {
  hosts
  place before 3000000
  settle A
  xfs_io -x -c shutdown "$W/B/fs" || fail "cannot shut it down"
  for i in $(seq 20); do bytes 3000 >"$a/f$i"; done
  suffers 'Input/output error|disk fails'
  step "  mounted again"
  local loop image
  loop=$(awk -v at="$W/B/fs" '$2 == at { print $1 }' /proc/self/mounts | tail -1)
  image=$(losetup --noheadings --output BACK-FILE "$loop")
  umount -l "$W/B/fs" && on B umount -l /mnt/fs || fail "cannot unmount"
  wait_for 20 "the disk is let go" bash -c "! losetup $loop"
  mount -o loop "$image" "$W/B/fs" || fail "cannot mount it again"
  on B mount --bind "$W/B/fs" /mnt/fs
  recovers 'Input/output error'
}
# A sync that fails once: Linux tells it once, and what was applied may be lost.
row_failed_sync() {
  hosts
  stop B
  WRAP=(strace -f -qq -e trace=fsync,syncfs,fdatasync -e inject=fsync,syncfs:error=EIO:when=12..16 -o /dev/null)
  start B t u
  WRAP=()
  ready A
  for i in $(seq 12); do
    bytes 3000 >"$a/f$i"
    [ "$i" -gt 6 ] || settle A t 60
  done
  wait_for 20 "the log of B says why" grep -q 'may not be on the disk: .*Input/output error' "$W/B/log/daemon"
  others_go_on
  recovers
  grep -q 'may not be on the disk' "$W/B/log/daemon" || fail "no sync failed: the test does not test"
  unset 'DAEMON[B]'
}
row_primary_state() {
  overfill_state A
  wait_for 30 "A says why" says A 'the index cannot be written'
  running A || fail "the daemon of A died"
  step "  changes flow meanwhile"
  wait_for 20 "B has the last" test -e "$b/many/a-name-that-takes-some-room-in-the-index-3000"
  others_go_on
  quiet
  rm "$W/A/state/t/ballast"
  recovers 'cannot be written'
  step "killed while it is full"
  fill "$W/A/state/t"
  for i in $(seq 500); do echo "$i again" >"$a/many/a-name-that-takes-some-room-in-the-index-$i"; done
  wait_for 30 "A says why" says A 'the index cannot be written'
  stop A KILL
  start A t u
  rm "$W/A/state/t/ballast"
  ready A
  recovers 'cannot be written'
}
# The disk of B hangs: its connection stands, and reads what it is sent, but nothing is acknowledged.
row_never_acks() {
  hosts 200
  place warm 1000000
  settle A
  local before
  before=$(peak_mib A)
  fsfreeze -f "$W/B/fs" || fail "cannot freeze"
  for i in $(seq 12); do
    place "large$i" 12000000
    for j in $(seq 50); do bytes 20000 >"$a/small$i.$j"; done
  done
  wait_for 60 "C has all of it" cmp -s "$a/large12" "$c/large12"
  others_go_on
  repl A status t
  connected A || fail "B is no longer connected: this test shows nothing"
  unacknowledged
  quiet
  local name
  for name in A B C; do step "  $name: $(peak_mib "$name") MiB at most (A had $before before)"; done
  [ "$(peak_mib A)" -le $((before + 150)) ] || fail "A keeps what B does not take"
  fsfreeze -u "$W/B/fs"
  recovers
  quiet
}
row_flapping() {
  hosts 200
  place warm 1000000
  settle A
  local began_ms before i
  began_ms=$(($(date +%s%N) / 1000000)) before=$(cpu_ms A)
  for i in $(seq 12); do
    place "large$((i % 3))" 8000000
    echo "$i" >"$a/count"
    sleep 0.4
    on B ss -K dst "${ADDRESS[A]}" >/dev/null 2>&1 # the kernel resets the connections; then nobody answers
    unplug B
    sleep 0.7
    plug B
  done
  step "  A: $(($(cpu_ms A) - before)) ms of processor time in $(($(date +%s%N) / 1000000 - began_ms)) ms, $(peak_mib A) MiB at most"
  [ "$(peak_mib A)" -le 300 ] || fail "A grows with every connection"
  grep -c "connection with B closed" "$W/A/log/daemon" >/dev/null || fail "no connection was lost: this test shows nothing"
  others_go_on
  quiet
  recovers
  quiet $((QUIET_SECONDS * 50))
}

step "$ROW"
"row_$ROW"
exit 0
