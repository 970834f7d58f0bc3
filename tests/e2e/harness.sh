#!/usr/bin/env bash
# The tests' own tools, without repl: hosts are apart, the wire cuts and joins, sshd answers, filesystems mount,
# and both judges can fail. cp -a stands
# in for the mirror (rsync leaves times alone that differ by less than a second).
. "$(dirname "$0")/lib.sh"

step "hosts with their own names and files"
node A ext4
node B xfs 400
[ "$(on A hostname)" = A ] && [ "$(on B hostname)" = B ] || fail "hostnames"
on A touch /etc/repl/of-a
on B test ! -e /etc/repl/of-a || fail "/etc/repl is shared"
[ ! -e "/etc/repl/of-a" ] || fail "/etc/repl leaks into the arena"
on B python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 7))
while True: data, peer = s.recvfrom(9000); s.sendto(data, peer)' &
reach() { # prints the round trip in ms
  on A python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5)
for i in range(3):
    began = time.monotonic(); s.sendto(b"x", (sys.argv[1], 7))
    try: s.recv(9)
    except OSError: continue
    print(int(1000 * (time.monotonic() - began))); sys.exit(0)
sys.exit(1)' "${ADDRESS[B]}"
}
wait_for 5 "network" reach

step "every kind of filesystem mounts"
for kind in tmpfs btrfs btrfs-subvolume overlay plain; do
  filesystem "$kind" "$W/try-$kind" 300
  touch "$W/try-$kind/x" || fail "$kind"
done

step "unplugged, then plugged"
unplug A
! reach || fail "unplugged, and packets arrive"
plug A
wait_for 5 "network" reach

step "the wire: 20 ms, cut, joined"
wire A B 20
before=$(wire_bytes A)
reach >/dev/null # the first has ARP and caches to fill
rtt=$(reach) || fail "no packet over the wire"
[ "$rtt" -ge 20 ] && [ "$rtt" -lt 60 ] || fail "round trip of $rtt ms"
[ "$(wire_bytes A)" -gt "$before" ] || fail "bytes on the wire are not counted"
wire_cut
! reach || fail "cut, and packets arrive"
wire_join
reach >/dev/null || fail "joined, and no packet arrives"

step "sshd"
sshd B
answer=$(on A ssh -p 2222 -i "$W/ssh/client" -o StrictHostKeyChecking=no -o UserKnownHostsFile="$W/ssh/known_hosts" \
  -o BatchMode=yes "root@${ADDRESS[B]}" hostname 2>/dev/null)
[ "$answer" = B ] || fail "ssh answered '$answer'"

step "equal trees are equal for both judges"
populate "$(tree A)"
copy() { rm -rf "$(tree B)" && cp -a --sparse=always "$(tree A)" "$(tree B)" || fail "cp"; }
copy
equal A B --holes

step "each difference is seen by treecmp, after which the trees are equal again"
differs() {
  local what=$1
  shift
  "$@" || fail "cannot make the difference: $what"
  if "$SUPPORT/treecmp" --holes "$(tree A)" "$(tree B)" >"$W/treecmp.out"; then fail "not seen: $what"; fi
  copy
  "$SUPPORT/treecmp" --holes "$(tree A)" "$(tree B)" >"$W/treecmp.out" || { cat "$W/treecmp.out"; fail "still differs"; }
}
b=$(tree B)
rewrite() { # same size, same mtime: only reading tells
  local stamp
  stamp=$(stat -c %y "$1")
  printf '%s' "$2" | dd of="$1" bs=1 seek=100 conv=notrunc status=none && touch -d "$stamp" "$1"
}
differs content rewrite "$b/data/block" zz
differs "a nanosecond" touch -d "@2000000000.000000002" "$b/data/block"
differs "symlink time" touch -h -d @5 "$b/etc/to-large"
differs mode chmod 640 "$b/mode0"
differs owner chown -h 5:5 "$b/etc/to-large"
differs target ln -sfn ../data/larger "$b/etc/to-large"
differs "user attribute" setfattr -n user.more -v 1 "$b/attributes"
differs "trusted attribute" setfattr -n trusted.t -v 2 "$b/attributes"
differs ACL setfacl -m u:34:r "$b/attributes"
differs "default ACL" setfacl -k "$b/sticky"
differs capability setcap -r "$b/mode4"
differs "missing name" rm "$b/data/large.link"
differs "extra name" touch "$b/extra"
differs "hard links" bash -c "cp -p '$b/data/large' '$b/data/x' && mv '$b/data/x' '$b/data/large.link'"
differs "device number" bash -c "rm '$b/null' && mknod -m 666 '$b/null' c 1 5"
differs type bash -c "rm '$b/fifo' && touch '$b/fifo'"
differs "directory time" touch -d @7 "$b/empty"
filled() { local stamp; stamp=$(stat -c %y "$1") && fallocate -l 8M "$1" && dd if=/dev/zero of="$1" bs=1M count=3 conv=notrunc status=none && touch -d "$stamp" "$1"; }
filled "$b/data/sparse"
"$SUPPORT/treecmp" --holes "$(tree A)" "$b" >/dev/null && fail "not seen: lost hole"
exit 0
