#!/bin/bash
# A tunnel's super-frame, which a packet socket labels as plain TCP or UDP, is
# recognised; a tunnel's frame with a partial checksum inside is completed.
#
#	frame --> [TAP in] -- bridge -- [t0: the tunnel] 10.9.0.1 u0
#	                                                      |veth
#	              offload_check() <-- packet socket <--   u1
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

ns_add k
ns_exec k ip link add br0 type bridge forward_delay 0 mcast_snooping 0
ns_exec k ip tuntap add dev in mode tap vnet_hdr
ns_exec k ip link add u0 mtu 3000 address 02:00:00:00:09:01 type veth \
	peer name u1 mtu 3000 address 02:00:00:00:09:02
ns_exec k ip addr add 10.9.0.1/24 dev u0
ns_exec k ip link set in master br0
for dev in br0 in u0 u1; do
	ns_exec k ip link set dev "$dev" up
done
ns_exec k ip neigh add 10.9.0.2 lladdr 02:00:00:00:09:02 dev u0 nud permanent

# tunnel NAME TYPE ARGUMENT...
tunnel() {
	local name=$1 inner
	shift
	if ! ns_exec k ip link add t0 type "$@" 2>"$T/error"; then
		cat "$T/error" >&2
		if grep -qE 'Unknown device type|not supported' "$T/error"; then
			skip "a super-frame in $name is recognised" \
				"this kernel has no $1"
		else
			fail "a device for $name is made" "$(<"$T/error")"
		fi
		return
	fi
	ns_exec k ip link set dev t0 master br0 mtu 2800 up
	for inner in tcp udp; do
		claim "a ${inner^^} super-frame in $name is recognised" \
			ns_exec k "$BUILD/tests/e2e/offload_tunnel" in u1 $inner
	done
	ns_exec k ip link del t0
}

tunnel "VXLAN" vxlan id 7 local 10.9.0.1 remote 10.9.0.2 dstport 4789 dev u0
tunnel "VXLAN with outer checksums" vxlan id 7 local 10.9.0.1 \
	remote 10.9.0.2 dstport 4789 dev u0 udpcsum
tunnel "Geneve" geneve id 7 remote 10.9.0.2
tunnel "GRE" gretap local 10.9.0.1 remote 10.9.0.2

finish
