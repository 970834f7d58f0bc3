#!/usr/bin/env bash
# SIGHUP reads the configuration and this node's key again: a key is replaced without a restart, and a configuration
# with a fault changes nothing.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config
populate "$(tree A)"
mkdir "$(tree B)"
reload() { kill -HUP "${DAEMON[$1]}"; }
reloaded() { [ "$(grep -c 'the configuration is reloaded' "$W/$1/log/daemon")" = "$2" ]; }

start_all
ready A
equal A B

step "a fault: told, and everything goes on"
cp "$W/repl.toml" "$W/good.toml"
echo 'nodez = 1' >>"$W/A/etc/repl.toml"
reload A
wait_for 20 "the fault is told" grep -q 'the configuration is not reloaded: .*nodez' "$W/A/log/daemon"
echo on >"$(tree A)/on"
settle A
equal A B

step "B gets another key, and both are told"
rm "$W"/B/state/identity.*
repl B keygen >/dev/null || fail "keygen"
new=$(repl B fingerprint)
[ "$new" != "${FINGERPRINT[B]}" ] || fail "the same key"
sed "s/${FINGERPRINT[B]}/$new/" "$W/good.toml" >"$W/repl.toml"
for name in A B; do install -m 644 "$W/repl.toml" "$W/$name/etc/repl.toml"; done
reload B
reload A
wait_for 20 "B has reloaded" reloaded B 1
wait_for 20 "A has reloaded" reloaded A 1
ready A
wait_for 30 "both are connected by the new key" connected A
echo again >"$(tree A)/again"
settle A
equal A B

step "a key that cannot be read: told, and everything goes on"
mv "$W/B/state/identity.key" "$W/B/state/away"
reload B
wait_for 20 "the missing key is told" grep -q 'not reloaded: .*identity.key.*repl keygen' "$W/B/log/daemon"
echo still >"$(tree A)/still"
settle A
equal A B
stop A
stop B
exit 0
