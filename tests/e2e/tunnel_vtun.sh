#!/bin/bash
# Two switches, as far.sh draws them, joined by vtun: here it makes its TAP, which
# the README's script attaches; there it has one that stays.
. "$(dirname "$0")/far.sh"

# vtun NAMESPACE ARGUMENT...: its locks are in a /run of its own
vtun() {
	ns_background "$1" env SWITCHD_SOCKET="$SOCKET" unshare --mount sh -c \
		'mount -t tmpfs tmpfs /run && mkdir -p /run/lock/vtund &&
		exec vtund -n -f "$@"' sh "$T/$1.conf" "${@:2}"
}

configure() { # NAMESPACE [BLOCK]
	cat >"$T/$1.conf" <<-END
		options { port 5000; timeout 5; }
		east {
			passwd secret;
			type ether;
			proto udp;
			device tap7;
			keepalive 1:4;
			persist yes;
			${2-}
		}
	END
}

both_start
tunnel_up
far_tap
configure far
configure sw "$(readme_block \
	"up { program /etc/switchd/tunnel-up \"%%\" wait; };")"
vtun far -s
wait_until 10 listens far 5000
vtun sw east $FAR_IP
client=$PID
crosses vtun tap7 tunnel
claim "the port is the program's, and an uplink" ctl_is '.type == "netdev" and
	.ifname == "tap7" and .uplink and .origin == "transient"' port show tap7
kill -KILL "$client"
claim "vtund is killed: its port goes" wait_until 10 ports_are n1 n2
vtun sw east $FAR_IP
claim "it is started again: it has its port" \
	wait_until 30 ports_are n1 n2 tap7
claim "and frames cross again" wait_until 30 pings n1 10.0.0.3
claim "the ledgers close at the end" wait_until 5 ledgers_close
both_end
finish
