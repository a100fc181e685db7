#!/bin/bash
# Two switches, as far.sh draws them, joined by OpenVPN: here it makes its TAP,
# which the README's script attaches; there it has one that stays.
. "$(dirname "$0")/far.sh"

# Nobody but the other one is believed.
identity() { # NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
		-nodes -days 2 -subj "/CN=$1" -keyout "$T/$1.key" \
		-out "$T/$1.crt" 2>&1
	openssl x509 -in "$T/$1.crt" -noout -fingerprint -sha256 |
		cut -d= -f2 >"$T/$1.print"
}

# configure NAMESPACE IP PEER PEER'S-IP ROLE
configure() {
	cat >"$T/$1.conf" <<-END
		local $2
		remote $4
		proto udp
		$5
		dh none
		cert $T/$1.crt
		key $T/$1.key
		peer-fingerprint $(<"$T/$3.print")
		keepalive 1 4
	END
}

vpn() { # NAMESPACE
	ns_background "$1" openvpn --config "$T/$1.conf"
}

is_new() { # PORT IFINDEX
	ctl_is ".state == \"up\" and .ifindex != $2" port show "$1"
}

both_start
tunnel_up
far_tap
identity sw >&2
identity far >&2
configure sw $NEAR_IP far $FAR_IP tls-server
configure far $FAR_IP sw $NEAR_IP tls-client
{
	readme_block 'dev tap7'
	echo "setenv PATH $PATH"
	echo "setenv SWITCHD_SOCKET $SOCKET"
} >>"$T/sw.conf"
echo "dev tap7" >>"$T/far.conf"
vpn sw
here=$PID
vpn far
there=$PID
crosses openvpn tap7 tunnel
claim "the port is the program's, and an uplink" ctl_is '.type == "netdev" and
	.ifname == "tap7" and .uplink and .origin == "transient"' port show tap7
fastpath_settings tap7
if [[ ${SETTINGS[0]} != none ]]; then
	claim "the kernel forwards between it and the guest's veth" \
		ctl_is '.["fast-path"].forwarded > 1000' port show tap7
fi

# ---- each of the programs goes -------------------------------------------------

was=$(switch_pid)
kill -KILL "$was"
claim "a switch is back after its death" wait_until 10 answers_other_than "$was"
claim "and the tunnel with it" pings n1 10.0.0.3
claim "an upgrade is made" ctl switch upgrade
claim "the tunnel goes on" pings n1 10.0.0.3

ifindex=$(port_value tap7 .ifindex)
kill -USR1 "$here"
claim "OpenVPN begins again, with another device: the port has that" \
	wait_until 10 is_new tap7 "$ifindex"
claim "and frames cross" wait_until 20 pings n1 10.0.0.3

events_start port
kill -KILL "$here"
claim "OpenVPN is killed: its port goes" wait_until 10 ports_are n1 n2
claim "which an event says" wait_until 5 event_seen port.detached \
	'.name == "tap7" and .reason == "device-gone"'
claim "nobody is there" no_ping n1 10.0.0.3
vpn sw
claim "it is started again: it has its port" wait_until 10 ports_are n1 n2 tap7
claim "and frames cross again" wait_until 20 pings n1 10.0.0.3
pid_stop "$there" >&2
vpn far
claim "the other one is ended and started: they do again" \
	wait_until 20 pings f1 10.0.0.1
claim "the ledgers close at the end" wait_until 5 ledgers_close
both_end
finish
