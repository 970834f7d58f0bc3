# cost.sh: what a change costs, in bytes counted on the interface. Source it behind lib.sh.
#
# A script is a list of functions, its rows, each with a directory of its own below the tree; `rows` runs those that
# the command line names, or all. Within a row `crosses` makes a change, waits until it is durable on the replica, and
# holds what crossed meanwhile against a bound; then both judges must find that directory equal. A row that costs too
# much is told, the others still run, and the script fails at its end.
#
# Bounds are made of: the bytes that are new (B below), 64 KiB for each block that a change touches only in part, and
# `framing`. `whole` is what crosses when nothing is saved: 1 % for TLS records (22 bytes in 16 KiB), TCP and its
# acknowledgements, frames and records.
KIB=1024 MIB=1048576
block=65536
framing=$((40 * KIB)) # records, acknowledgements, TLS and TCP of one or of a few cuts; heartbeats meanwhile
small=$((8 * KIB))    # one record and its three acknowledgements, each in packets of their own
whole() { echo $(($1 + $1 / 100 + framing)); }

# Counters of A's links: bytes received, packets received, bytes sent, packets sent.
counters() {
  on A awk -F'[: ]+' '/eth0|nl0/ { sub(/^ +/, ""); split($0, f, /[: ]+/); a += f[2]; b += f[3]; c += f[10]; d += f[11] }
    END { print a + 0, b + 0, c + 0, d + 0 }' /proc/net/dev
}

FAILED=()
broken() { # WHAT: this row failed; the next is still run
  FAILED+=("$ROW: $*")
  step "  FAILED $ROW: $*"
}
# equal_row: both judges over the row's directory. JUDGE replaces them where a file is too large to be read.
equal_row() {
  if [ -n "${JUDGE:-}" ]; then
    "$JUDGE" || broken "the replica differs"
  else
    judge "$a/$ROW" "$b/$ROW" >"$W/judge.out" 2>&1 || {
      cat "$W/judge.out"
      broken "the replica differs"
    }
  fi
}
# crosses WHAT BYTES COMMAND...: the command's changes cost at most BYTES, both ways together. Afterwards CROSSED, CAME
# (from the replica) and PACKETS (both ways) say what was counted. `at_least BYTES` follows where fewer would be wrong.
crosses() {
  local what=$1 bound=$2 before after
  shift 2
  settle A
  read -ra before < <(counters)
  "$@" || fail "$ROW: cannot do: $*"
  settle A
  read -ra after < <(counters)
  CAME=$((after[0] - before[0]))
  CROSSED=$((CAME + after[2] - before[2]))
  PACKETS=$((after[1] + after[3] - before[1] - before[3]))
  step "  $what: $CROSSED of $bound bytes ($CAME came back, $PACKETS packets)"
  [ "$CROSSED" -le "$bound" ] || broken "$what cost $CROSSED bytes, more than $bound"
  equal_row
}
at_least() { # BYTES WHY
  [ "$CROSSED" -ge "$1" ] || broken "only $CROSSED bytes crossed: $2"
}
came_at_most() { # BYTES WHAT
  [ "$CAME" -le "$1" ] || broken "$CAME bytes came from the replica: $2"
}
# together COMMAND...: the sender sees all of it at once: it is stopped meanwhile.
together() {
  local status
  kill -STOP "${DAEMON[A]}"
  "$@"
  status=$?
  kill -CONT "${DAEMON[A]}"
  return "$status"
}
content() { SCRATCH=$W/A/fs python3 "$HERE/content.py" "$@"; }

run_row() {
  step "$ROW"
  mkdir "$a/$ROW"
  "row_$ROW"
  JUDGE=
  rm -rf "${a:?}/$ROW"
}
# A cut may fall into the middle of the writing, and what was read then is read again: a row that cost too much has a
# second try.
rows() { # NAME...: those rows; then the verdict
  local failed
  for ROW in "$@"; do
    failed=${#FAILED[@]}
    run_row
    [ ${#FAILED[@]} = "$failed" ] && continue
    step "  once more"
    FAILED=("${FAILED[@]:0:$failed}")
    settle A
    run_row
  done
  settle A
  equal A B
  [ ${#FAILED[@]} = 0 ] && return 0
  printf '%s\n' "${FAILED[@]}" >&2
  fail "${#FAILED[@]} of the bounds do not hold"
}
