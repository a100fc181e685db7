# shellcheck shell=bash
# far.sh - two switches in two places, for tests of what joins them; what it
# sources nothing: `. "$(dirname "$0")/far.sh"` gives lib.sh and tools.sh too.
#
#	n1 [a TAP 10.0.0.1] --+                             +-- [a veth 10.0.0.3] f1
#	                      +-- switchd ------ switchd ---+
#	n2 [a veth 10.0.0.2] -+     in sw         in far
#	                        192.0.2.1 ------ 192.0.2.2
#
# n1 can send frames that are longer than the others' devices take.
# shellcheck source=tests/e2e/tools.sh
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"

FAR_SOCKET=$T/far/switchd.sock
FAR_PID=
NEAR_IP=192.0.2.1
FAR_IP=192.0.2.2

# far COMMAND...: what asks a switch asks the far one
far() {
	local SOCKET=$FAR_SOCKET
	"$@"
}

# both_start: the two switches, what is between them, and their guests
both_start() {
	ns_add sw far n2 f1
	sw_ip link add net0 type veth peer name net0 netns "$(ns_name far)"
	sw_ip addr add $NEAR_IP/24 dev net0
	sw_ip link set net0 up
	ns_exec far ip addr add $FAR_IP/24 dev net0
	ns_exec far ip link set net0 up
	jq -n --arg t "$T" '["192.0.2.*:*"] as $all |
		{daemon: {allow: {udp: $all, connect: $all, listen: $all,
			sockets: [$t + "/*"]}}}' \
		>"$T/both.conf"
	head -c 4M /dev/urandom >"$T/sent"
	switchd_start -c "$T/both.conf"
	mkdir "$T/far"
	ns_background far "$SWITCHD" -f -s "$FAR_SOCKET" -c "$T/both.conf"
	FAR_PID=$PID
	wait_until 10 far switchd_answers
	guest_add n1 10.0.0.1/24 mtu=9000
	veth_add n2 n2 10.0.0.2/24
	ctl port attach n2 type=netdev ifname=n2 >&2
	veth_add f1 f1 10.0.0.3/24 far
	far ctl port attach f1 type=netdev ifname=f1 >&2
}

# readme_block LINE: what the README has in this place, the lines from that one
# on; paths in /etc/switchd are in $T
readme_block() {
	# shellcheck disable=SC2016 # awk's
	awk -v first="$1" '!/^    / { on = 0 }
		{ line = substr($0, 5) }
		line == first { on = 1; found = 1 }
		on { print line }
		END { exit !found }' "$SRC/README" | sed "s|/etc/switchd|$T|"
}

# tunnel_up: the README's script that attaches a TAP which a program has made, as
# $T/tunnel-up; it needs switchctl on the PATH
tunnel_up() {
	readme_block '#!/bin/sh' >"$T/tunnel-up"
	chmod +x "$T/tunnel-up"
	PATH=$(dirname "$SWITCHCTL"):$PATH
}

# far_tap: the README's other way, in `far`: a TAP that is there
# before the program is, and port `tunnel`
far_tap() {
	ns_exec far ip tuntap add tap7 mode tap
	far ctl port attach tunnel type=netdev ifname=tap7 uplink=yes >&2
}

# both_end: the last claims
both_end() {
	claim "the far switch ends" pid_stop "$FAR_PID"
	claim "the near one, too" switchd_stop
}

is_behind() { # GUEST PORT
	ctl_is "[.entries[] | select(.mac == \"$(guest_mac "$1")\") | .port] ==
		[\"$2\"]" fdb list
}

# tag_stays FROM TO: the longest frame with a tag arrives as it was sent
tag_stays() {
	local frame
	frame=$(guest_mac "$2" | tr -d :)02000000dddd8100a00b88b5$(
		printf 'cc%.0s' {1..1500})
	sniff_start "$2" eth0 "$frame"
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec "$1" $FRAMES send eth0 "$frame"
	wait_until 10 grep -qx "$frame" "$T/sniffed"
}

# too_long PORT: two frames that are longer than it takes, with a tag or without,
# are dropped there and counted
too_long() {
	local before
	before=$(port_value "$1" '.tx.drops.mtu // 0')
	no_ping n1 10.0.0.3 -s 1477 -M "do" &&
		ctl_is ".tx.drops.mtu == $before + 2" port show "$1"
}

sent_more() { # PORT FRAMES
	ctl_is ".tx.frames > $2" port show "$1"
}

# numbered PORT: more than a hundred frames each way, by the near switch's PORT;
# so few at a time that they can wait for a program which is kept from running
numbered() {
	steady_start -r 300 n1 f1 &&
		wait_until 20 sent_more "$1" \
			$(($(port_value "$1" .tx.frames) + 150)) &&
		steady_stop && no_frame_lost
}

# file_through FROM TO ADDRESS: a file arrives as it was, by TCP
file_through() {
	local taker
	rm -f "$T/got"
	ns_background "$2" socat -u TCP-LISTEN:99 "CREATE:$T/got"
	taker=$PID
	wait_until 5 listens "$2" 99 &&
		ns_exec "$1" timeout 60 socat -u "FILE:$T/sent" "TCP:$3:99" &&
		wait_until 10 lib_gone "$taker" && cmp "$T/sent" "$T/got"
}

# crosses WHAT NEAR FAR: frames of all kinds do, by these two ports
crosses() {
	claim "$1: a guest here reaches one there" \
		wait_until 20 pings n1 10.0.0.3
	claim "$1: and is reached" pings f1 10.0.0.1
	claim "$1: packets of 1500 bytes cross in one piece" \
		pings n1 10.0.0.3 -s 1472 -M "do"
	claim "$1: and back" pings f1 10.0.0.1 -s 1472 -M "do"
	claim "$1: longer ones are counted as such" too_long "$2"
	claim "$1: a file gets there by TCP" file_through n1 f1 10.0.0.3
	claim "$1: and back, in super-frames as far as they can go" \
		file_through f1 n2 10.0.0.2
	claim "$1: who is there is learned where it came in" is_behind f1 "$2"
	claim "$1: and who is here over there" far is_behind n1 "$3"
	claim "$1: the longest frames with a tag keep it" tag_stays n1 f1
	claim "$1: and back" tag_stays f1 n1
	claim "$1: of frames that are counted none is lost" numbered "$2"
	claim "$1: the ledgers close" wait_until 5 ledgers_close
	claim "$1: and those of the far switch" wait_until 5 far ledgers_close
}
