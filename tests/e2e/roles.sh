#!/bin/bash
# Who may do what on the control socket: viewers look, operators attach, admins
# do all, others nothing; profiles bind an operator; each refusal is an event.
#
#	users 4001 (viewer), 4002 (operator), 4003 (operator with a profile),
#	4004 (the same), 4005 (nobody), group 4100 (admin) --- switchd
# shellcheck disable=SC2119 # switchd_start without arguments
. "$(dirname "$0")/tools.sh"
user_dir
SOCKET=$USER_DIR/switchd.sock
HUP_LOG='reloaded:'

# as UID[:GROUP,..] ARGUMENT...: switchctl by that user, in these groups only
as() {
	local who=$1 groups=--clear-groups
	shift
	[[ $who != *:* ]] || groups=--groups=${who#*:}
	setpriv --reuid="${who%:*}" --regid="${who%:*}" "$groups" -- \
		"$USER_DIR/switchctl" -s "$SOCKET" "$@"
}

# refused NAME TEXT WHO ARGUMENT...: not permitted, and says so
refused() {
	claim "$1" says "$2.*\(not-permitted" as "${@:3}"
}

# raw UID REASON PARAMS...: port.attach with each of these fails for that
raw() {
	python3 - "$SOCKET" "$@" <<-'END'
		import json, os, socket, sys
		uid = int(sys.argv[2])
		os.setgroups([])
		os.setresgid(uid, uid, uid)
		os.setresuid(uid, uid, uid)
		conn = socket.socket(socket.AF_UNIX)
		conn.connect(sys.argv[1])
		for params in sys.argv[4:]:
		    conn.sendall(('{"jsonrpc":"2.0","id":1,"method":"port.attach",'
		                  '"params":%s}\n' % params).encode())
		    reply = json.loads(conn.makefile().readline())
		    reason = reply["error"]["data"]["reason"]
		    if reason != sys.argv[3]:
		        sys.exit(f"{params}: {reason}")
	END
}

NOTHING_HAPPENED='[.ports[].name] | sort == ["cap", "plain", "spy", "up"]'

config() { # ROLES USERS
	jq -n --argjson roles "$1" --argjson users "$2" --arg cap "$T/cap" \
		--arg sockets "$USER_DIR/*" '{
		daemon: {roles: $roles, users: $users,
			allow: {sockets: [$sockets]}},
		profiles: {
			office: {type: "dummy", mode: "access", vlan: 10},
			open: {mode: "access", vlan: 11},
			off: {type: "dummy", enabled: false},
			trace: {type: "pcap", file: ($cap + "2")},
			trunk: {type: "dummy", uplink: true}},
		ports: [
			{name: "up", type: "dummy", uplink: true},
			{name: "plain", type: "dummy"},
			{name: "spy", type: "dummy"},
			{name: "cap", type: "pcap", file: $cap}],
		mirrors: [
			{name: "m", to: "spy"}, {name: "later", to: "absent"}]
	}' >"$T/switchd.conf"
}

roles='{"admin": ["@4100"], "operator": ["4002", "4003", "4004"],
	"viewer": ["4001"]}'
users='{"4003": {"profiles": ["office", "open", "off", "trunk"]},
	"4004": {"profiles": ["office"]}}'

config "$roles" "$users"
switchd_start -c "$T/switchd.conf"
events_start access

# ---- strangers and viewers ---------------------------------------------------

claim_equal "with roles everybody may connect" 666 "$(stat -c %a "$SOCKET")"
refused "who has no role may not look" 'user 4005 has no role' 4005 port list
refused "nor ask what there is" 'rpc.discover needs viewer' 4005 rpc discover
claim "each refusal is an event" wait_until 5 event_seen access.refused \
	'.method == "rpc.discover" and .uid == 4005 and .pid > 1 and
	.role == "none" and (.message | test("needs viewer"))'
claim "and is counted" ctl_is '.["refused-calls"] == 2' switch show
claim "and logged" grep -q 'process [0-9]*: user 4005 has no role' \
	"$T/switchd.log"

claim "a viewer sees the ports" as 4001 port list
for call in "switch show" "port show plain" "profile list" \
	"profile show office" "fdb list" "vlan list" "mirror list" \
	"stats show" "worker list" "rpc discover"; do
	# shellcheck disable=SC2086 # words
	claim "a viewer may $call" as 4001 $call
done
refused "but doesn't attach" \
	'user 4001 is a viewer; port.attach needs operator' \
	4001 port attach x type=dummy
refused "nor forget addresses" 'fdb.flush needs operator' 4001 fdb flush
refused "nor read the configuration, roles and all" 'config.show needs admin' \
	4001 config show
claim "what it is refused for isn't looked at before" raw 4001 \
	not-permitted '{"nonsense": 1}' '{"type": 5}' '[]' 7

# ---- operators ---------------------------------------------------------------

claim "an operator attaches" as 4002 port attach mine type=dummy vlan=5 \
	mode=access
claim "changes any plain port" as 4002 port set plain mtu=1400
claim "ties addresses to ports" as 4002 fdb add 02:00:00:00:00:01 port=plain
claim "forgets them" as 4002 fdb remove 02:00:00:00:00:01
claim "and detaches" as 4002 port detach mine
who='user 4002 is an operator;'
refused "captures are for admins" "$who type=pcap needs admin" \
	4002 port attach x type=pcap file="$T/x"
refused "also by a profile" "$who type=pcap needs admin" \
	4002 port attach x profile=trace
refused "uplinks" "$who uplink=yes" 4002 port attach x type=dummy uplink=yes
refused "also by a profile" "$who uplink=yes" 4002 port attach x profile=trunk
refused "sockets that root makes or connects to" \
	"$who type=vhost-user needs admin" \
	4002 port attach x type=vhost-user path="$T/x"
claim "a profile's uplink may be declined" as 4002 port attach x profile=trunk \
	uplink=no
refused "but not taken back afterwards" "$who uplink=yes" \
	4002 port set x uplink=
refused "nor set" "$who uplink=yes" 4002 port set x uplink=yes
claim "it can be detached" as 4002 port detach x
refused "devices that the host uses" "$who force=yes" \
	4002 port attach x type=netdev ifname=eth0 force=yes
refused "other namespaces" "$who netns= needs" \
	4002 port attach x type=tap netns=/proc/1/ns/net
refused "the host's addresses" "$who address= needs" \
	4002 port attach x type=tap address=10.0.0.1/8
refused "an uplink that an admin attached stays" "uplink=yes needs admin" \
	4002 port detach up
refused "and as it is" "uplink=yes needs admin" 4002 port set up uplink=no
refused "a capture goes on" "a port with type=pcap" 4002 port detach cap
refused "so does what a mirror copies to" "a mirror copies to" \
	4002 port detach spy
refused "and nobody slips under its name" "a mirror copies to" \
	4002 port attach absent type=dummy
refused "mirrors are for admins" 'mirror.add needs admin' \
	4002 mirror add n to=plain
refused "settings, too" 'switch.set needs admin' 4002 switch set age=5
refused "and the configuration" 'config.save needs admin' 4002 config save
claim "what the guard lets pass unread is checked after it" raw 4002 \
	wrong-type '[]' 7 '{"name": "x", "type": ["pcap"]}' \
	'{"name": "x", "type": "dummy", "uplink": 1}' \
	'{"name": "x", "profile": {"trace": 1}}'
claim "none of this has done anything" ctl_is "$NOTHING_HAPPENED" port list
claim_not "nor made a file" test -e "$T/x" -o -e "$T/cap2"

# ---- operators with profiles -------------------------------------------------

who='user 4003 is an operator with profiles'
claim "with a profile of his he attaches" as 4003 port attach a profile=office
claim "which he gets" ctl_is '.vlan == 10 and .profile == "office"' \
	port show a
refused "not without one" "$who" 4003 port attach b type=dummy
refused "not with another" "$who" 4003 port attach b profile=trace
refused "not with one that isn't there" "$who" 4003 port attach b profile=none
refused "nor with more than it says" "$who: beside profile" \
	4003 port attach b profile=office vlan=11
refused "a flag" "$who: beside profile" 4003 port attach b profile=office \
	learn=no
refused "or another type" "$who: his profile" 4003 port attach b \
	profile=office type=tap
refused "one that records" "$who: his profile" 4003 port attach b profile=open \
	type=pcap
refused "or one that is a socket of root's" "$who: his profile" \
	4003 port attach b profile=open type=vhost-user
claim "parameters of other types give him nothing" raw 4003 not-permitted \
	'[]' 7 '{"name": "x", "profile": ["office"]}' \
	'{"name": "x", "profile": null}' '{"name": ["absent"]}'
claim "nor with a profile" raw 4003 wrong-type \
	'{"name": ["absent"], "profile": "office"}' \
	'{"name": "x", "profile": "open", "type": ["pcap"]}'
claim "where it says no type he chooses, a name and a device" \
	as 4003 port attach c profile=open type=tap ifname=mine0 \
	description=home transient=yes
claim "an uplink by a profile of his is what an admin wanted" \
	as 4003 port attach d profile=trunk
claim "which is his to detach" as 4003 port detach d
refused "nobody slips under a mirror's name" "a mirror copies to" \
	4003 port attach absent profile=office
claim "he may describe his port" as 4003 port set a description=here
claim "and turn it off" as 4003 port set a enabled=no
refused "not change its VLAN" "he may change description" \
	4003 port set a vlan=11
refused "nor its profile" "he may change description" \
	4003 port set a profile=open
claim "what a profile turns off" as 4003 port attach e profile=off
refused "stays so" "his profile says it" 4003 port set e enabled=yes
refused "others' ports aren't his" "that he attached" 4003 port detach plain
refused "not to set either" "that he attached" 4003 port set plain enabled=no
refused "nor those of another operator like him" "that he attached" \
	4004 port detach a
refused "addresses neither" "attach, change and detach" \
	4003 fdb add 02:00:00:00:00:01 port=a
refused "not even to forget" "attach, change and detach" 4003 fdb flush
claim "but he sees them" as 4003 fdb list
claim "a port that isn't there is no such port" says 'no-such-port' \
	as 4003 port detach nothing
for port in a c e; do
	claim "he detaches his port $port" as 4003 port detach "$port"
done
claim "his ports are gone, no other" ctl_is "$NOTHING_HAPPENED" port list

ip -n "$(ns_name sw)" link add v0 type veth peer name v1
ctl port attach away type=netdev ifname=v0 >&2
ip -n "$(ns_name sw)" link del v0
is_missing() {
	ctl_is '.ports[] | select(.name == "away").state == "missing"' port list
}
claim "a port whose device is gone" wait_until 5 is_missing
refused "is still another's, its name" "device is gone" \
	4003 port attach away profile=office
refused "and what is known of it" "that he attached" 4003 port detach away
claim "it is there yet" is_missing
claim "for an operator without profiles it's a port" as 4002 port detach away

ip -n "$(ns_name sw)" link add v0 type veth peer name v1
claim "he attaches a device" as 4003 port attach away profile=open \
	type=netdev ifname=v0
ip -n "$(ns_name sw)" link del v0
claim "which goes" wait_until 5 is_missing
ip -n "$(ns_name sw)" link add v0 type veth peer name v1
claim "and comes back" ctl_is '.attached == 1' config apply
claim "as his port" as 4003 port detach away

# ---- listeners ---------------------------------------------------------------

# guest_of LISTENER: one connects, root's; it goes with its port
guest_of() {
	"$PYTHON" -c 'import socket, sys
guest = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
guest.connect(sys.argv[1])
guest.recv(1)' "$USER_DIR/$1" </dev/null &
	GUEST=$!
	lib_pids+=("$GUEST")
	wait_until 5 ctl port show "$1.1"
}
socket=$USER_DIR/lab
for who in 4001 4002 4003; do
	refused "user $who adds no listener" 'listener.add needs admin' \
		$who listener add lab type=seqpacket listen="$socket"
done
refused "not even by a profile of his" 'listener.add needs admin' \
	4003 listener add lab type=seqpacket listen="$socket" profile=office
refused "and who has no role doesn't look" 'user 4005 has no role' \
	4005 listener list
claim "there is none" ctl_is '.listeners == []' listener list
claim_not "nor its socket" test -e "$socket"
claim "an admin adds one" as 4005:4100 listener add lab type=seqpacket \
	listen="$socket" mode=access vlan=12
claim "and one for uplinks" as 4005:4100 listener add far type=seqpacket \
	listen="$USER_DIR/far" uplink=yes
claim "a viewer sees them" as 4001 listener list
claim "and what they are" as 4001 listener show lab
claim "so does an operator with profiles" as 4003 listener show lab
for who in 4001 4002 4003; do
	refused "user $who removes none" 'listener.remove needs admin' \
		$who listener remove lab
done
guest_of far
claim "a listener's port may be an uplink" ctl_is '.uplink' port show far.1
refused "which an operator leaves there" "uplink=yes needs admin" \
	4002 port detach far.1
refused "and as it is" "uplink=yes needs admin" 4002 port set far.1 uplink=no
claim "removing the listener removes it" as 4005:4100 listener remove far
claim "and hangs up" wait_until 5 lib_gone "$GUEST"
guest_of lab
claim "a plain one an operator changes" as 4002 port set lab.1 vlan=13
refused "but makes no uplink of it" "uplink=yes" \
	4002 port set lab.1 uplink=yes mode= vlan=
refused "one with profiles doesn't" "that he attached" \
	4003 port set lab.1 description=mine
refused "nor sends its guest away" "that he attached" 4003 port detach lab.1
claim "as an operator does" as 4002 port detach lab.1
claim "who hears of it" wait_until 5 lib_gone "$GUEST"
claim "an admin removes it" as 4005:4100 listener remove lab
claim_not "with its socket" test -e "$socket"
claim "and nothing of it is left" ctl_is "$NOTHING_HAPPENED" port list

# ---- admins ------------------------------------------------------------------

claim "a group makes an admin" as 4005:7,4100,9 switch set age=200
claim "who mirrors" as 4005:4100 mirror add n to=plain
claim "to the end" as 4005:4100 mirror remove n
claim "who attaches uplinks" as 4005:4100 port attach x type=dummy uplink=yes
claim "and detaches them" as 4005:4100 port detach x
refused "but saves to no other file than the one that was read" \
	'only root' 4005:4100 config save file="$T/other"

# many_groups ARGUMENT...: switchctl by user 4005 in 3001 groups, of which the
# kernel names 4100 first: it sorts them
many_groups() {
	python3 -c 'import os, sys
os.setgroups(list(range(10000, 13000)) + [4100])
os.setresgid(4005, 4005, 4005)
os.setresuid(4005, 4005, 4005)
os.execv(sys.argv[1], sys.argv[1:])' "$USER_DIR/switchctl" -s "$SOCKET" "$@"
}
claim "who is in thousands of groups is served" many_groups switch set age=100

# crowd UID N: opens N connections and prints how many are served
crowd() {
	python3 - "$SOCKET" "$1" "$2" <<-'END'
		import json, os, socket, sys
		uid = int(sys.argv[2])
		os.setgroups([])
		os.setresgid(uid, uid, uid)
		os.setresuid(uid, uid, uid)
		conns = []
		for _ in range(int(sys.argv[3])):
		    conn = socket.socket(socket.AF_UNIX)
		    conn.connect(sys.argv[1])
		    conns.append(conn)
		served = 0
		for conn in conns:
		    try:
		        conn.sendall(b'{"jsonrpc":"2.0","id":1,'
		                     b'"method":"nonsense"}\n')
		        reply = json.loads(conn.makefile().readline())
		        served += reply["id"] == 1
		    except (BrokenPipeError, ConnectionResetError):
		        pass
		print(served)
	END
}
claim_equal "a user has 32 connections and no more" 32 "$(crowd 4005 50)"
claim_equal "root isn't bound by that" 50 "$(crowd 0 50)"

# ---- changes -----------------------------------------------------------------

# subscribed UID: events to $T/heard while it lives
setpriv --reuid=4001 --regid=4001 --clear-groups -- "$PYTHON" -c "$(
	cat "$(dirname "$0")/events.py"
)" "$SOCKET" port </dev/null >"$T/heard" 2>&1 &
listener=$!
lib_pids+=("$listener")
claim "a viewer listens" wait_until 5 grep -q ^subscribed "$T/heard"

reload() { # waits until it is done
	: >"$T/switchd.log"
	kill -HUP "$SWITCHD_PID"
	wait_until 5 grep -q "$HUP_LOG\|nothing has changed" "$T/switchd.log"
}
config '{"viewer": ["4005"], "operator": ["no-such-user-here"]}' '{}'
jq '.ports += [{name: "new", type: "dummy"}]' "$T/switchd.conf" >"$T/next"
cp "$T/next" "$T/switchd.conf"
reload
claim "a reload with a user that isn't there is refused, and says where" \
	grep -q 'conf:[0-9]*: there is no user .*at daemon.roles.operator\[0\]' \
	"$T/switchd.log"
claim "and nothing was applied" ctl_is "$NOTHING_HAPPENED" port list
claim "the old roles are in force" as 4001 port list

config '{"viewer": ["4005"]}' '{}'
: >"$T/switchd.log"
claim "an admin who takes his own role away gets his answer" \
	as 4006:4100 -j config apply
claim "which changes roles" as 4005 port list
refused "his is gone" 'user 4006 has no role' 4006:4100 port list
refused "so is a viewer's" 'user 4001 has no role' 4001 port list
refused "who may look now may do no more" 'is a viewer' 4005 port detach plain
claim "and hangs up on who listened" wait_until 5 lib_gone "$listener"
claim_not "without a word about a restart" grep -q 'started again' \
	"$T/switchd.log"
claim "config show knows" ctl_is \
	'.daemon.roles == {viewer: ["4005"]} and .daemon.users == {}' config show

jq 'del(.daemon)' "$T/switchd.conf" >"$T/next"
cp "$T/next" "$T/switchd.conf"
reload
refused "without roles the others have none again" 'has no role' 4005 port list
claim "the log tells that the socket's mode waits" \
	grep -q 'mode of the control socket' "$T/switchd.log"
claim "root may do everything" ctl port set plain mtu=1500
switchd_stop

# ---- many refusals -----------------------------------------------------------

config '{"viewer": ["4001"]}' '{}'
switchd_start -c "$T/switchd.conf"
events_start access
python3 - "$SOCKET" <<-'END'
	import os, socket, sys
	os.setgroups([])
	os.setresgid(4005, 4005, 4005)
	os.setresuid(4005, 4005, 4005)
	conn = socket.socket(socket.AF_UNIX)
	conn.connect(sys.argv[1])
	conn.sendall(300 * b'{"jsonrpc":"2.0","id":1,"method":"port.list"}\n')
	replies = conn.makefile()
	for _ in range(300):
	    replies.readline()
END
another() {
	as 4005 port list && return 1
	event_seen access.refused '.untold > 0'
}
told_all() { # those with an event, and those that events say had none
	value_is "$(ctl -j switch show | jq '.["refused-calls"]')" told
}
told() {
	grep '^access.refused ' "$T/events" | cut -d' ' -f2- |
		jq -s 'length + (map(.untold // 0) | add)'
}
claim "not all of a flood of refusals are told" wait_until 10 another
claim "but a part, so that other events get through" test \
	"$(grep -c '^access.refused ' "$T/events")" -lt 300
claim "and how many more there were, exactly" wait_until 5 told_all
switchd_stop

# ---- without roles -----------------------------------------------------------

echo '{"daemon": {"socket-group": "daemon"}}' >"$T/switchd.conf"
gid=$(getent group daemon | cut -d: -f3)
switchd_start -c "$T/switchd.conf"
claim_equal "without roles the socket is for its group" "660 daemon" \
	"$(stat -c '%a %G' "$SOCKET")"
claim "whose members are admins" as 4001:"$gid" port attach p type=dummy \
	uplink=yes
claim "also of mirrors" as 4001:"$gid" mirror add m to=p
claim_equal "others can't connect" 3 \
	"$(as 4001 port list >&2 && echo 0 || echo $?)"
chmod 666 "$SOCKET"
refused "and if they can they may nothing" 'has no role' 4001 port list
switchd_stop

# ---- a name that goes --------------------------------------------------------

cp /etc/passwd "$T/passwd"
echo 'gone:x:4009:4009::/:/bin/false' >>"$T/passwd"
config '{"viewer": ["gone"]}' '{}'
# shellcheck disable=SC2016 # the inner shell's
nsenter --net="$(ns_path sw)" -- unshare --mount bash -c \
	'mount --bind "$1" /etc/passwd && shift && exec "$@"' bash \
	"$T/passwd" "$SWITCHD" -f -s "$SOCKET" -c "$T/switchd.conf" \
	</dev/null >>"$T/switchd.log" 2>&1 &
SWITCHD_PID=$!
wait_until 10 switchd_answers
claim "a viewer by name" as 4009 port list
was=$(switch_pid)
nsenter --mount --target "$SWITCHD_PID" umount /etc/passwd
kill -KILL "$was"
claim "a user who goes keeps no killed switch from coming back" \
	wait_until 10 answers_other_than "$was"
refused "nobody has his role then" 'has no role' 4009 port list
switchd_stop

# ---- wrong configurations ----------------------------------------------------

wrong() { # NAME TEXT ROLES USERS
	config "$3" "$4"
	claim "$1" says "switchd.conf.*$2|$2" timeout 20 \
		nsenter --net="$(ns_path sw)" -- "$SWITCHD" -f \
		-s "$SOCKET" -c "$T/switchd.conf"
}
wrong "a role that there isn't is refused" 'daemon.roles.boss' \
	'{"boss": []}' '{}'
wrong "a name that nobody can have" 'daemon.roles.admin\[1\]' \
	'{"admin": ["root", "a b"]}' '{}'
wrong "a group that isn't there, at the start" \
	'no group "no-such-group".*daemon.roles.viewer\[0\]' \
	'{"viewer": ["@no-such-group"]}' '{}'
wrong "a user without profiles" 'daemon.users.4003' '{"viewer": []}' \
	'{"4003": {}}'
finish
