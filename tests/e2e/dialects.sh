#!/bin/bash
# What every dialect carries: frames of all lengths up to the longest, nothing
# that is over a port's MTU, and of a super-frame its segments, all checksums done.
#
#	udp, dgram, stream, seqpacket, vde, uml --- switchd --- [TAP t] super-frames
. "$(dirname "$0")/tools.sh"

D=$T/sockets
mkdir "$D"
LONGEST=$((65535 + 14)) # the header isn't of the MTU
LONGEST_UDP=$((65507 - 4)) # room for a tag
ALL=udp,dgram,stream,seqpacket,vde,uml
declare -A PORT=([udp]=udp [dgram]=dgram [stream]=s.1 [seqpacket]=q.1 [vde]=v.1
	[uml]=m.1)

# guests COMMAND [ARGUMENT...]: see dialects.py
guests() {
	local answer
	echo "$*" >&"${GUESTS[1]}"
	read -rt 30 answer <&"${GUESTS[0]}" || answer="no answer"
	[[ $answer == ok ]] || {
		echo "guests $*: $answer" >&2
		return 1
	}
}

others() { # NAME: all but that
	tr ',' '\n' <<<"$ALL" | grep -vx "$1" | paste -sd,
}

# over_mtu NAME COUNT: so many did its port drop for that
over_mtu() {
	value_is "$2" port_value "${PORT[$1]}" '.tx.drops.mtu // 0'
}

jq -n --arg d "$D" '{
	daemon: {allow: {sockets: [$d + "/*"]}},
	ports: [
		{name: "udp", type: "udp", local: "127.0.0.1:5000",
			remote: "127.0.0.1:5001", mtu: (65507 - 18)},
		{name: "dgram", type: "dgram", local: ($d + "/switch"),
			remote: ($d + "/guest"), mtu: 65535}],
	listeners: [
		{name: "s", type: "stream", listen: ($d + "/stream")},
		{name: "q", type: "seqpacket", listen: ($d + "/seqpacket")},
		{name: "v", type: "vde", listen: ($d + "/vde")},
		{name: "m", type: "uml", listen: ($d + "/uml")}] | map(.mtu = 65535)
}' >"$T/switchd.conf"
ns_add sw
ns_exec sw sysctl -qw net.ipv6.conf.default.disable_ipv6=1 # or hosts speak, too
switchd_start -c "$T/switchd.conf"
claim "UDP carries no more than a datagram" says 'bad-value.*at mtu' \
	ctl port set udp mtu=$((65507 - 17))
coproc GUESTS { ns_exec sw "$PYTHON" -B "$(dirname "$0")/dialects.py" "$D"; }
lib_pids+=("$GUESTS_PID")
claim "a guest of each dialect connects" guests connect
claim "each is a port" wait_until 10 ports_are dgram m.1 q.1 s.1 udp v.1
claim "all are up" wait_until 10 ctl_is 'all(.ports[]; .state == "up")' port list

# ---- long frames -------------------------------------------------------------

for name in ${ALL//,/ }; do
	claim "$name: a frame of 9014 bytes reaches all others, as it was" \
		guests frame "$name" 9014 "$(others "$name")"
	claim "$name: so does the longest that all have" \
		guests frame "$name" "$LONGEST_UDP" "$(others "$name")"
	[[ $name != udp ]] || continue
	claim "$name: and of $LONGEST bytes, to all but UDP" \
		guests frame "$name" "$LONGEST" "$(others udp)"
done
claim "where they were too long" over_mtu udp 5
for name in ${ALL//,/ }; do
	[[ $name == udp ]] || claim "$name: no frame was" over_mtu "$name" 0
done

# ---- the MTU of a port -------------------------------------------------------

# As Linux has it: 14 bytes of header more, and 4 of a tag that may be there.

for name in ${ALL//,/ }; do
	claim "$name: another MTU" ctl port set "${PORT[$name]}" mtu=1400
	from=stream
	[[ $name != stream ]] || from=vde
	before=$(port_value "${PORT[$name]}" '.tx.drops.mtu // 0')
	claim "$name: a frame that is a byte too long gets to the others" \
		guests frame "$from" 1419 "$(others "$name")"
	claim "$name: and is dropped here for that" over_mtu "$name" $((before + 1))
	claim "$name: one that isn't gets here, too" guests frame "$from" 1418 "$ALL"
	claim "$name: that MTU is for what is sent to it" \
		guests frame "$name" 1500 "$(others "$name")"
	claim "$name: and can be changed again" \
		ctl port set "${PORT[$name]}" mtu=9000
done

# ---- offloads ----------------------------------------------------------------

claim "a TAP" ctl port attach t type=tap ifname=tap
sw_ip link set tap up
claim "of a super-frame all get the segments, with their checksums" \
	guests super tap
claim "it came in as one" ctl_is '.rx.segments == 3 and .rx.frames == 1' \
	port show t
for name in ${ALL//,/ }; do
	claim "$name: they were made for it" ctl_is '.tx.segments >= 3' \
		port show "${PORT[$name]}"
done
claim "every frame is accounted for" wait_until 5 ledgers_close
finish
