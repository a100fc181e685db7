#!/bin/bash
# Our segmentation and checksums are the kernel's, byte for byte.
#
#	super-frame --> [TAP in] --+-- bridge --+-- [TAP out, no offloads]
#	     |                                              |
#	     '--> offload_segment() --> segments == segments that the kernel made
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

ns_add k
ns_exec k ip link add br0 type bridge forward_delay 0 mcast_snooping 0
for dev in in out; do
	ns_exec k ip tuntap add dev "$dev" mode tap vnet_hdr
	ns_exec k ip link set dev "$dev" mtu 9216 txqueuelen 4096 master br0 up
done
ns_exec k ip link set br0 up
# Where br_netfilter is loaded it has opinions about IP headers.
for call in iptables ip6tables arptables; do
	file=/proc/sys/net/bridge/bridge-nf-call-$call
	ns_exec k bash -c "[[ ! -e $file ]] || echo 0 >$file"
done

# same KIND NAME
same() {
	local status=0
	ns_exec k "$BUILD/tests/e2e/offload_kernel" in out "$1" >&2 ||
		status=$?
	case $status in
	0) pass "$2" ;;
	77) skip "$2" "this kernel doesn't take such frames" ;;
	*) fail "$2" "offload_kernel $1: status $status" ;;
	esac
}

same tcp4 "TCP over IPv4 is segmented as the kernel does"
same tcp6 "TCP over IPv6 is segmented as the kernel does"
same uso4 "UDP over IPv4 is segmented as the kernel does"
same uso6 "UDP over IPv6 is segmented as the kernel does"
same tcp4-nocsum "TCP over IPv4 without a partial checksum is given one"
same tcp6-nocsum "TCP over IPv6 without a partial checksum is given one"
same tcp4-short "a TCP super-frame over IPv4 of one segment is a plain frame"
same tcp6-short "a TCP super-frame over IPv6 of one segment is a plain frame"
same uso4-short "a UDP super-frame of one segment is a plain frame"
same ufo4 "a UFO frame over IPv4 is fragmented as the kernel does"
same tcp4-partial "a partial TCP checksum over IPv4 is completed"
same tcp6-partial "a partial TCP checksum over IPv6 is completed"
same udp4-partial "a partial UDP checksum over IPv4 is completed"
same udp6-partial "a partial UDP checksum over IPv6 is completed"
same tcp4-zero "a TCP checksum of zero over IPv4 is written as the kernel does"
same tcp6-zero "a TCP checksum of zero over IPv6 is written as the kernel does"
same udp4-zero "a UDP checksum of zero over IPv4 is written as the kernel does"
same udp6-zero "a UDP checksum of zero over IPv6 is written as the kernel does"

finish
