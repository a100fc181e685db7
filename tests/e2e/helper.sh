#!/bin/bash
# switchd-helper gives QEMU a TAP on the switch, where the ACL allows it; the
# users need no privilege.
#
#	fake QEMU, user 65534 [TAP] --+-- switchd --+-- [eth0] vm2
#
. "$(dirname "$0")/tools.sh"
user_dir
ns_add sw
cp "$(dirname "$0")/fake_qemu.py" "$USER_DIR"
acl=$USER_DIR/acl
cat >"$T/switchd.conf" <<J
{ "daemon": { "helper-acl": "$acl", "helper-max": 2 },
  "profiles": { "net10": { "mode": "access", "vlan": 10 }, "br0": {},
		"other": {} } }
J
SOCKET=$USER_DIR/switchd.sock
echo "allow all" >"$acl"
switchd_start -c "$T/switchd.conf"
guest_add vm2 10.0.0.2/24 mode=access vlan=10
events_start port
as_user sw env SWITCHD_HELPER_SOCKET="$USER_DIR/helper.sock" \
	"$PYTHON" "$USER_DIR/fake_qemu.py" "$USER_DIR/switchd-helper"

guests=0

# guest [ARGUMENT...]: one more, its output in $T/gN, fed by descriptor FEED
guest() {
	guests=$((guests + 1))
	mkfifo "$T/go$guests"
	"${AS_USER[@]}" "$@" <"$T/go$guests" >"$T/g$guests" 2>&1 &
	lib_pids+=("$!")
	exec {FEED}>"$T/go$guests"
	wait_until 10 grep -q '^tap ' "$T/g$guests"
	TAP=$(sed -n 's/^tap //p' "$T/g$guests")
}

# refused NAME TEXT ARGUMENT...: the helper fails, and tells why
refused() {
	local ports
	ports=$(ctl -j port list | jq '.ports | length')
	claim "$1" says "$2" "${AS_USER[@]}" "${@:3}"
	[[ $(ctl -j port list | jq '.ports | length') == "$ports" ]] ||
		fail "$1: no port is left" "$ports ports before"
}

allow() { # LINE...
	printf '%s\n' "$@" >"$acl"
}

# ---- a guest -----------------------------------------------------------------

claim "a user without privilege gets a TAP" guest --br=net10
first=$FEED
claim "its port has the profile's settings" ctl_is \
	'.type == "netdev" and .mode == "access" and .vlan == 10 and
	.origin == "transient" and .state == "up"' port show "$TAP"
claim "it's an event" event_seen port.attached '.name == "'"$TAP"'"'
mac=$(guest_mac vm2 | tr -d :)
into=${mac}02000000000188b5$(printf 'cc%.0s' {1..46})
outof=020000000001${mac}88b5$(printf 'dd%.0s' {1..46})
sniff_start vm2 eth0 "$mac"
echo "$into" >&"$first"
claim "what it sends arrives" wait_until 5 grep -qx "$into" "$T/sniffed"
# shellcheck disable=SC2086 # $FRAMES is a command and its argument
ns_exec vm2 $FRAMES send eth0 "$outof"
claim "what is sent to it arrives" wait_until 5 grep -qx "$outof" "$T/g1"
claim "a transient port isn't in the configuration" ctl_is '.ports |
	map(.name) == ["vm2"]' config show

claim "a second one has a port of its own" guest --br=br0
second=$FEED
refused "helper-max bounds what a user may have" 'too-many-ports|2 ports' \
	--br=br0
tap=$TAP
exec {second}>&-
claim "its port vanishes when the descriptor is closed" wait_until 5 \
	event_seen port.detached '.name == "'"$tap"'" and
	.reason == "device-gone"'
claim "and so does the device" wait_until 5 link_gone sw "$tap"
claim "and its place is free again" guest --br=br0
exec {FEED}>&-

# ---- the ACL -----------------------------------------------------------------

helper_ports() {
	ctl -j port list | jq '[.ports[] | select(.type == "netdev")] | length'
}
allowed() { # NAME: and goes again
	local name=$1
	shift
	claim "$name" guest "$@"
	exec {FEED}>&-
	wait_until 5 value_is 1 helper_ports
}
wait_until 5 value_is 1 helper_ports
denied="doesn't allow profile"
allow "allow br0"
allowed "a profile that is allowed is given" --br=br0
refused "another isn't" "$denied \"net10\"" --br=net10
allow
refused "nothing is allowed that isn't said" "$denied" --br=br0
allow "allow all" "deny net10"
refused "what is denied isn't given" "$denied" --br=net10
allowed "the rest is" --br=br0
allow "deny net10" "allow net10"
refused "a denial wins, whatever the order" "$denied" --br=net10
allow "deny all" "allow br0"
refused "a denial of all, too" "$denied" --br=br0
echo "allow br0" >"$T/more"
allow "# a comment" "" "include $T/more" "allow other # for a guest"
allowed "what an included file allows is given" --br=br0
allowed "and what stands behind it" --br=other
echo "deny br0" >"$T/more"
allow "allow all" "include $T/more"
refused "what an included file denies isn't" "$denied" --br=br0
allow "include $T/none" "allow br0"
allowed "an included file may be missing" --br=br0
allow "include $acl" "allow br0"
refused "a file that includes itself is refused" 'acl:' --br=br0
allow "allow br0" "permit net10"
refused "a line that is none of these is said" 'acl:2: ' --br=br0
rm "$acl"
refused "the ACL itself must be there" "can't read the ACL" --br=br0
allow "allow all"
refused "a profile that isn't there is refused" 'no profile "none"' --br=none

claim_equal "refusals leave no device" 1 "$(ns_exec sw ip -j link show |
	jq '[.[] | select(.ifname | startswith("swh"))] | length')"
claim_not "wrong usage is refused" "$HELPER" --fd=nonsense
as_user sw env SWITCHD_HELPER_SOCKET="$USER_DIR/nobody.sock" \
	"$PYTHON" "$USER_DIR/fake_qemu.py" "$USER_DIR/switchd-helper"
refused "without a daemon it says whom it asked" 'nobody.sock' --br=br0
exec {first}>&-
claim "the last guest's port goes with it" wait_until 5 value_is 0 helper_ports
claim "the ledgers close at the end" ledgers_close
finish
