#!/bin/bash
# Two switches joined by a port of ours in each, over UDP and TCP, and by VDE's
# wire: as far.sh draws them.
. "$(dirname "$0")/far.sh"

# ended PID: it does when it's asked to
ended() {
	local status=0
	pid_stop "$1" || status=$?
	((status != 124))
}

# on_their_way: frames that the near switch has sent by `up`, and the far one hasn't
# received; super-frames are sent as their segments
on_their_way() {
	echo $(($(port_value up .tx.segments) - $(far port_value up .rx.frames)))
}

# settled: sets `before` to that; two questions say the same when nothing is under way
settled() {
	before=$(on_their_way)
	value_is "$before" on_their_way
}

# udp_up: a port `up` in each switch
udp_up() {
	ctl port attach up type=udp local=$NEAR_IP:4789 \
		remote=$FAR_IP:4789 uplink=yes >&2
	far ctl port attach up type=udp local=$FAR_IP:4789 \
		remote=$NEAR_IP:4789 uplink=yes >&2
}

udp_down() {
	far ctl port detach up >&2
	ctl port detach up >&2
}

# wire_mtu N: of what is between the switches
wire_mtu() {
	sw_ip link set net0 mtu "$1"
	ns_exec far ip link set net0 mtu "$1"
}

both_start

# ---- udp -----------------------------------------------------------------------

udp_up
crosses udp up up
ns_exec f1 ip link set eth0 mtu 9000
far ctl port set f1 mtu=9000 >&2
far ctl port set up mtu=9000 >&2
ctl port set up mtu=9000 >&2
claim "udp: with a longer MTU packets of 9000 bytes do" \
	pings n1 10.0.0.3 -s 8972 -M "do"
claim "udp: and back" pings f1 10.0.0.1 -s 8972 -M "do"
ns_exec f1 ip link set eth0 mtu 1500
far ctl port set f1 mtu=1500 >&2
udp_down
claim "udp: without it nobody is there" no_ping n1 10.0.0.3

# A wire that takes a full frame in a packet has many of them cross as one.
wire_mtu 2000
udp_up
claim "udp: many as one: a guest is reached" wait_until 20 pings n1 10.0.0.3
wait_until 10 settled
claim "udp: many as one: a file gets there by TCP" file_through n1 f1 10.0.0.3
claim "udp: many as one: what was sent was received, to the frame" \
	wait_until 10 value_is "$before" on_their_way
upgraded_meanwhile() {
	local sink source
	ns_background f1 socat -u TCP-LISTEN:98 OPEN:/dev/null
	sink=$PID
	wait_until 5 listens f1 98 || return
	ns_background n1 socat -u OPEN:/dev/zero TCP:10.0.0.3:98
	source=$PID
	wait_until 5 sent_more up "$(($(port_value up .tx.frames) + 1000))" &&
		far ctl switch upgrade >&2 || return
	ended "$source"
	wait_until 5 lib_gone "$sink"
}
claim "udp: many as one: the far switch is upgraded meanwhile" upgraded_meanwhile
claim "udp: many as one: and loses none" \
	wait_until 10 value_is "$before" on_their_way
claim "udp: many as one: a file gets back" file_through f1 n2 10.0.0.2
claim "udp: many as one: the ledgers close" wait_until 5 ledgers_close
claim "udp: many as one: and those of the far switch" \
	wait_until 5 far ledgers_close
udp_down
wire_mtu 1500

# ---- stream --------------------------------------------------------------------

listen() {
	ctl listener add lan type=stream listen=$NEAR_IP:4790 uplink=yes >&2
}

far ctl port attach up type=stream connect=$NEAR_IP:4790 uplink=yes >&2
claim "stream: the one that dials waits" far value_is no-carrier \
	port_value up .state
listen
crosses stream lan.1 up
ctl listener remove lan >&2
claim "stream: who listened is gone" wait_until 10 far value_is no-carrier \
	port_value up .state
listen
claim "stream: and is dialled again" wait_until 10 pings n1 10.0.0.3
far ctl port detach up >&2
claim "stream: the other end goes with it" wait_until 10 ports_are n1 n2

# ---- VDE -----------------------------------------------------------------------

ctl listener add here type=vde listen="$T/here" uplink=yes >&2
far ctl listener add there type=vde listen="$T/there" uplink=yes >&2
ns_background sw dpipe vde_plug "vde://$T/here" = vde_plug "vde://$T/there"
wire=$PID
crosses dpipe here.1 there.1
claim "dpipe: it ends" ended "$wire"
claim "dpipe: its ports go with it" wait_until 10 ports_are n1 n2
both_end
finish
