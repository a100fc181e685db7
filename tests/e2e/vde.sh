#!/bin/bash
# VDE's own programs at our listeners, as they are at vde_switch: clients with a
# TAP, on standard input and output, through wirefilter; numbers, descriptions;
# what an end of a connection, a crash and an upgrade do; and what others may
# not do with it.
#
#	p1, p2 [vde_plug2tap] -- folder vde --+
#	vde_plug, others ------- folder vde --+-- switchd -- folder far --- vde_plug
#	p4 [vde_plug2tap] - vde_switch = dpipe+                                ||
#	                                                                  wirefilter
#	p3 [vde_plug2tap] -- folder b -- another switchd -- folder far2 -------||
. "$(dirname "$0")/peers.sh"

D=$T/vde
CLIENT=("$PYTHON" -B "$(dirname "$0")/vde_client.py")

# plug NAME FOLDER ADDRESS/LEN [OPTION...]: a guest as VDE makes it: a namespace
# with a TAP of vde_plug2tap's; sets PID
plug() {
	local name=$1 folder=$2 address=$3
	shift 3
	ns_add "$name"
	ns_background "$name" vde_plug2tap -s "$folder" "$@" eth0
	CLIENT_PID[$name]=$PID
	wait_until 5 ip -n "$(ns_name "$name")" link show eth0
	ns_exec "$name" ip addr add "$address" dev eth0
	ns_exec "$name" ip link set eth0 up
}

# refused LISTENER REASON NUMBER: so many were, for that
refused() {
	ctl_is ".refused.\"$2\" == $3" listener show "$1"
}

has_port() { # NAME
	ctl port show "$1"
}

has_port_soon() { # NAME
	wait_until 10 has_port "$1"
}

ports_are_none() {
	ctl_is '.ports == []' port list
}

no_port() { # NAME
	! ctl port show "$1" 2>/dev/null
}

no_file() { # PATH
	[[ ! -e $1 ]]
}

# round_trip NAMESPACE ADDRESS: ms, of the quickest of some
round_trip() {
	ns_exec "$1" ping -q -c4 -i0.2 -W2 "$2" |
		sed -n 's|^rtt [^=]*= \([0-9.]*\)/.*|\1|p'
}

at_least() { # MS NAMESPACE ADDRESS
	local ms
	ms=$(round_trip "$2" "$3")
	echo "round trip $ms ms" >&2
	jq -en "${ms:-0} >= $1" >/dev/null
}

chmod 711 "$T"
jq -n --arg t "$T" '{
	daemon: {allow: {sockets: [$t + "/*"]}},
	profiles: {lab: {mode: "access", vlan: 10}},
	listeners: [{name: "v", type: "vde", listen: ($t + "/vde"), rate: 1000},
		{name: "u", type: "uml", listen: ($t + "/uml.ctl")}],
	ports: []
}' >"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"

# ---- two guests --------------------------------------------------------------

claim_equal "the folder is root's" "directory root root 700" \
	"$(stat -c '%F %U %G %a' "$D")"
plug p1 "$D" 10.0.0.1/24
plug p2 "$D" 10.0.0.2/24 -p 7
claim "two vde_plug2tap reach each other" pings p1 10.0.0.2
claim "the first one is port 1" ctl_is '.type == "vde" and .listener == "v" and
	.state == "up" and .mtu == 1500' port show v.1
claim "the other one is the port that it has asked for" has_port v.7
claim "port list has what they say of themselves" ctl_is '[.ports[] |
	.description | test("^vde_plug2tap: user=root pid=[0-9]+")] |
	length == 2 and all' port list
claim_equal "which is told by the kernel as well" "${CLIENT_PID[p2]}" \
	"$(port_value v.7 .peer.pid)"
claim_equal "each has a socket in the folder, and none of its own" \
	"001 007 ctl" "$(find "$D" -type s -printf '%f\n' | sort | xargs)"
claim "TCP gets through" tcp_through p1 p2 10.0.0.2

# ---- numbers -----------------------------------------------------------------

client busy vde_plug "vde://${D}[7]"
claim "who asks for a port that is there is hung up on" \
	wait_until 10 lib_gone "${CLIENT_PID[busy]}"
claim "which is counted" refused v number-taken 1
client next vde_plug "vde://${D}[2]" -D "the \"second\" one"
claim "a free number is had" has_port_soon v.2
claim "with any description" ctl_is '.description |
	test("the \"second\" one")' port show v.2
claim "it ends" over next
claim "and its port with it" wait_until 10 no_port v.2
claim "the socket as well" wait_until 10 no_file "$D/002"

# ---- standard input and output ------------------------------------------------

FRAME=ffffffffffff02000000aaaa88b5$(printf '00%.0s' {1..46})
sniff_start p1 eth0 "$FRAME"
client stdio vde_plug "vde://$D"
claim "vde_plug on standard input is a port" has_port_soon v.2
# shellcheck disable=SC2001 # two digits at a time
printf '\x00\x3c%b' "$(sed 's/../\\x&/g' <<<"$FRAME")" >&"${FEED[stdio]}"
claim "what is written to it comes out elsewhere" \
	wait_until 10 grep -q "$FRAME" "$T/sniffed"
claim "its address is learned there" is_learned 02:00:00:00:aa:aa v.2
BACK=ffffffffffff02000000bbbb88b5$(printf '00%.0s' {1..46})
# shellcheck disable=SC2086 # $FRAMES is a command and its argument
claim "a frame goes the other way" ns_exec p1 $FRAMES send eth0 "$BACK"
claim "and comes out with its length in front" \
	wait_until 10 hex_has "$T/stdio.out" "003c$BACK"
claim "vde_plug ends with its input" over stdio
claim "its port, too" wait_until 10 no_port v.2

# ---- two switches, vde_switch, wirefilter --------------------------------------

jq -n --arg t "$T" '{
	daemon: {allow: {sockets: [$t + "/*"]}}, ports: [],
	listeners: [{name: "b", type: "vde", listen: ($t + "/b")}]
}' >"$T/b.conf"
mkdir "$T/other"
ns_background sw "$SWITCHD" -f -s "$T/other/switchd.sock" -c "$T/b.conf"
wait_until 10 test -S "$T/b/ctl"
plug p3 "$T/b" 10.0.0.3/24
client wire dpipe vde_plug "vde://${D}[11]" = wirefilter -d 5 = \
	vde_plug "vde://$T/b"
claim "dpipe joins two switches by wirefilter" has_port_soon v.11
claim "a guest of the other one is reached" wait_until 10 pings p1 10.0.0.3
claim "which takes what wirefilter's delay says" at_least 10 p1 10.0.0.3
claim "the way goes by its port" is_learned "$(guest_mac p3)" v.11

client vs vde_switch -s "$T/vs"
wait_until 10 test -S "$T/vs/ctl"
plug p4 "$T/vs" 10.0.0.4/24
client pipe dpipe vde_plug "vde://${D}[12]" = vde_plug "vde://$T/vs"
claim "so does dpipe our switch and vde_switch" has_port_soon v.12
claim "whose guest is reached" wait_until 10 pings p1 10.0.0.4
claim "and reaches one two switches away" wait_until 10 pings p4 10.0.0.3

# ---- crash and upgrade ---------------------------------------------------------

was=$(switch_pid)
kill -KILL "$was"
claim "the switch is back after it was killed" \
	wait_until 10 answers_other_than "$was"
claim "its guests go on" pings p1 10.0.0.2
claim "those behind pipes as well" pings p4 10.0.0.3
claim_equal "by the ports that they had" "v.1 v.11 v.12 v.7" \
	"$(ctl -j port list | jq -r '[.ports[].name] | sort | join(" ")')"
claim "with what they said of themselves" ctl_is '.description |
	test("^vde_plug2tap")' port show v.7
claim "an upgrade is made" ctl switch upgrade
claim "they go on after that, too" pings p1 10.0.0.2
kill -KILL "${CLIENT_PID[p2]}"
claim "one that is killed has no port any more" wait_until 10 no_port v.7
claim "nor a socket" wait_until 10 no_file "$D/007"
claim "the others are there" pings p1 10.0.0.3
claim "all ledgers close" ledgers_close

events_start listener

# ---- what isn't decent ---------------------------------------------------------

client pieces "${CLIENT[@]}" "$D/ctl" pieces
claim "a request may come byte by byte" said pieces "answer $D/002"
claim "it is a port" has_port v.2
client bad "${CLIENT[@]}" "$D/ctl" bad all
claim "what is no request is hung up on" said bad \
	closed closed closed closed closed closed closed closed closed
claim "each is counted" refused v bad-request 9
over bad
over pieces
claim "who says nothing is waited for" wait_until 10 no_port v.2
client frame "${CLIENT[@]}" "$D/ctl" frame
claim "a frame that comes at once isn't lost" \
	wait_until 10 is_learned 02:00:00:00:d0:0d v.2
claim "a description is made printable" \
	ctl_is '.description == "a?[1mb?c"' port show v.2
over frame
wait_until 10 no_port v.2

# A socket of root's, which only a fool would send to for somebody else.
ns_background sw socat -u "UNIX-RECV:$T/root.sock" "CREATE:$T/root.got"
wait_until 10 test -S "$T/root.sock"
ns_background sw socat -u "UNIX-RECV:/tmp/vde-e2e.$$" "CREATE:$T/root.got"
wait_until 10 test -S "/tmp/vde-e2e.$$"
ROOTS=/tmp/vde-e2e.$$

ctl listener add w type=vde listen="$T/w" owner=daemon profile=lab >&2
claim_equal "a folder can be somebody's" "daemon 700 daemon 600" \
	"$(stat -c '%U %a' "$T/w" "$T/w/ctl" | xargs)"
DAEMON=(setpriv --reuid=daemon --regid=daemon --clear-groups --)
NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
client his "${DAEMON[@]}" vde_plug "vde://$T/w"
claim "whose clients are ports" has_port_soon w.1
claim "with the listener's settings" ctl_is '.mode == "access" and
	.vlan == 10 and .peer.uid == 1' port show w.1
claim_equal "the port's socket is his" "daemon 700" \
	"$(stat -c '%U %a' "$T/w/001")"
claim_not "others don't get in" "${NOBODY[@]}" vde_plug "vde://$T/w" </dev/null
client deputy "${DAEMON[@]}" "${CLIENT[@]}" "$T/w/ctl" at "$ROOTS"
claim "who names root's socket as his own is hung up on" said deputy closed
over deputy
client deputy "${DAEMON[@]}" "${CLIENT[@]}" "$T/w/ctl" at "$T/root.sock"
claim "also where it's in a folder that nobody would look into" \
	said deputy closed
over deputy
rm -f "$ROOTS"
claim "both are counted" refused w no-port 2
claim "and nothing was sent there" test ! -s "$T/root.got"
claim "an event says why" event_seen listener.refused \
	'.name == "w" and (.message | test("that isn.t the client.s"))'
over his

ctl listener add x type=vde listen="$T/x" socket-mode=666 >&2
claim_equal "a folder can be everybody's, as vde_switch -m 666 has it" \
	"1777 666" "$(stat -c '%a' "$T/x" "$T/x/ctl" | xargs)"
client hers "${NOBODY[@]}" vde_plug "vde://$T/x"
claim "who get in" has_port_soon x.1
claim "as who they are" ctl_is '.peer.uid == 65534' port show x.1
over hers

# ---- uml_switch's protocol -----------------------------------------------------

client uml ns_exec sw "${CLIENT[@]}" "$T/uml.ctl" uml
claim "a request of UML's is answered by an abstract address" \
	said uml "answer abstract"
claim "frames come from there" wait_until 10 is_learned 02:00:00:00:d0:0d u.1
claim "a port of type uml" ctl_is '.type == "uml" and .listener == "u" and
	(has("description") | not)' port show u.1
claim "the end of the connection is its end" over uml
claim "and the port's" wait_until 10 no_port u.1
client uml ns_exec sw "${CLIENT[@]}" "$D/ctl" uml
claim "the same at a VDE folder is answered by a path" said uml "answer $D/002"
over uml
client bad "${CLIENT[@]}" "$T/uml.ctl" bad garbage
claim "what is no request is hung up on there as well" said bad closed
over bad

# ---- the end -------------------------------------------------------------------

claim "a listener that is removed takes its ports along" ctl listener remove v
claim "all of them" wait_until 10 ports_are_none
claim "and its folder" wait_until 10 no_file "$D"
claim "the switch ends" switchd_stop
claim "nothing of it is left" no_file "$T/w"
finish
