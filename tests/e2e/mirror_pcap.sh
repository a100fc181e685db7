#!/bin/bash
# Mirrors, and the files that they write: tshark agrees with every one of them.
#
#	vm1 [eth0 10.0.0.1] --+-- switchd --+-- [eth0 10.0.0.2] vm2
#	      pcap ports -----+             +-- [spy, a TAP] where tcpdump listens
. "$(dirname "$0")/tools.sh"
switchd_start
guest_add vm1 10.0.0.1/24
guest_add vm2 10.0.0.2/24
claim "the guests talk" pings vm1 10.0.0.2

record() { # NAME [key=value...]: a pcap port, its file is $T/NAME
	ctl port attach "$1" type=pcap file="$T/$1" "${@:2}" >&2
}

# shown NAME FILTER FIELD...: what tshark reads in the file
shown() {
	local file=$T/$1 filter=$2 field fields=()
	shift 2
	for field in "$@"; do
		fields+=(-e "$field")
	done
	tshark -r "$file" -Y "$filter" -o tcp.check_checksum:TRUE \
		-o udp.check_checksum:TRUE -o ip.check_checksum:TRUE \
		-T fields "${fields[@]}" 2>>"$T/tshark.log"
}

count() { # NAME FILTER
	shown "$1" "$2" frame.number | wc -l
}

# Detaching a recorder writes what is left.
close_all() { # NAME...
	local name
	for name in "$@"; do
		ctl port detach "$name" >&2
		wait_until 5 closed "$name"
	done
}

closed() {
	! grep -q "$T/$1\$" <(readlink "/proc/$SWITCHD_PID/fd/"* 2>/dev/null)
}

# tagged FROM TO: five frames in VLAN 10
tagged() {
	local frame i frames=()
	frame=$(guest_mac "$2")$(guest_mac "$1")8100000a88b5$(printf 'aa%.0s' {1..46})
	for i in {1..5}; do
		frames+=("${frame//:/}")
	done
	i=$(port_value "$2" .tx.frames)
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec "$1" $FRAMES send eth0 "${frames[@]}"
	wait_until 5 value_is $((i + 5)) port_value "$2" .tx.frames
}

# No ARP comes between what is counted.
quiet() {
	ns_exec vm1 ip neigh replace 10.0.0.2 lladdr "$(guest_mac vm2)" dev eth0
	ns_exec vm2 ip neigh replace 10.0.0.1 lladdr "$(guest_mac vm1)" dev eth0
}
quiet

# ---- what is mirrored --------------------------------------------------------

for name in both in out v10 v1; do
	record $name
done
ctl mirror add both from=vm1 to=both >&2
ctl mirror add in from=vm1 to=in dir=in >&2
ctl mirror add out from=vm1 to=out dir=out >&2
ctl mirror add v10 from=vm1,vm2 to=v10 vlan=10 dir=in >&2
ctl mirror add v1 to=v1 vlan=1 dir=in >&2
claim "mirror list has them all" ctl_is \
	'[.mirrors[] | select(.state == "active")] | length == 5' mirror list
claim "a mirror to no port is refused" says 'no-such-port, at to' \
	ctl mirror add x to=nowhere
claim "a name that is there is refused" says 'mirror-exists' \
	ctl mirror add in to=in
pings vm1 10.0.0.2 -c 7 -i 0.01 >&2
tagged vm1 vm2
tagged vm2 vm1
sent=$(port_value both .tx.frames)
close_all both in out v10 v1
claim_equal "both directions: each frame once, requests and replies" "7 7" \
	"$(count both 'icmp.type == 8') $(count both 'icmp.type == 0')"
claim_equal "dir=in: what the port receives" "7 0 5" \
	"$(count in 'icmp.type == 8') $(count in 'icmp.type == 0') $(count \
		in vlan)"
claim_equal "dir=out: what it sends" "0 7 5" \
	"$(count out 'icmp.type == 8') $(count out 'icmp.type == 0') $(count \
		out vlan)"
claim_equal "vlan=10: nothing else, and from both ports" "10 10" \
	"$(count v10 'vlan.id == 10') $(count v10 frame)"
claim_equal "vlan=1 is the untagged one; from all where not given" "14 14" \
	"$(count v1 icmp) $(count v1 '!vlan')"
claim_equal "the file has what the port's counter says" "$sent" \
	"$(count both frame)"
claim_equal "interfaces are named like ports" "vm1" \
	"$(shown both icmp frame.interface_name | sort -u)"
claim_equal "both of them, where two are watched" "vm1 vm2" \
	"$(shown v10 vlan frame.interface_name | sort -u | xargs)"
claim_equal "the direction is in the file" "7 7" \
	"$(count both 'icmp.type == 8 && frame.packet_flags_direction == 1') $(
		count both 'icmp.type == 0 && frame.packet_flags_direction == 2')"
claim_equal "times are in nanoseconds and in order" 0 \
	"$(count both 'frame.time_delta < 0')"

# ---- checksums, super-frames -------------------------------------------------

bad='tcp.checksum.status == 0 || udp.checksum.status == 0 ||
	ip.checksum.status == 0'
ctl mirror remove both >&2
for name in in out v10 v1; do
	ctl mirror remove $name >&2
done
record whole
record segments segment=yes
record classic format=pcap snaplen=200
record filtered filter="tcp port 5201 and tcp[tcpflags] & tcp-syn != 0"
for name in whole segments classic filtered; do
	ctl mirror add $name from=vm1 to=$name dir=in >&2
done
claim "TCP goes through meanwhile" tcp_through vm1 vm2 10.0.0.2 -b 40M
close_all whole segments classic filtered
claim "super-frames are written whole" test "$(count whole \
	'frame.len > 3000')" -gt 10
claim_equal "no checksum is bad" 0 "$(count whole "$bad")"
claim "and the good ones have been looked at" test "$(count whole \
	'tcp.checksum.status == 1')" -gt 10
claim_equal "segment=yes: none longer than the MTU" 0 \
	"$(count segments 'frame.len > 1514')"
claim_equal "and no bad checksum" 0 "$(count segments "$bad")"
claim_equal "and the same bytes of TCP" \
	"$(shown whole tcp tcp.len | awk '{ n += $1 } END { print n + 0 }')" \
	"$(shown segments tcp tcp.len | awk '{ n += $1 } END { print n + 0 }')"
claim_equal "the classic format is one, in nanoseconds" a1b23c4d \
	"$(head -c4 "$T/classic" | od -An -tx4 | tr -d ' ')"
claim_equal "snaplen cuts, and says how long it was" "200 yes" \
	"$(shown classic tcp frame.cap_len | sort -n | tail -1) $(
		[[ $(count classic 'frame.len > 3000') -gt 10 ]] && echo yes)"
claim_equal "the filter lets nothing else in" \
	"$(count whole 'tcp.flags.syn == 1')" "$(count filtered frame)"
claim "but these" test "$(count filtered 'tcp.flags.syn == 1')" -ge 2
claim "a filter that is none is refused, with libpcap's words" says \
	'syntax error.*at filter' ctl port attach x type=pcap file="$T/x" \
	filter="tcp port port"
claim_not "and leaves no file" test -e "$T/x"
claim "a folder that isn't there is refused" says 'at file' \
	ctl port attach x type=pcap file=/nowhere/x
for name in whole segments classic filtered; do
	ctl mirror remove $name >&2
done

# ---- rotation ----------------------------------------------------------------

record rolling rotate-size=20000 rotate-count=3
ctl mirror add rolling from=vm1 to=rolling >&2
pings vm1 10.0.0.2 -c 100 -i 0.002 -s 1000 >&2
close_all rolling
claim_equal "rotate-count files are kept" 3 \
	"$(find "$T" -name 'rolling*' | wc -l)"
claim "none is longer than rotate-size" test -z \
	"$(find "$T" -name 'rolling*' -size +20000c)"
# shellcheck disable=SC2016 # the inner shell's
claim "each can be read" bash -c 'for f in "$@"; do
	tshark -r "$f" -Y icmp 2>&1 | grep -q Echo || exit 1; done' sh \
	"$T"/rolling*
ctl mirror remove rolling >&2

# ---- a TAP as the target -----------------------------------------------------

ns_exec sw sysctl -qw net.ipv6.conf.default.disable_ipv6=1
ctl port attach spy type=tap ifname=spy >&2
ctl mirror add spy from=vm1 to=spy dir=in >&2
ns_background sw tcpdump -Uni spy -w "$T/spy.pcap" --immediate-mode
wait_until 5 test -s "$T/spy.pcap"
copies=$(port_value spy .tx.copies)
pings vm1 10.0.0.2 -c 6 -i 0.01 >&2
ns_exec vm2 ip neigh flush all
ns_exec vm2 ping -q -c1 -W1 10.0.0.99 >&2 || true # broadcasts: not for it
got_all() {
	[[ $(tcpdump -nr "$T/spy.pcap" 'icmp[0] == 8' 2>/dev/null | wc -l) == 6 ]]
}
claim "tcpdump on a TAP sees what is mirrored" wait_until 5 got_all
claim_equal "and nothing else: a target isn't flooded" \
	"$(port_value spy .tx.copies)" $((copies + $(tcpdump -nr "$T/spy.pcap" \
		2>/dev/null | wc -l)))
claim_equal "no request for an address that nobody has" 0 \
	"$(tcpdump -nr "$T/spy.pcap" 'arp host 10.0.0.99' 2>/dev/null | wc -l)"
ns_exec sw ip addr add 10.0.0.77/24 dev spy
claim "what comes in from a target goes nowhere" no_ping sw 10.0.0.2
claim "and is counted" ctl_is '.rx.drops["mirror-target"] > 0' port show spy
ctl mirror remove spy >&2
claim "without the mirror it's a port like any other" pings sw 10.0.0.2
claim "the ledgers close" wait_until 5 ledgers_close
finish
