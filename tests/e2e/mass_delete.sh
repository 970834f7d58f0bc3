#!/usr/bin/env bash
# Nearly everything is removed on the primary: that is held, creations and edits flow, status and verify say so, a
# restart changes nothing, and `repl approve` lets it go. An ordinary directory is removed as ever.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'max_delete = 20' 'max_delete_percent = 30'
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
fill() { # d1 to d4 of 25 files each
  local d i
  for d in 1 2 3 4; do
    mkdir "$a/d$d"
    for i in $(seq 25); do echo "$d $i" >"$a/d$d/f$i"; done
  done
}
fill
mkdir "$a/ordinary"
for i in $(seq 30); do echo "$i" >"$a/ordinary/f$i"; done
for i in $(seq 9); do echo "$i" >"$a/top$i"; done
start_all
ready A
equal A B

files_in_d() { find "$b"/d? -name 'f*' | wc -l; }
held() { status_is A "any('$1 entries were removed here' in h for h in s['holds'])"; }
not_held() { status_is A 's["holds"] == [] and s["held_keys_total"] == 0'; }
verify_is() { # STATUS [OPTION...]
  local want=$1
  shift
  repl A verify t "$@" >"$W/verify.out" 2>&1
  local code=$?
  [ "$code" = "$want" ] || { cat "$W/verify.out"; fail "verify $* ends with $code, not $want"; }
}
approve_says() {
  repl A approve t >"$W/approve.out" || { cat "$W/approve.out"; fail "approve: status $?"; }
  grep -qF "t: $1 released" "$W/approve.out" || { cat "$W/approve.out"; fail "approve does not say $1"; }
}
log_says() { # TEXT TIMES
  local times
  times=$(grep -cF "$1" "$W/A/log/daemon")
  [ "$times" = "$2" ] || fail "the log of A says '$1' $times times, not $2"
}

step "an ordinary directory goes, and the log says how much"
rm -rf "$a/ordinary"
settle A
equal A B
not_held || fail "an ordinary directory was held"
wait_for 10 "the log says it" grep -q "entries were removed within" "$W/A/log/daemon"

step "nearly everything goes, at a stroke: held, told, and nobody waits for it"
mkdir "$W/A/fs/away"
mv "$a"/d? "$W/A/fs/away/"
wait_for 20 "A holds it" held 104
[ "$(files_in_d)" = 100 ] || fail "B lost files"
settle A
status_is A 's["peers"][0]["phase"] == "in sync" and s["peers"][0]["lag_paths"] == 0' ||
  { repl A status t --json; fail "what is held counts as lag"; }
status_is A 's["held_keys_total"] == 4 and any(k.startswith("d1: a directory, 26 entries") for k in s["held_keys"])' ||
  fail "the first paths are not named"
repl A status t >"$W/status.out"
[ $? = 3 ] || fail "status of a node that holds does not end with 3"
grep -q 'repl approve t' "$W/status.out" || { cat "$W/status.out"; fail "the status does not say what to do"; }
verify_is 6
verify_is 6 --full
grep -q 'd1: a directory' "$W/verify.out" || { cat "$W/verify.out"; fail "verify does not name what is held"; }
verify_is 3 --sha256
log_says "they are held" 1

step "the rest flows: new, edited, renamed; only one more removal is held with the others"
echo new >"$a/new"
echo edited >"$a/top1"
mv "$a/top2" "$a/renamed"
settle A
cmp -s "$a/new" "$b/new" || fail "a new file does not flow"
cmp -s "$a/top1" "$b/top1" || fail "an edit does not flow"
[ -e "$b/renamed" ] && [ ! -e "$b/top2" ] || fail "a rename does not flow"
rm "$a/top3"
wait_for 20 "A holds one more" held 105
[ -e "$b/top3" ] || fail "one more was removed"
echo scratch >"$a/scratch"
settle A
[ -e "$b/scratch" ] || fail "a file that was made since does not flow"
rm "$a/scratch"
settle A
[ ! -e "$b/scratch" ] || fail "what came since does not go"

step "restarted, in peace and killed: held as before"
stop A
start A
ready A
held 105 || fail "it is not held after a restart"
stop A KILL
echo later >"$a/later"
start A
ready A
held 105 || fail "it is not held after a crash"
cmp -s "$a/later" "$b/later" || fail "a new file does not flow"
[ "$(files_in_d)" = 100 ] || fail "B lost files"
verify_is 6

step "what comes back is not held any more, and what changed in it meanwhile is seen"
echo changed >"$W/A/fs/away/d1/f1"
echo added >"$W/A/fs/away/d1/added"
rm "$W/A/fs/away/d1/f2"
mv "$W/A/fs/away/d1" "$a/"
wait_for 20 "less is held" held 80
settle A
cmp -s "$a/d1/f1" "$b/d1/f1" || fail "an edit made outside the tree was not seen"
cmp -s "$a/d1/added" "$b/d1/added" || fail "a file made outside the tree was not seen"
[ -e "$b/d1/f2" ] || fail "a file that went with the others was removed"
echo inside >"$a/d1/f3"
settle A
cmp -s "$a/d1/f3" "$b/d1/f3" || fail "the directory that came back is not watched"

step "something else at a held name: a directory flows, a file waits for the directory before it"
mkdir "$a/d2"
echo young >"$a/d2/young"
echo other >"$a/d2/f1"
settle A
cmp -s "$a/d2/young" "$b/d2/young" || fail "a new file in a new directory does not flow"
cmp -s "$a/d2/f1" "$b/d2/f1" || fail "a new file at a held name does not flow"
[ -e "$b/d2/f9" ] || fail "what was in the old directory was removed"
echo file >"$a/d3"
settle A
wait_for 20 "A says that it waits" status_is A 'any(k.startswith("d3:") and "waits" in k for k in s["held_keys"])'
[ -d "$b/d3" ] || fail "a directory of 25 files was replaced by a file"
verify_is 6

step "approved: all of it goes"
approve_says 78
settle A
equal A B
not_held || fail "something is held still"
verify_is 0 --full
[ "$(cat "$b/d3")" = file ] || fail "the file did not take its place"

step "leaf by leaf, while the daemon runs: at most the limit goes"
rm -r "$a"/d?
settle A
repl A approve t >/dev/null || fail "approve: status $?"
settle A
fill
settle A
rm -r "$a"/d?
settle A
[ "$(files_in_d)" -ge 60 ] || fail "B has $(files_in_d) files left of 100"
status_is A 's["held_keys_total"] > 0' || fail "nothing is held"
repl A approve t >/dev/null || fail "approve: status $?"
settle A
equal A B

step "while the daemon is down: all of it is held; a peer without a copy is brought up without it"
fill
settle A
stop A
rm -r "$a"/d?
start A
ready A
held 104 || fail "it is not held"
[ "$(files_in_d)" = 100 ] || fail "B lost files"
stop B
rm -rf "$W/B/state/t" "$b"
mkdir "$b"
start B
settle A
cmp -s "$a/top1" "$b/top1" || fail "the peer did not get the rest"
[ ! -e "$b/d1" ] || fail "the peer got directories that nobody has"
wait_for 20 "A says so" status_is A 'any("B has not" in h for h in s["holds"])'
verify_is 6
echo flows >"$a/flows"
settle A
cmp -s "$a/flows" "$b/flows" || fail "a new file does not flow"
verify_is 6
approve_says 104
settle A
equal A B
not_held || fail "something is held still"
verify_is 0

step "off: everything goes"
fill
settle A
usual_config 'max_delete = "off"'
stop A
start A
ready A
rm -r "$a"/d?
settle A
equal A B
not_held || fail "held, although that is off"
stop A
stop B
exit 0
