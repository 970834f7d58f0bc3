#!/usr/bin/env bash
# What a delta is made against is not what it should be: the replica's file was changed, or one of the stores that the
# choice rests on is lost, damaged, or of another version. The price is an exchange, or the whole file, or a hold; never
# a wrong replica.
#   delta_base_damaged.sh [ROW...]
. "$(dirname "$0")/lib.sh"
. "$HERE/cost.sh"
chosen=("$@")
node A ext4 1200
node B ext4 1200
usual_config
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
start_all
ready A

large=$((24 * MIB))
edit=$((8 * block + framing)) # 8 blocks
whole_file=$(whole $large)
place() { # SEED
  content make "$a/$ROW/f" "$1" $large || fail "cannot make the file"
  settle A
}
index() { echo "$W/$1/state/t/index"; }
table_blocks=7 # docs/INDEX_FORMAT.md
damaged() { # NODE EDIT TABLE [BYTE]: while its daemon is down
  local name=$1
  shift
  stop "$name"
  python3 "$HERE/index_edit.py" "$1" "$(index "$name")" "${@:2}" || fail "cannot damage the index of $name"
  start "$name"
  ready A
}
begin_again() { # what a person does with a replica that cannot go on
  stop B
  find "$b" -mindepth 1 -delete
  rm -rf "$(index B)"
  start B
  settle A
}
held() { status_is B 's["held_keys_total"] == 1'; }
not_held() { status_is B 's["held_keys_total"] == 0'; }
# What was changed on the replica is held, not overwritten, and not used; a person lets the primary's version in.
held_then_approved() {
  local local_version
  wait_for 30 "B holds the file" held
  local_version=$(md5sum <"$b/$ROW/f")
  content overwrite "$a/$ROW/f" 900 8 $block
  repl A wait t --for applied --timeout 20 >"$W/wait.out" 2>&1
  [ $? = 3 ] || broken "repl wait does not say that something is held"
  [ "$(md5sum <"$b/$ROW/f")" = "$local_version" ] || broken "a changed file was overwritten"
  read -ra before < <(counters)
  repl B approve t >"$W/approve.out" || broken "approve: status $?"
  wait_for 30 "nothing is held" not_held
  settle A
  read -ra after < <(counters)
  step "  approved: $((after[2] - before[2])) bytes went"
  [ $((after[2] - before[2])) -ge $large ] || broken "a delta was made against what somebody had changed"
  equal_row
}

row_replica_changed() {
  place 1
  content overwrite "$b/$ROW/f" 100 3 1000
  held_then_approved
}
row_replica_changed_while_down() {
  local stamp
  place 2
  stop B
  stamp=$(stat -c %y "$b/$ROW/f")
  content overwrite "$b/$ROW/f" 101 3 1000
  touch -d "$stamp" "$b/$ROW/f" # only ctime tells
  start B
  held_then_approved
}

row_block_tables_lost() {
  place 3
  damaged A drop $table_blocks
  crosses "the sender's: an edit" $((edit + large / 4096)) content overwrite "$a/$ROW/f" 102 8 $block # 16 of 65536
  damaged B drop $table_blocks
  crosses "the receiver's: an edit" $edit content overwrite "$a/$ROW/f" 103 8 $block
  crosses "an append" $((MIB + block + framing)) content append "$a/$ROW/f" 104 $MIB
  damaged A drop $table_blocks
  damaged B drop $table_blocks
  crosses "both: an edit" "$whole_file" content overwrite "$a/$ROW/f" 105 8 $block
}
row_block_tables_damaged() {
  local was
  place 4
  damaged A flip $table_blocks
  crosses "the sender's: an edit" "$whole_file" content overwrite "$a/$ROW/f" 106 8 $block
  # The receiver stops and says what to do, with the last durable version in place.
  damaged B flip $table_blocks
  was=$(md5sum <"$b/$ROW/f")
  content overwrite "$a/$ROW/f" 107 8 $block
  says_damaged() { grep -q "is damaged (block table .*stop repl and delete the directory" "$W/B/log/daemon"; }
  wait_for 30 "the receiver says that its index is damaged" says_damaged
  [ "$(md5sum <"$b/$ROW/f")" = "$was" ] || cmp -s "$a/$ROW/f" "$b/$ROW/f" || broken "the replica is neither old nor new"
  begin_again
  equal_row
}

# A byte decayed on the replica's disk, and no stat tells. A delta that leaves that block alone need not find it: then
# `repl verify --full` must.
row_rotten_block() {
  local image at byte
  place 8
  sync "$b/$ROW/f"
  image=$(losetup -nO BACK-FILE "$(findmnt -nro SOURCE -T "$b/$ROW/f")")
  at=$(filefrag -b4096 -v "$b/$ROW/f" | awk '$1 == "0:" { print $4 * 4096 + 100; exit }')
  byte=$(dd if="$image" bs=1 skip="$at" count=1 status=none | od -An -tu1)
  printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$image" bs=1 seek="$at" conv=notrunc status=none
  python3 -c 'import os, sys; os.posix_fadvise(os.open(sys.argv[1], os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)' \
    "$b/$ROW/f"
  cmp -s "$a/$ROW/f" "$b/$ROW/f" && fail "the byte did not decay: this test shows nothing"
  content append "$a/$ROW/f" 114 $block
  settle A
  if cmp -s "$a/$ROW/f" "$b/$ROW/f"; then
    step "  refused, and sent whole"
  else
    repl A verify t --full >"$W/verify.out" 2>&1 && broken "verify --full does not find a decayed byte"
    grep -q "$ROW/f" "$W/verify.out" || { cat "$W/verify.out"; broken "verify --full does not name the file"; }
    step "  found by verify --full"
  fi
}

# A replica without history that is equal joins by itself, for the price of a comparison.
row_receivers_index_lost() {
  place 5
  lose() { stop B && rm -rf "$(index B)" && start B; }
  crosses "lost" $((large / 100)) lose
  crosses "an edit" $((edit + large / 4096)) content overwrite "$a/$ROW/f" 109 8 $block
}
# One that is not equal is held: whose version is right is a person's question.
row_receivers_index_lost_and_changed() {
  local was
  place 6
  stop B
  rm -rf "$(index B)"
  was=$(md5sum <"$b/$ROW/f")
  content overwrite "$a/$ROW/f" 110 8 $block
  start B
  wait_for 30 "both hold" status_is B 's["state"] == "held"'
  [ "$(md5sum <"$b/$ROW/f")" = "$was" ] || broken "content without history was overwritten"
  begin_again
  equal_row
}
# A primary without its index is nobody: it sends nothing, and the replica stays as it is. With both indexes gone and
# both trees equal the two begin anew, for the price of a comparison.
row_senders_index_lost() {
  local was
  place 7
  was=$(md5sum <"$b/$ROW/f")
  stop A
  mv "$(index A)" "$W/A/state/kept"
  start A
  wait_for 30 "A has no role" status_is A 's["role"] == "none" and s["peers"][0]["connected"]'
  content overwrite "$a/$ROW/f" 111 8 $block
  never 2 "a node without history sends" eval '[ "$(md5sum <"$b/$ROW/f")" != "'"$was"'" ]'
  stop A
  rm -rf "$(index A)"
  mv "$W/A/state/kept" "$(index A)"
  start A
  ready A
  equal_row
  anew() { stop B && stop A && rm -rf "$(index A)" "$(index B)" && start B && start A && ready A; }
  crosses "both lost" $((large / 100 + framing)) anew
  crosses "an edit" $((edit + large / 4096)) content overwrite "$a/$ROW/f" 112 8 $block
}

[ ${#chosen[@]} -gt 0 ] || chosen=(replica_changed replica_changed_while_down block_tables_lost block_tables_damaged
  rotten_block receivers_index_lost receivers_index_lost_and_changed senders_index_lost)
rows "${chosen[@]}"
