#!/usr/bin/env bash
# The two hosts of one cell: filesystems and wire are new, and all of it ends with this script. bench.py says what is
# wanted in BENCH_*; cell.py does the work and writes its result to BENCH_RESULT.
. "$(dirname "$0")/../../tests/e2e/lib.sh"
node A "$BENCH_FILESYSTEM" "$BENCH_MIB"
node B "$BENCH_FILESYSTEM" "$BENCH_MIB"
# shellcheck disable=SC2086  # RTT_MS LOSS RATE_MBIT
[ -z "${BENCH_WIRE:-}" ] || wire A B $BENCH_WIRE
usual_config 'max_delete = "off"' # what is removed there is nearly all there is
[ -z "${BENCH_SSH:-}" ] || sshd B
export BENCH_HOLDER_A=${HOLDER[A]} BENCH_HOLDER_B=${HOLDER[B]} BENCH_ADDRESS_A=${ADDRESS[A]} \
  BENCH_ADDRESS_B=${ADDRESS[B]} BENCH_FINGERPRINT_A=${FINGERPRINT[A]} BENCH_W=$W BENCH_REPL=$REPL \
  BENCH_TREECMP=$SUPPORT/treecmp
python3 "$HERE/../../bench/e2e/cell.py" || fail "cell"
exit 0
