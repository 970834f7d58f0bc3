#!/usr/bin/env bash
# The same pair on every filesystem, and on unequal ones: first sync, live changes, restart, changes while away.
. "$(dirname "$0")/lib.sh"
round=0
pair() { # KIND_A KIND_B
  round=$((round + 1))
  local a=A$round b=B$round
  step "$1 → $2"
  NODES=()
  ip link del port1 2>/dev/null
  ip link del port2 2>/dev/null
  node "$a" "$1" 400
  node "$b" "$2" 400
  usual_config
  populate "$(tree "$a")"
  mkdir "$(tree "$b")"
  start_all
  ready "$a"
  equal "$a" "$b"
  local t
  t=$(tree "$a")
  mkdir "$t/live" && cp -a "$t/etc" "$t/live/" && mv "$t/live" "$t/alive" && rm -r "$t/data/deep"
  printf change | dd of="$t/data/large" bs=1 seek=1000000 conv=notrunc status=none
  echo append >>"$t/data/block"
  ln "$t/data/block" "$t/alive/block" && setfattr -n user.a -v b "$t/alive/block"
  settle "$a"
  equal "$a" "$b"
  stop "$a"
  mv "$t/alive" "$t/moved-while-away"
  echo away >"$t/moved-while-away/new"
  rm "$t/fifo"
  start "$a"
  ready "$a"
  equal "$a" "$b"
  echo "      watched by: $(status "$a" 's["watch_mode"]')"
  repl "$a" verify t || fail "verify on $1 → $2: status $?"
  stop "$a"
  stop "$b"
}
pair ext4 ext4
pair xfs xfs
pair btrfs btrfs
pair btrfs-subvolume btrfs-subvolume
pair tmpfs tmpfs
pair overlay overlay
pair ext4 xfs
exit 0
