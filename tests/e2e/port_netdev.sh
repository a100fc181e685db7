#!/bin/bash
# Ports of type netdev: a veth whose other end is a guest, a TAP that a program
# holds as QEMU does. The host keeps off while the port is there.
#
#	vm1 [eth0 10.0.0.1] --- [v1] --+-- switchd --+-- [eth0 10.0.0.2] vm2, vm3 (TAPs)
#	program [q0, its descriptor] --+
# shellcheck disable=SC2086 # $FRAMES is a command and its argument
. "$(dirname "$0")/tools.sh"
ns_add sw vm1
echo "{}" >"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"
guest_add vm2 10.0.0.2/24

attach() { # DEVICE [key=value...]: the port has the device's name
	ctl port attach "$1" type=netdev ifname="$1" "${@:2}"
}

as_before() { # DEVICE: is it what "$T/before" says?
	host_state "$1" | diff "$T/before" -
}

allow() { # PATTERNS: of daemon.allow.force
	jq -n --argjson force "$1" '{daemon: {allow: {force: $force}}}' \
		>"$T/switchd.conf"
	ctl config apply >&2
}

# ---- what is refused ---------------------------------------------------------

veth_add v1 vm1 10.0.0.1/24
ns_exec sw sysctl -qw net.ipv6.conf.v1.disable_ipv6=0
sw_ip addr add 10.0.0.9/24 dev v1
sw_ip link set v1 up
claim "the host answers before" pings vm1 10.0.0.9
claim "a device with an address is refused, and the address named" says \
	'v1 has address 10.0.0.9.*cut the host off.*force=yes' attach v1
sw_ip route add default via 10.0.0.1 dev v1
claim "a default route is named, too" says 'a default route' attach v1
sw_ip route del default
sw_ip addr flush dev v1
sw_ip link add br9 type bridge
sw_ip link set v1 master br9
claim "a device of a bridge is refused, and the bridge named" says \
	'master br9' attach v1
sw_ip link del br9
claim "a device that isn't there is refused" says "no device 'v9'" attach v9
claim "lo is none of ours" says 'Ethernet' attach lo

# ---- the host keeps off ------------------------------------------------------

sw_ip addr flush dev v1
sw_ip addr add 10.0.0.9/24 dev v1
host_state v1 >"$T/before"
claim "force=yes is for root's configuration to allow" says \
	'daemon.allow.force.*not-allowed' attach v1 force=yes
allow '["v*"]'
claim "then it takes a device with an address" attach v1 force=yes
claim "the guest reaches the other one" pings vm1 10.0.0.2
ns_exec vm1 ip neigh flush dev eth0
claim "the host's stack doesn't answer on it" no_ping vm1 10.0.0.9
claim "not even to ARP" test -z "$(ns_exec vm1 ip neigh show 10.0.0.9 |
	grep lladdr)"
ctl port detach v1 >&2
claim "detached, the host answers again" wait_until 5 pings vm1 10.0.0.9
claim "and qdisc, IPv6, MTU and flags are as before" wait_until 5 as_before v1
sw_ip addr flush dev v1
sw_ip link set v1 down
host_state v1 >"$T/before"
claim "a device that is down is taken" attach v1
claim_equal "and brought up, without IPv6" "1 up" \
	"$(ipv6_off v1) $(port_value v1 .state)"
claim "a second port can't have it" says 'device-attached' \
	ctl port attach other type=netdev ifname=v1
ctl port detach v1 >&2
claim "and it's down again afterwards" wait_until 5 as_before v1
attach v1 >&2

# ---- traffic -----------------------------------------------------------------

claim "TCP from veth to TAP" tcp_through vm1 vm2 10.0.0.2
claim "comes in super-frames" ctl_is '.rx.segments > 2 * .rx.frames' \
	port show v1
claim "TCP from TAP to veth" tcp_through vm2 vm1 10.0.0.1
claim "goes out in super-frames" ctl_is '.tx.segments > 2 * .tx.frames' \
	port show v1
claim "no checksum was wrong at either end" test "$(for vm in vm1 vm2; do
	ns_exec $vm nstat -asz TcpInCsumErrors UdpInErrors |
		awk '!/^#/ {print $2}'
done | awk '{ n += $1 } END { print n + 0 }')" == 0
claim "UDP passes, too" tcp_through vm1 vm2 10.0.0.2 -u -b 50M
claim "the ledgers close" wait_until 5 ledgers_close

mac=$(guest_mac vm2 | tr -d :)
tagged=${mac}0200000000018100600a88b5$(printf 'aa%.0s' {1..46})
sniff_start vm2 eth0 "$mac"
ns_exec vm1 $FRAMES send eth0 "$tagged"
claim "a tagged frame keeps its tag and priority" wait_until 5 \
	grep -qx "$tagged" "$T/sniffed"
mac=$(guest_mac vm1 | tr -d :)
tagged=${mac}0200000000028100a00b88b5$(printf 'bb%.0s' {1..46})
sniff_start vm1 eth0 "$mac"
ns_exec vm2 $FRAMES send eth0 "$tagged"
claim "in the other direction, too" wait_until 5 grep -qx "$tagged" "$T/sniffed"

# ---- link --------------------------------------------------------------------

events_start port
ns_exec vm1 ip link set eth0 down
claim "the peer goes down: an event" wait_until 5 event_seen port.link \
	'.name == "v1" and .up and (.carrier | not)'
claim_equal "and port show says it" no-carrier "$(port_value v1 .state)"
ns_exec vm1 ip link set eth0 up
claim "it comes back: an event" wait_until 5 event_seen port.link '.carrier'
sw_ip link set v1 mtu 1400
claim "another MTU: an event" wait_until 5 event_seen port.link '.mtu == 1400'
claim "and the port drops what is longer" no_ping vm2 10.0.0.1 -s 1450 -M "do"
claim "with a reason" ctl_is '.tx.drops.mtu > 0' port show v1
sw_ip link set v1 down
claim "the device is taken down: an event" wait_until 5 event_seen port.link \
	'.up | not'
sw_ip link set v1 up mtu 1500
claim "port set can change the MTU" ctl port set v1 mtu=1300
claim_equal "down to the device" 1300 "$(link_value sw v1 .mtu)"
ctl port set v1 enabled=no >&2
claim "enabled=no: the guest loses its carrier" wait_until 5 value_is true \
	link_value vm1 eth0 '.flags | contains(["NO-CARRIER"])'
ctl port set v1 enabled=yes mtu=1500 >&2
claim "enabled=yes: it's back" wait_until 5 pings vm1 10.0.0.2

# ---- gone, and back ----------------------------------------------------------

sw_ip link del v1
claim "a device that goes detaches its port, with the reason" wait_until 5 \
	event_seen port.detached '.name == "v1" and .reason == "device-gone"'
veth_add v1 vm1 10.0.0.1/24
claim "the next one of the name attaches" attach v1
old=$(port_value v1 .ifindex)
restart() { # the guest is quicker than netlink
	sw_ip link del v1
	veth_add v1 vm1 10.0.0.1/24
	attach v1
}
claim "even at once" restart
claim "and works" wait_until 5 pings vm1 10.0.0.2
claim_equal "it's the new device" "$(link_value sw v1 .ifindex)" \
	"$(port_value v1 .ifindex)"
claim_not "and not the old one" test "$old" == "$(port_value v1 .ifindex)"

switchd_kill
switchd_start
claim "after kill -9 the device attaches again" attach v1
ctl port detach v1 >&2
sw_ip addr add 10.0.0.9/24 dev v1
claim "and is the host's again when it's detached" wait_until 5 \
	pings vm1 10.0.0.9
sw_ip link del v1

# ---- a TAP that a program holds ----------------------------------------------

guest_add vm3 10.0.0.2/24
mac=$(guest_mac vm3 | tr -d :)
into=${mac}02000000000188b5$(printf 'cc%.0s' {1..46})
outof=020000000001${mac}88b5$(printf 'dd%.0s' {1..46})
mkfifo "$T/go"
ns_exec sw $FRAMES hold q0 20 "$into" <"$T/go" >"$T/held" 2>&1 &
lib_pids+=("$!")
exec 9>"$T/go"
wait_until 5 grep -q ready "$T/held"
claim "a TAP that a program holds is attached as netdev" attach q0
claim_equal "and has a carrier" up "$(port_value q0 .state)"
sniff_start vm3 eth0 "$mac"
echo >&9
claim "what the program sends arrives" wait_until 5 grep -qx "$into" \
	"$T/sniffed"
ns_exec vm3 $FRAMES send eth0 "$outof"
claim "what the guest sends is what the program reads" wait_until 5 \
	grep -qx "$outof" "$T/held"
events_start port
exec 9>&-
for pid in $(ip netns pids "$(ns_name sw)"); do
	[[ $pid == "$SWITCHD_PID" || $pid == "$(switch_pid)" ]] ||
		kill -KILL "$pid"
done
claim "the program dies: its port goes" wait_until 5 event_seen port.detached \
	'.name == "q0" and .reason == "device-gone"'

mkfifo "$T/go2"
ns_exec sw $FRAMES hold-plain q1 20 <"$T/go2" >"$T/held" 2>&1 &
lib_pids+=("$!")
exec 9>"$T/go2"
wait_until 5 grep -q ready "$T/held"
attach q1 >&2
echo >&9
ns_exec vm3 ip neigh replace 10.0.0.77 lladdr 02:00:00:00:00:07 dev eth0
ns_exec vm3 bash -c 'echo a datagram of odd length >/dev/udp/10.0.0.77/67'
datagram() {
	grep -E '^020000000007.{12}0800.{18}11' "$T/held" | head -1
}
has_datagram() {
	[[ -n $(datagram) ]]
}
claim "a guest without offloads gets a datagram of a kernel that has them" \
	wait_until 5 has_datagram
claim "with its checksum complete" $FRAMES udp-checksum "$(datagram)"
exec 9>&-
for pid in $(ip netns pids "$(ns_name sw)"); do
	[[ $pid == "$SWITCHD_PID" || $pid == "$(switch_pid)" ]] ||
		kill -KILL "$pid"
done

# ---- DHCP --------------------------------------------------------------------

# The server's kernel leaves the checksum to a device; the client looks at it
# with a packet socket.
ns_background vm3 dnsmasq -k -p0 -i eth0 --bind-interfaces -F \
	10.0.0.50,10.0.0.60,255.255.255.0,1h --no-ping -l "$T/leases" \
	-u root --conf-file=/dev/null
veth_add v1 vm1 10.0.0.1/24
attach v1 >&2
ns_exec vm1 ip addr flush dev eth0
ns_exec vm1 ethtool -K eth0 tx off >&2
claim "a DHCP client gets an address from a server behind a TAP" \
	ns_exec vm1 busybox udhcpc -i eth0 -n -q -f -t 5 -T 1 -s /bin/true
ctl port attach plain type=tap ifname=plain netns="$(ns_name vm1)" >&2
ns_exec vm1 ip link set plain up
claim "and so does one behind a TAP" \
	ns_exec vm1 busybox udhcpc -i plain -n -q -f -t 5 -T 1 -s /bin/true
claim "the ledgers close at the end" wait_until 5 ledgers_close
finish
