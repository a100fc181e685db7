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

both_start

# ---- udp -----------------------------------------------------------------------

ctl port attach up type=udp local=$NEAR_IP:4789 remote=$FAR_IP:4789 \
	uplink=yes >&2
far ctl port attach up type=udp local=$FAR_IP:4789 remote=$NEAR_IP:4789 \
	uplink=yes >&2
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
far ctl port detach up >&2
ctl port detach up >&2
claim "udp: without it nobody is there" no_ping n1 10.0.0.3

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
