#!/bin/bash
# VirtualBox's ways to a switch, by a stand-in that does with frames what it does
# (virtualbox.py): its UDP tunnel, its VDE driver, and "bridged" to a TAP of ours.
#
#	g1 [10.0.0.1] UDP tunnel, 4445 --------- tun --+
#	g2 [10.0.0.2] bridged -- vbox0, a TAP -- vbox -+-- switchd
#	g4 [10.0.0.7] VDE ---------------------- v.9 --+
#	vm [10.0.0.3] a TAP with all offloads -- vm ---+
#	plug [10.0.0.4] vde_plug2tap ----------- v.1 --+
. "$(dirname "$0")/tools.sh"

HERE=$(dirname "$0")
declare -A ORDERS

# box NAME ADDRESS/LEN MAC KIND [WHERE...]: a guest of VirtualBox's, a namespace
# of that name; what the stand-in says is in $T/NAME.out
box() {
	local name=$1 address=$2 mac=$3 fd
	shift 3
	mkfifo "$T/$name.in"
	ns_exec sw "$PYTHON" -B "$HERE/virtualbox.py" "$name" "$@" \
		<"$T/$name.in" >"$T/$name.out" 2>&1 &
	lib_pids+=("$!")
	exec {fd}>"$T/$name.in"
	ORDERS[$name]=$fd
	wait_until 10 grep -q ready "$T/$name.out"
	ns_add "$name"
	sw_ip link set "$name" netns "$(ns_name "$name")" name eth0 \
		address "$mac"
	ns_exec "$name" ip addr add "$address" dev eth0
	ns_exec "$name" ip link set eth0 mtu "${BOX_MTU:-1500}" up
}

# order NAME pause|resume|report: once it has done so
order() {
	local lines
	lines=$(wc -l <"$T/$1.out")
	echo "$2" >&"${ORDERS[$1]}"
	wait_until 10 said_more "$1" "$lines"
}

said_more() { # NAME LINES
	(($(wc -l <"$T/$1.out") > $2))
}

# box_is NAME JQ-EXPRESSION: of what came since the last time
box_is() {
	order "$1" report
	tail -n 1 "$T/$1.out" >&2
	tail -n 1 "$T/$1.out" | jq -e "$2"
}

# frame FROM TO BYTES [TAG]: from one namespace to the other
frame() {
	local head
	head=$(guest_mac "$2" | tr -d :)$(guest_mac "$1" | tr -d :)${4:-}88b5
	printf '%s' "$head"
	printf '5a%.0s' $(seq $(($3 - ${#head} / 2)))
}

# crosses FROM TO BYTES [TAG]: such a frame does, as it is
crosses() {
	local what
	what=$(frame "$@")
	sniff_start "$2" eth0 "$what"
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec "$1" $FRAMES send eth0 "$what"
	wait_until 10 grep -qx "$what" "$T/sniffed"
}

# all_cross A B [BYTES...]: frames of all lengths, and with a tag, both ways
all_cross() {
	local a=$1 b=$2 from to bytes
	shift 2
	for from in "$a" "$b"; do
		to=$a$b
		to=${to/"$from"/}
		for bytes in 60 1514 "$@"; do
			claim "$bytes bytes from $from to $to" \
				crosses "$from" "$to" "$bytes"
		done
		claim "1518 with a tag from $from to $to" \
			crosses "$from" "$to" 1518 81000064
	done
}

# asks FROM TO ADDRESS: an ARP request comes to the other as it was, unpadded
asks() {
	ns_exec "$1" ip neigh flush dev eth0
	sniff_start "$2" eth0 "ffffffffffff$(guest_mac "$1" | tr -d :)0806"
	pings "$1" "$3" && wait_until 10 grep -qxE '[0-9a-f]{84}' "$T/sniffed"
}

# arrives FROM TO ADDRESS: a file does by TCP, as it was
arrives() {
	rm -f "$T/got"
	ns_background "$2" socat -u TCP-LISTEN:99,reuseaddr "CREATE:$T/got"
	wait_until 5 listens "$2" 99
	ns_exec "$1" timeout 60 socat -u "OPEN:$T/file" "TCP:$3:99"
	wait_until 60 cmp "$T/file" "$T/got"
}

is_at() { # GUEST PORT: its address is learned there
	ctl_is ".entries[] | select(.mac == \"$(guest_mac "$1")\") |
		.port == \"$2\"" fdb list
}

# no_answer FROM ADDRESS SECONDS: 1 where the other one says that nobody listens
# there, 124 where it says nothing
no_answer() {
	local status=0
	ns_exec "$1" timeout "$3" bash -c ": </dev/tcp/$2/9" 2>/dev/null ||
		status=$?
	echo "$status"
}

# A datagram of the host's to g2 does arrive. (The answer to who has 10.0.0.2
# would be for the host, which VirtualBox itself gives it.)
host_says() {
	sw_ip neigh replace 10.0.0.2 lladdr "$(guest_mac g2)" dev vbox0
	ns_background g2 socat -u UDP-RECV:98 "CREATE:$T/said"
	wait_until 5 listens_udp g2 98
	ns_exec sw bash -c 'echo hello >/dev/udp/10.0.0.2/98'
	wait_until 5 grep -qx hello "$T/said"
}

listens_udp() { # NAMESPACE PORT
	ns_exec "$1" ss -Hlun "sport = :$2" | grep -q .
}

# Datagrams for which there was no socket, in the switch's namespace.
unheard() {
	ns_exec sw cat /proc/net/snmp |
		awk '/^Udp:/ { if (n++) print $3 }'
}

# stranger LOCAL: sends five frames to the port tun from there
stranger() {
	ns_exec sw "$PYTHON" -B "$HERE/socket_peer.py" "$1" 127.0.0.1:4444 \
		send "5*ffffffffffff02000000006688b5$(printf '5a%.0s' {1..46})"
}

stranger_is_unknown() {
	ctl_is '[.entries[].mac] | index("02:00:00:00:00:66") == null' fdb list
}

jq -n --arg t "$T" '{
	daemon: {allow: {sockets: [$t + "/*"]}},
	listeners: [{name: "v", type: "vde", listen: ($t + "/vde")}],
	ports: [{name: "tun", type: "udp", local: "127.0.0.1:4444",
		remote: "127.0.0.1:4445", mtu: 9000}]
}' >"$T/switchd.conf"
dd if=/dev/urandom of="$T/file" bs=1M count=4 status=none
switchd_start -c "$T/switchd.conf"
guest_add vm 10.0.0.3/24 mtu=9000
ns_add plug
ns_background plug vde_plug2tap -s "$T/vde" eth0
wait_until 10 ip -n "$(ns_name plug)" link show eth0
ns_exec plug ip addr add 10.0.0.4/24 dev eth0
ns_exec plug ip link set eth0 up

# ---- the UDP tunnel ----------------------------------------------------------

BOX_MTU=9000 box g1 10.0.0.1/24 08:00:27:00:00:01 tunnel 4445 127.0.0.1 4444
claim "a guest in a UDP tunnel reaches one with a TAP" pings g1 10.0.0.3
claim "and one of VDE's" pings g1 10.0.0.4
claim "who reaches it" pings plug 10.0.0.1
claim "its address is learned there" is_at g1 tun
claim "its ARP is the 42 bytes that it was" asks g1 vm 10.0.0.3
claim "so is that to it" asks vm g1 10.0.0.1
all_cross g1 vm 9014
claim "a file of one with offloads arrives by TCP" \
	arrives vm g1 10.0.0.1
claim "and back" arrives g1 vm 10.0.0.3
claim "what the switch sends comes from its port and no other, a frame each" \
	box_is g1 '.sources == ["127.0.0.1:4444"] and .longest <= 9014'

nobody=$(unheard)
claim "another port of the same host sends" stranger 127.0.0.1:4446
claim "none of that is heard" stranger_is_unknown
claim_equal "the host counts it" $((nobody + 5)) "$(unheard)"

claim "a guest that is paused" order g1 pause
claim "isn't reached" no_ping vm 10.0.0.1
claim "nor heard is who has its number at another address" \
	stranger 127.0.0.2:4445
claim "not at all" stranger_is_unknown
claim "its port stays" ctl_is '.state == "up"' port show tun
claim "when it goes on" order g1 resume
claim "it is" wait_until 10 pings vm 10.0.0.1

# ---- VDE ---------------------------------------------------------------------

box g4 10.0.0.7/24 08:00:27:00:00:04 vde "$T/vde[9]"
claim "a guest by the VDE driver has the port that it asks for" \
	ctl_is '.description | test("^VirtualBOX ")' port show v.9
claim "it reaches one with a TAP" pings g4 10.0.0.3
claim "and one in a tunnel" pings g4 10.0.0.1
claim "its ARP is the 42 bytes that it was" asks g4 vm 10.0.0.3
all_cross g4 vm
claim "a file of one with offloads arrives by TCP" arrives vm g4 10.0.0.7
claim "and back" arrives g4 vm 10.0.0.3

# ---- bridged to a TAP --------------------------------------------------------

claim "a TAP for a guest to be bridged to" \
	ctl port attach vbox type=tap ifname=vbox0 offload=no
box g2 10.0.0.2/24 08:00:27:00:00:02 bridged vbox0
claim "such a guest reaches one with a TAP" pings g2 10.0.0.3
claim "one of VDE's" pings g2 10.0.0.4
claim "and one in a tunnel" pings g2 10.0.0.1
claim "who reaches it" pings plug 10.0.0.2
claim "by an address that isn't the device's" is_at g2 vbox
claim "its ARP is the 42 bytes that it was" asks g2 vm 10.0.0.3
claim "so is that to it" asks vm g2 10.0.0.2
all_cross g2 vm
order g2 report
claim "a file of one with offloads arrives by TCP" \
	arrives vm g2 10.0.0.2
claim "as frames that it can take" \
	box_is g2 '.partial == 0 and .super == 0 and .longest == 1514'
claim "and back" arrives g2 vm 10.0.0.3
sw_ip addr add 10.0.0.6/24 dev vbox0
claim "the host itself can be on that device" arrives sw vm 10.0.0.3
claim "without super-frames either" \
	ctl_is '.rx.segments == .rx.frames' port show vbox
claim "others have them" ctl_is '.rx.segments > .rx.frames' port show vm
claim "what it sends to that guest gets there, its checksum whole" host_says
sw_ip addr del 10.0.0.6/24 dev vbox0

sw_ip link set vbox0 carrier off
claim "VirtualBox takes the carrier along when its guest ends" \
	wait_until 5 ctl_is '.state == "no-carrier"' port show vbox
sw_ip link set vbox0 carrier on
claim "and brings it with the next one" \
	wait_until 5 ctl_is '.state == "up"' port show vbox
claim "which is reached" pings vm 10.0.0.2

# Why it is offload=no.
claim "a TAP as it is" ctl port attach whole type=tap ifname=vbox1
box g3 10.0.0.5/24 08:00:27:00:00:03 bridged vbox1
claim "is as good for ping" pings vm 10.0.0.5
claim_equal "but a guest drops what has no whole checksum" 124 \
	"$(no_answer vm 10.0.0.5 1)"
claim "and nobody on the way makes it one" box_is g3 '.partial > 0'
claim_equal "where there is, even a closed port answers" 1 \
	"$(no_answer vm 10.0.0.2 10)"

was=$(switch_pid)
kill -KILL "$was"
claim "the switch is back after it was killed" \
	wait_until 10 answers_other_than "$was"
claim "both ways to VirtualBox go on" pings g1 10.0.0.2
claim "checksums, too, are whole" test "$(no_answer vm 10.0.0.2 10)" = 1
claim "every frame is accounted for" ledgers_close
finish
