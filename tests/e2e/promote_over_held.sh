#!/usr/bin/env bash
# A replica that holds a path promoted: what the old primary had written there was never here, and must be kept.
. "$(dirname "$0")/lib.sh"
node A ext4
node B ext4
usual_config 'on_alone_after = 2'
mkdir "$(tree A)" "$(tree B)"
echo first >"$(tree A)/f"
start_all
ready A
echo "drift of B" >"$(tree B)/f"
wait_for 10 "B holds it" status_is B 's["held_keys_total"] == 1'
echo "newer, of A" >"$(tree A)/f"
sleep 2
stop A
repl B promote t || fail promote
start A
wait_for 30 "A hears B" connected A
sleep 3
repl A catchup --from B t --yes
repl A diverged list t
grep -rqs "newer, of A" "$W/A/fs" "$W/B/fs" || fail "what A had written is nowhere"
