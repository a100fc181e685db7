#!/bin/bash
# Configurations: what is wrong is said with file, line and path; applying one
# is all or nothing; what is saved is what runs.
#
#	switchd and its TAPs are in the namespace sw
. "$(dirname "$0")/tools.sh"
ns_add sw

check() { # TEXT: a daemon with this file ends and says so
	says "$1" timeout 20 nsenter --net="$(ns_path sw)" -- "$SWITCHD" -f \
		-s "$T/check.sock" -c "$T/check.conf"
}

# refused NAME LINE-AND-TEXT <FILE
refused() {
	cat >"$T/check.conf"
	claim "$1" check "check.conf:$2"
}

apply() { # JSON: as config.apply
	ctl -j config apply config="$1"
}

# The order of these lists means nothing.
sorted='(.ports, .mirrors) |= sort_by(.name) | .fdb |= sort_by(.mac)'

# What must be the same after something was refused.
state() {
	ctl -j config show | jq -S "$sorted"
	ctl -j fdb list | jq -c '.entries[] | select(.static) | .mac' | sort
	ctl -j mirror list | jq -c '.mirrors | sort_by(.name)'
	local port
	for port in $(ctl -j port list | jq -r '.ports[].name' | sort); do
		ctl -j port show "$port" | jq -c '[.name, .origin, .ifindex]'
	done
}

# ---- what is wrong -----------------------------------------------------------

refused "a syntax error has its line" '3: ' <<-'J'
	{
	  "ports": [
	    { "name": "a", }
	  ]
	}
J
refused "an unknown section is refused" '2: .*at prots' <<-'J'
	{
	  "prots": []
	}
J
refused "an unknown key has line and path" '3: .*at ports\[0\]\.vlam' <<-'J'
	{
	  "ports": [
	    { "name": "a", "type": "tap", "vlam": 1 }
	  ]
	}
J
refused "a wrong type has line and path" '4: .*at ports\[1\]\.vlan' <<-'J'
	{ "ports": [
	    { "name": "a", "type": "tap" },
	    { "name": "b", "type": "tap",
	      "vlan": "10" } ] }
J
refused "a name that is there twice is refused" \
	'3: .*"a" is there twice.*at ports\[1\]' <<-'J'
	{ "ports": [
	    { "name": "a", "type": "tap" },
	    { "name": "a", "type": "tap" } ] }
J
refused "a key that is there twice is refused" '2: .*duplicate' <<-'J'
	{ "switch": { "age": 1,
	              "age": 2 } }
J
refused "a VLAN that isn't one is refused" '2: .*4094.*at ports\[0\]\.vlan' <<-'J'
	{ "ports": [ { "name": "a", "type": "tap", "mode": "access",
	    "vlan": 4095 } ] }
J
refused "a list of VLANs that isn't one is refused" \
	'2: .*at ports\[0\]\.trunk' <<-'J'
	{ "ports": [ { "name": "a", "type": "tap",
	    "trunk": "10,30-20" } ] }
J
refused "a setting out of range is refused" '1: .*at switch\.age' <<-'J'
	{ "switch": { "age": -1 } }
J
refused "a profile that isn't there is refused" \
	'2: .*no profile "x".*at ports\[0\]\.profile' <<-'J'
	{ "ports": [ { "name": "a", "type": "tap",
	    "profile": "x" } ] }
J
refused "a wrong profile has line and path" '2: .*at profiles\.p\.mode' <<-'J'
	{ "profiles": {
	    "p": { "mode": "accessible" } } }
J
refused "a device that isn't there has line and path" \
	"3: .*no device 'nic9'.*at ports\[1\]\.ifname" <<-'J'
	{ "ports": [ { "name": "a", "type": "tap", "ifname": "chk0" },
	    { "name": "b", "type": "netdev",
	      "ifname": "nic9" } ] }
J
claim "and the other ports' devices are gone again" link_gone sw chk0
refused "a mirror of a port onto itself has line and path" \
	'3: .*mirror itself.*at mirrors\[0\]\.from' <<-'J'
	{ "mirrors": [ { "name": "m",
	    "to": "x",
	    "from": ["y", "x"] } ] }
J
refused "a mirror of VLANs that aren't any has line and path" \
	'2: .*at mirrors\[0\]\.vlan' <<-'J'
	{ "mirrors": [ { "name": "m", "to": "x",
	    "vlan": "10-" } ] }
J
refused "a static address that its port can't have has line and path" \
	"3: .*isn't in VLAN 3.*at fdb\[0\]\.vlan" <<-'J'
	{ "ports": [ { "name": "a", "type": "tap", "trunk": "1,2" } ],
	  "fdb": [ { "mac": "02:00:00:00:00:01", "port": "a",
	    "vlan": 3 } ] }
J
echo '{}' | tr '{}' '[]' >"$T/check.conf"
claim "a configuration that is no object is refused" check 'JSON object'
rm "$T/check.conf"
claim "a file that is missing is said" check 'check.conf: .*No such file'

# ---- a whole one -------------------------------------------------------------

cat >"$T/switchd.conf" <<'J'
{
  "switch": { "age": 123, "forward-reserved": "lldp" },
  "profiles": {
    "web": { "type": "tap", "mode": "access", "vlan": 10, "mtu": 1400,
             "description": "from the profile" }
  },
  "ports": [
    { "name": "a", "profile": "web", "ifname": "a0" },
    { "name": "b", "profile": "web", "ifname": "b0", "mtu": 1300 },
    { "name": "c", "type": "tap", "ifname": "c0", "trunk": "10,20-30" },
    { "name": "d", "type": "tap", "ifname": "d0" }
  ],
  "mirrors": [ { "name": "m", "from": ["a"], "to": "d", "dir": "in" } ],
  "fdb": [ { "mac": "02:00:00:00:00:0a", "vlan": 10, "port": "a" },
           { "mac": "02:00:00:00:00:0b", "vlan": 10, "port": "b" },
           { "mac": "02:00:00:00:00:0c", "vlan": 20, "port": "c" } ]
}
J
switchd_start -c "$T/switchd.conf"
claim "settings are the file's" ctl_is \
	'.age == 123 and .["forward-reserved"] == "e"' switch show
claim "a profile gives what the port doesn't say" ctl_is \
	'.mode == "access" and .vlan == 10 and .mtu == 1400 and
	.description == "from the profile"' port show a
claim "what the port says comes before its profile" ctl_is \
	'.vlan == 10 and .mtu == 1300' port show b
claim_equal "down to the device" 1300 "$(link_value sw b0 .mtu)"
claim "the mirror is there" ctl_is \
	'.mirrors == [{name: "m", to: "d", from: "a", vlan: "all", dir: "in",
	state: "active"}]' mirror list
claim "the static addresses are there" ctl_is \
	'[.entries[] | select(.static) | .port] | sort == ["a", "b", "c"]' \
	fdb list

# ---- all or nothing ----------------------------------------------------------

ctl port attach hand type=tap ifname=hand0 >&2
ctl port attach guest type=tap ifname=guest0 transient=yes >&2
ctl port attach e type=tap ifname=e0 >&2
ctl mirror add bymyself from=hand to=d >&2
state >"$T/before"
# Takes a away, changes b's parameters and c's device, keeps e, and fails last.
wanted='{"switch": {"age": 5}, "profiles": {}, "ports": [
	{"name": "e", "type": "tap", "ifname": "e0"},
	{"name": "b", "type": "tap", "ifname": "b0", "mode": "access",
	 "vlan": 11, "mtu": 1200},
	{"name": "c", "type": "tap", "ifname": "c1"},
	{"name": "new", "type": "tap", "ifname": "new0"},
	{"name": "bad", "type": "netdev", "ifname": "nic9"}]}'
claim "an apply that fails in its last port says where" says \
	'no device .*at config\.ports\[4\]\.ifname' apply "$wanted"
state >"$T/after"
claim "and leaves everything as it was, the same devices" \
	diff "$T/before" "$T/after"
claim "down to the devices" test "$(link_value sw b0 .mtu)" == 1300
claim "those that it had made are gone" link_gone sw new0
before=$(ctl -j fdb list | jq '[.entries[] | select(.static)] | length')
claim_equal "static addresses survive it" 3 "$before"

state >"$T/before"
claim "a static address in a wrong VLAN fails it" says 'at config\.fdb\[3\]' \
	apply "$(jq '.fdb += [{mac: "02:00:00:00:00:0d", vlan: 11, port: "a"}]' \
		"$T/switchd.conf")"
state >"$T/after"
claim "and leaves everything as it was again" \
	diff "$T/before" "$T/after"

# ---- what stays --------------------------------------------------------------

ns_exec sw ip addr add 10.9.0.1/24 dev a0
ns_exec sw ping -q -c1 -W1 10.9.0.2 >&2 || true # ARP requests, unanswered
frames=$(port_value a '.["rx-frames"]')
claim "a port has counted frames" test "$frames" -gt 0
ctl -j config show >"$T/shown"
events_start config
claim "what config show prints can be applied" apply "$(cat "$T/shown")"
claim_equal "and changes nothing" "0 0 0 5+" \
	"$(apply "$(cat "$T/shown")" | jq -r '"\(.attached) \(.detached) " +
		"\(.changed) \(if .unchanged >= 5 then "5+" else . end)"')"
claim "it is an event" wait_until 5 event_seen config.applied \
	'.attached == 0 and .unchanged >= 5'
claim_equal "an unchanged port keeps its device" \
	"$(jq -c 'select(type == "array" and .[0] == "a" and .[2]) | .[2]' \
		"$T/before")" "$(port_value a .ifindex)"
claim "and its counters" test "$(port_value a '.["rx-frames"]')" -ge "$frames"
claim "a transient port isn't in what is shown" jq -e \
	'[.ports[].name] | index("guest") == null' "$T/shown"

ctl port attach hand2 type=tap ifname=hand2 >&2
claim "the file is applied again" ctl config apply
claim "a port that came by hand stays" ctl port show hand2
claim "and so does a guest's" ctl port show guest
ctl fdb remove 02:00:00:00:00:0b vlan=10 >&2
claim "a smaller configuration drops addresses, all of them" \
	apply "$(jq 'del(.fdb[1:])' "$T/switchd.conf")"
claim_equal "but the one it has" '["02:00:00:00:00:0a"]' \
	"$(ctl -j fdb list | jq -c '[.entries[] | select(.static) | .mac]')"

# ---- save --------------------------------------------------------------------

chmod 600 "$T/switchd.conf"
ctl config save >&2
claim_equal "config save leaves one file, with the mode that it had" \
	"switchd.conf 600" "$(cd "$T" && stat -c '%n %a' switchd.conf*)"
claim "what was saved is what runs" diff \
	<(jq -S "$sorted" "$T/switchd.conf") \
	<(ctl -j config show | jq -S "$sorted")
claim "a port that came by hand is in it" jq -e \
	'[.ports[].name] | index("hand2") != null' "$T/switchd.conf"
claim "a guest's isn't" jq -e '[.ports[].name] | index("guest") == null' \
	"$T/switchd.conf"
claim "applying it changes nothing" ctl_is \
	'.attached == 0 and .detached == 0 and .changed == 0' config apply
state | grep -v guest >"$T/before"
switchd_stop
switchd_start -c "$T/switchd.conf"
claim "a new daemon comes up with the same" diff \
	<(sed '/^\[/d;/^"0/d' "$T/before" | jq -Ss '.[0]') \
	<(ctl -j config show | jq -S "$sorted")

# ---- devices that vanish -----------------------------------------------------

vanished() {
	ctl_is '.ports[] | select(.name == "up").state == "missing"' port list
}
ip -n "$(ns_name sw)" link add u0 type veth peer name u1
ctl port attach up type=netdev ifname=u0 uplink=yes >&2
ip -n "$(ns_name sw)" link del u0
claim "a port whose device vanishes is missing" wait_until 5 vanished
claim "the log tells" grep -q 'up: its device u0 is gone' "$T/switchd.log"
ctl config save >&2
claim "saving doesn't forget it" jq -e \
	'.ports[] | select(.name == "up") | .uplink' "$T/switchd.conf"
ip -n "$(ns_name sw)" link add u0 type veth peer name u1
claim "it comes back with its device" ctl_is '.attached == 1' config apply
claim_not "and isn't missing then" vanished
ip -n "$(ns_name sw)" link del u0
wait_until 5 vanished
claim "it can be detached all the same" ctl port detach up
claim_not "and is gone then" vanished

jq 'del(.ports[] | select(.name == "up"))' "$T/switchd.conf" >"$T/without"
cat "$T/without" >"$T/switchd.conf"
ip -n "$(ns_name sw)" link add u0 type veth peer name u1
ctl port attach up type=netdev ifname=u0 >&2
ip -n "$(ns_name sw)" link del u0
wait_until 5 vanished
ip -n "$(ns_name sw)" link add u0 type veth peer name u1
claim "one by hand comes back with its device, too" ctl config apply
claim "as it was" ctl_is '.state != "missing" and .origin == "control"' \
	port show up

claim "a folder that isn't there is refused, and said" says \
	'nowhere.*cannot-save' ctl config save file=/tmp/nowhere/s.conf
claim "so is one that daemon.allow.files hasn't" says \
	'/etc/s.conf.*daemon.allow.files.*not-allowed' \
	ctl config save file=/etc/s.conf
claim_not "and nothing is written there" test -e /etc/s.conf
claim "nor is a name that a terminal would obey" says \
	'control characters.*bad-value' ctl config save file="$T/"$'\e[2J'
claim "another file is written if it isn't there" ctl config save \
	file="$T/other.conf"
claim "with the same in it" diff "$T/other.conf" \
	<(ctl config save >&2 && cat "$T/switchd.conf")
claim "and isn't written over" says 'remove it.*file-exists' \
	ctl config save file="$T/other.conf"
finish
