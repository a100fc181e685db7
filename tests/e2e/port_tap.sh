#!/bin/bash
# Ports of type tap: the devices that they make and take, what a guest sees of
# them, and that no frame is unaccounted for.
#
#	vm1 [eth0 10.0.0.1] --+-- switchd --+-- [eth0 10.0.0.2] vm2
#	      other devices are in the namespaces sw and far
. "$(dirname "$0")/tools.sh"
user_dir
ns_add far
switchd_start

attach() { # NAME [key=value...]: of type tap, the device of the same name
	ctl port attach "$1" type=tap ifname="$1" "${@:2}"
}

# Does a program have it open? There is no carrier else.
held() {
	sw_ip link set "$1" up
	[[ $(link_value sw "$1" .operstate) != DOWN ]]
}

features_on() { # NAMESPACE DEVICE FEATURE...
	local ns=$1 device=$2 feature
	shift 2
	ns_exec "$ns" ethtool -k "$device" >"$T/features"
	for feature in "$@"; do
		grep -q "^[[:space:]]*$feature: on" "$T/features" || {
			echo "off: $feature" >&2
			return 1
		}
	done
}

# ---- devices -----------------------------------------------------------------

claim "a TAP is made where there is none" attach new0
claim_equal "it's up" up "$(port_value new0 .state)"
claim_equal "and is what port show says it is" \
	"$(link_value sw new0 '"\(.ifindex) \(.address) \(.mtu)"')" \
	"$(port_value new0 '"\(.ifindex) \(.mac) \(.mtu)"')"
claim "without a name the kernel gives one" ctl port attach unnamed type=tap
claim_equal "which port show says" tun \
	"$(link_value sw "$(port_value unnamed .ifname)" .linkinfo.info_kind)"
claim "a name that is there already is refused" \
	says 'port-exists, at name' ctl port attach new0 type=tap ifname=other
claim "a device that is a port already is refused" \
	says '\(device-|at ifname' ctl port attach again type=tap ifname=new0
ctl port detach new0 >&2
claim "detached, it's gone" wait_until 5 link_gone sw new0

claim "owner, group, MAC, MTU and address are set" attach full0 owner=65532 \
	group=65533 mac=02:00:00:00:00:99 mtu=1400 address=192.0.2.1/24 \
	persist=yes
claim_equal "as they were given" \
	"02:00:00:00:00:99 1400 65532 65533 true 192.0.2.1/24" \
	"$(sw_ip -N -j -d addr show full0 | jq -r '.[0] |
		"\(.address) \(.mtu) \(.linkinfo.info_data | "\(.user) " +
		"\(.group) \(.persist)") \(.addr_info | map(select(.family ==
		"inet"))[0] | "\(.local)/\(.prefixlen)")"')"
ctl port detach full0 >&2
claim_equal "persistent, it stays" full0 "$(link_value sw full0 .ifname)"
was=$(link_value sw full0 .ifindex)
claim "and is taken again" attach full0
claim_equal "the same device" "$was" "$(port_value full0 .ifindex)"
ctl port detach full0 >&2
sw_ip link del full0

sw_ip tuntap add there0 mode tap
sw_ip link set there0 mtu 1300
claim "a TAP that somebody has made is taken" attach there0 mtu=1450
ctl port detach there0 >&2
claim "it's as before when its port is detached" \
	wait_until 5 value_is "1300 false" \
	link_value sw there0 '"\(.mtu) \(.flags | contains(["UP"]))"'

ns_background sw $PYTHON "$(dirname "$0")/frames.py" hold there0 60
wait_until 5 held there0
claim "a TAP that a guest holds is refused, and netdev named" \
	says 'held by another program.*netdev.*device-busy' attach there0
pid_stop "$PID" KILL || true
sw_ip link add veth0 type veth peer name veth1
claim "a device that is no TAP is refused" says 'veth.*not-a-tap' attach veth0
claim "a name that can't be one is refused" says 'at ifname' \
	ctl port attach bad type=tap ifname=a/b
claim "a namespace that isn't there is refused" says \
	'nowhere.*at netns' attach x0 netns=nowhere
claim "a user who isn't there is refused" says \
	'no user "nosuch".*at owner' attach x0 owner=nosuch
claim "a group address is refused" says 'at mac' attach x0 mac=03:00:00:00:00:01
claim "an address that is none is refused" says 'at address' \
	attach x0 address=10.0.0.300/8
claim "an MTU that the kernel doesn't take is refused" says \
	'at mtu' attach x0 mtu=65535
claim "none of them leaves anything" link_gone sw x0

as_user sw
sw_ip tuntap add mine0 mode tap user 65534
mkdir "$USER_DIR/run"
chown 65534 "$USER_DIR/run"
"${AS_USER[@]}" "$USER_DIR/switchd" -f -s "$USER_DIR/run/s" \
	</dev/null >>"$T/switchd.log" 2>&1 &
lib_pids+=("$!")
user_ctl() {
	"$SWITCHCTL" -s "$USER_DIR/run/s" "$@"
}
wait_until 10 user_ctl switch show
claim "without privilege the message names the privilege and the way out" \
	says 'CAP_NET_ADMIN.*ip tuntap add a0 mode tap' user_ctl port attach a \
	type=tap ifname=a0
claim "a namespace needs a privilege that is named" says 'CAP_SYS_ADMIN' \
	user_ctl port attach a type=tap netns="$(ns_name far)"
claim "a TAP of the user's that is down needs one, too" says \
	'bring up.*CAP_NET_ADMIN' user_ctl port attach a type=tap ifname=mine0
sw_ip link set mine0 up
claim "one that is up needs none" user_ctl port attach a type=tap ifname=mine0

# ---- traffic -----------------------------------------------------------------

guest_add vm1 10.0.0.1/24
guest_add vm2 10.0.0.2/24
claim "a TAP is made in another namespace" pings vm1 10.0.0.2
claim "the guest's kernel sees the offloads" features_on vm1 eth0 \
	tx-checksumming tcp-segmentation-offload tx-tcp6-segmentation \
	tx-tcp-ecn-segmentation
claim "TCP goes through" tcp_through vm1 vm2 10.0.0.2
claim "in super-frames" ctl_is '.rx.segments > 2 * .rx.frames' port show vm1
claim "every frame is accounted for, on both sides" \
	wait_until 5 ledgers_close
for vm in vm1 vm2; do
	ns_exec $vm ip -s -j link show eth0 >"$T/link"
	claim_equal "$vm's device has sent what its port received" \
		"$(jq '.[0].stats64.tx.packets' "$T/link")" \
		"$(port_value $vm .rx.frames)"
	claim_equal "$vm's device has received what its port sent" \
		"$(jq '.[0].stats64.rx.packets' "$T/link")" \
		"$(port_value $vm .tx.frames)"
done

claim "the MTU is changed while it runs" ctl port set vm1 mtu=9000
ctl port set vm2 mtu=9000 >&2
claim_equal "down to the device" 9000 "$(link_value vm2 eth0 .mtu)"
claim "jumbo frames pass" pings vm1 10.0.0.2 -s 8972 -M "do"
claim "TCP passes, too" tcp_through vm2 vm1 10.0.0.1
ctl port set vm2 mtu=1500 >&2
claim "a frame longer than the egress port's MTU doesn't pass" \
	no_ping vm1 10.0.0.2 -s 8972 -M "do"
claim "and counted as such" ctl_is '.tx.drops.mtu > 0' port show vm2

claim "enabled=no takes the carrier away" ctl port set vm1 enabled=no
claim "the guest sees that" wait_until 5 value_is true \
	link_value vm1 eth0 '.flags | contains(["NO-CARRIER"])'
claim "nothing passes" no_ping vm2 10.0.0.1
ctl port set vm1 enabled=yes >&2
claim "enabled=yes gives it back" wait_until 5 value_is true \
	link_value vm1 eth0 '.flags | contains(["LOWER_UP"])'
claim "and all passes again" pings vm2 10.0.0.1

# ---- moved, deleted ----------------------------------------------------------

attach mover address=10.0.0.3/24 >&2
sw_ip link set mover netns "$(ns_name far)"
ns_exec far ip addr add 10.0.0.3/24 dev mover
ns_exec far ip link set mover up
claim "a TAP that is moved to another namespace works on" pings far 10.0.0.2
claim "its MTU can still be set" ctl port set mover mtu=1350
claim_equal "where it is" 1350 "$(link_value far mover .mtu)"
events_start port
ns_exec far ip link del mover
claim "a device that is deleted detaches its port, with an event that says so" \
	wait_until 5 event_seen port.detached \
	'.name == "mover" and .reason == "device-gone" and .["rx-frames"] > 0'
claim_not "the port is gone" ctl port show mover
ctl port detach vm2 >&2
claim "a detached port says who did it" wait_until 5 event_seen port.detached \
	'.name == "vm2" and .reason == "request"'
claim "its device goes with it" wait_until 5 link_gone vm2 eth0
claim "the ledgers close at the end" ledgers_close
finish
