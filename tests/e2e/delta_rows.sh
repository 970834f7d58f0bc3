#!/usr/bin/env bash
# What a change costs is the size of the change: every row of the table of methods, in bytes counted on the wire, and
# the replica judged after each.
#   delta_rows.sh [--kind ext4|xfs|btrfs] [ROW...]
kind=ext4
[ "${1:-}" = --kind ] && { kind=$2; shift 2; }
chosen=("$@")
set -- --kind "$kind" "$@"
. "$(dirname "$0")/lib.sh"
. "$HERE/cost.sh"
node A "$kind" 1200
node B "$kind" 1200
usual_config 'exclude = ["/of-nobody-else"]' 'max_delete = "off"' # a row removes most of what there is
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
start_all
ready A

large=$((32 * MIB))
place() { # NAME SEED [BYTES]: a file of incompressible bytes that the replica has
  content make "$a/$ROW/$1" "$2" "${3:-$large}" || fail "cannot make $1"
  settle A
}

row_metadata() {
  local f=$a/$ROW/f
  place f 1
  crosses chmod $small chmod 640 "$f"
  crosses chown $small chown 33:12 "$f"
  crosses touch $small touch -d '2001-02-03 04:05:06.789' "$f"
  crosses "an attribute" $small setfattr -n user.key -v value "$f"
  crosses "an ACL" $small setfacl -m u:33:rw "$f"
  crosses "touched without a change" $small touch "$f"
}

row_rename() {
  place f 2
  mkdir "$a/$ROW/d"
  content small "$a/$ROW/d" 3 1000 100 3000
  crosses "a file" $small mv "$a/$ROW/f" "$a/$ROW/g"
  crosses "into another directory" $small mv "$a/$ROW/g" "$a/$ROW/d/g"
  crosses "a directory of 1,000 files" $small mv "$a/$ROW/d" "$a/$ROW/e"
}

# Contents that the replica has under other names.
row_copy() {
  local d=$a/$ROW i
  save_over() { cp --reflink=never "$d/v1" "$W/A/fs/saved" && mv "$W/A/fs/saved" "$d/w4"; }
  restore() { for i in 1 2 3; do cp --reflink=never "$d/v$i" "$d/w$i" || return 1; done; }
  place f 4
  crosses "a copy" $framing together cp --reflink=never "$d/f" "$d/copy"
  for i in 1 2 3 4; do
    content make "$d/v$i" $((10 + i)) $((3 * MIB))
    content make "$d/w$i" $((20 + i)) $((3 * MIB))
  done
  settle A
  crosses "a copy over another file" $framing together cp --reflink=never "$d/f" "$d/v4"
  crosses "and by a rename" $framing together save_over
  crosses "a backup restored over three files" $framing together restore
}

row_moved_away_and_back() {
  local d=$a/$ROW
  place f 5
  away_and_back() { mv "$d/f" "$W/A/fs/away" && mv "$W/A/fs/away" "$d/g"; }
  crosses "within one cut" $framing together away_and_back
  # The replica has let go of it once the removal is durable: then it crosses whole, and nothing may be copied.
  crosses "away" $small mv "$d/g" "$W/A/fs/away"
  crosses "and back" "$(whole $large)" mv "$W/A/fs/away" "$d/h"
  at_least $large "what is gone on the replica was not sent"
}

# Contents that this node has and the replica has not, or has for itself: no source of a copy.
row_excluded() {
  content make "$a/of-nobody-else" 6 $large
  cp "$a/of-nobody-else" "$b/of-nobody-else"
  crosses "a copy of an excluded file" "$(whole $large)" cp "$a/of-nobody-else" "$a/$ROW/f"
  at_least $large "an excluded file was taken for known"
  rm "$a/of-nobody-else" "$b/of-nobody-else"
}

row_small_files() {
  local count=2000 bytes
  mkdir "$a/$ROW/made"
  bytes=$(content small "$a/$ROW/made" 7 $count 100 3000 && du -sb --apparent-size "$a/$ROW/made" | cut -f1)
  rm -rf "$a/$ROW/made"
  mkdir "$a/$ROW/made"
  # 150 bytes for a record: name, attributes, digest. Fewer packets than files: nothing is sent file by file.
  crosses "$count files made one by one" $((bytes + 150 * count + framing)) together \
    content small "$a/$ROW/made" 7 $count 100 3000
  at_least $((bytes - 12 * 4096)) "incompressible contents were not sent" # du counts directories
  [ $PACKETS -le $count ] || broken "$PACKETS packets for $count files"
}

row_append() {
  local f=$a/$ROW/log
  place log 8
  crosses "1 MiB appended" $((MIB + block + framing)) content append "$f" 9 $MIB
  at_least $MIB "the tail was not sent"
  crosses "and 100 bytes" $((block + framing)) content append "$f" 10 100
  # 15 %: a cut each few milliseconds, each with its record, its acknowledgements and the rest of a block.
  crosses "30 MB appended at 10 MB/s" $((30 * MIB * 115 / 100)) content stream "$f" 11 $((30 * MIB)) 300 0.01
  at_least $((30 * MIB)) "the tail was not sent"
}

row_rotate() {
  local d=$a/$ROW
  place log 12
  rotate() { mv "$d/log" "$d/log.1" && content append "$d/log" 13 $((100 * KIB)); }
  crosses "rotated" $((100 * KIB + framing)) rotate
  # Writers keep log.1 open until they are told.
  exec 7>>"$d/log"
  rotate_open() {
    mv "$d/log.1" "$d/log.2" && mv "$d/log" "$d/log.1" && head -c $MIB "$d/log.2" >&7 &&
      content append "$d/log" 14 $((100 * KIB))
  }
  crosses "rotated under an open writer" $((MIB + 200 * KIB + block + framing)) rotate_open
  exec 7>&-
}

row_truncate() {
  local f=$a/$ROW/log
  place log 15
  regrow() { truncate -s $((large / 2 + 1000)) "$f" && content append "$f" 16 $MIB; }
  crosses "truncated to half and 1 MiB appended" $((MIB + block + framing)) together regrow
  copytruncate() { cp --reflink=never "$f" "$f.1" && truncate -s 0 "$f" && content append "$f" 17 $((100 * KIB)); }
  crosses "copied and truncated" $((100 * KIB + framing)) together copytruncate
  crosses "regrown with other content" "$(whole $((2 * MIB)))" content append "$f" 18 $((2 * MIB))
}

row_in_place() {
  local f=$a/$ROW/f
  place f 19
  crosses "16 × 64 KiB, aligned" $((16 * block + framing)) together content overwrite "$f" 20 16 $block
  at_least $((16 * block)) "the new blocks were not sent"
  # Each touches two blocks; whether the untouched parts of them cross is the delta's choice.
  crosses "16 × 64 KiB, unaligned" $((32 * block + framing)) together content overwrite "$f" 21 16 $block 5000
  at_least $((16 * block)) "the new bytes were not sent"
  crosses "8 × 100 bytes" $((8 * block + framing)) together content overwrite "$f" 22 8 100 777
  crosses "the same bytes written again" $framing together content overwrite "$f" 22 8 100 777
}

# A shifted file: the first time a signature may come from the replica, at most 0.5 % of the file. Per place the new
# bytes and at most two rolling blocks, which are no longer than a block.
row_shift() {
  local f=$a/$ROW/f edit=$((KIB + 2 * block)) signature=$((large / 200)) none=$((24 * KIB))
  place f 23
  crosses "1 KiB inserted at the front" $((edit + signature + framing)) together content insert "$f" 24 $KIB 0
  came_at_most $((signature + none)) "a signature is smaller"
  ready_for_shift
  crosses "then in the middle" $((edit + framing)) together content insert "$f" 25 $KIB 50
  came_at_most $none "a signature travelled, and the sender could have had one"
  ready_for_shift
  crosses "near the end" $((edit + framing)) together content insert "$f" 26 $KIB 99
  came_at_most $none "a signature travelled, and the sender could have had one"
  ready_for_shift
  crosses "1 KiB deleted at the front" $((edit + framing)) together content delete "$f" $KIB 0
  came_at_most $none "a signature travelled, and the sender could have had one"
  ready_for_shift
  crosses "in the middle" $((edit + framing)) together content delete "$f" $KIB 50
  came_at_most $none "a signature travelled, and the sender could have had one"
  ready_for_shift
  crosses "at the end" $((edit + framing)) together content delete "$f" $KIB 100
  ready_for_shift
  crosses "inserted at five places" $((5 * edit + framing)) together content insert "$f" 27 $KIB 5 25 45 65 85
  came_at_most $none "a signature travelled, and the sender could have had one"
}
ready_for_shift() { sleep 4; }

row_sparse() {
  local f=$a/$ROW/f tib=$((1 << 40)) island=$((100 * KIB))
  JUDGE=same_islands
  same_islands() {
    content same "$f" "$b/$ROW/f" || return 1
    local blocks
    blocks=$(stat -c %b "$b/$ROW/f") # of 512 bytes; a filesystem may round an island up at both ends
    [ "$blocks" -le $(($(stat -c %b "$f") + 8 * block / 512)) ] || { echo "$blocks blocks on the replica"; return 1; }
  }
  crosses "1 TiB with three islands" $((3 * (island + 2 * block) + framing)) \
    content islands "$f" 28 $tib $island 0 50 100
  at_least $((3 * island)) "the islands were not sent"
  # Its table of blocks would be 256 MiB: what is not a hole travels again.
  crosses "a fourth island" $((4 * (island + 2 * block) + framing)) content islands "$f" 29 $tib $island 25
  crosses "an island punched out" $((3 * (island + 2 * block) + framing)) \
    fallocate -p -o $((tib / 4 / 100 * 100 - island)) -l $((3 * island)) "$f"
  rm "$f"
  settle A
  JUDGE=
  place f 30
  punched() { fallocate -p -o $((4 * MIB)) -l $((8 * MIB)) "$f"; }
  crosses "8 MiB punched out of 32" $framing punched
  [ "$(stat -c %b "$b/$ROW/f")" -le $((25 * MIB / 512)) ] || broken "the hole is not one on the replica"
  crosses "1 MiB of it filled" $((MIB + 2 * block + framing)) \
    dd if="$f" of="$f" bs=1M count=1 skip=20 seek=5 conv=notrunc status=none
}

row_whole() {
  place nothing 31 1
  crosses "incompressible" "$(whole $large)" content make "$a/$ROW/f" 32 $large
  at_least $large "fewer bytes than the file has: this test counts wrongly"
  # Words of two to nine letters out of 3,000: half is what the fastest level leaves.
  crosses "text" $((8 * MIB)) content text "$a/$ROW/text" 33 $((16 * MIB))
}

[ ${#chosen[@]} -gt 0 ] || chosen=(metadata rename copy moved_away_and_back excluded small_files append rotate truncate
  in_place shift whole sparse)
rows "${chosen[@]}"
