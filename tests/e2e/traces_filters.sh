#!/usr/bin/env bash
# A filter rule is added and taken away, on the primary first and on the replica first: with two policies nothing is sent,
# nothing that is excluded is ever removed, and with one policy again both are equal.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'on_alone_after = 2'
a=$(tree A) b=$(tree B)
mkdir "$a" "$b"
for i in $(seq 10); do echo "$i" >"$a/$i.txt" && echo "$i" >"$a/$i.tmp"; done
start_all
ready A
equal A B
cp "$W/repl.toml" "$W/without.toml"
(cat "$W/repl.toml"; echo 'exclude = ["*.tmp"]') >"$W/with.toml"
policy() { # NODE with|without
  install -m 644 "$W/$2.toml" "$W/$1/etc/repl.toml"
  stop "$1"
  start "$1"
  wait_for 20 "$1 answers" answers "$1" t
}
names() { find "$1" -name '*.tmp' | wc -l; }
round() { # FIRST SECOND
  step "a rule is added on $1 first"
  policy "$1" with
  echo "$1 first" >"$a/while-two"
  sleep 2
  [ "$(names "$a")" = 10 ] && [ "$(names "$b")" = 10 ] || fail "what is excluded on one side was removed"
  policy "$2" with
  wait_for 30 "A serves" role A 0
  settle A t 12
  cmp "$a/while-two" "$b/while-two" || fail "what was written meanwhile did not come"
  [ "$(names "$b")" = 10 ] || fail "what is excluded was removed"
  step "it is taken away on $1 first"
  policy "$1" without
  sleep 1
  [ "$(names "$a")" = 10 ] && [ "$(names "$b")" = 10 ] || fail "files of the rule were removed"
  policy "$2" without
  wait_for 30 "A serves" role A 0
  settle A t 12
  equal A B
}
round A B
round B A
