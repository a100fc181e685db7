#!/bin/bash
# What one guest writes another one reads, byte for byte, whichever way the
# switch takes: checksums, tunnels, super-frames, and all that only looks like
# something else.
#
#	program [fpa, its descriptor] --+-- switchd --+-- [fpb] program
#	                                              +-- [fpc, no offloads] program
. "$(dirname "$0")/tools.sh"
ns_add sw
switchd_start
# Room for 1500 bytes of payload.
taps_attach fpa fpb fpc -- mtu=1600

# csum_start [-b]: the program, its lines from and to it on 8 and 9
csum_start() {
	rm -f "$T/to" "$T/from"
	mkfifo "$T/to" "$T/from"
	ns_exec sw "$BUILD/tests/e2e/fastpath_csum" "$@" fpa fpb fpc \
		<"$T/to" >"$T/from" &
	CSUM=$!
	lib_pids+=("$CSUM")
	exec 9>"$T/to" 8<"$T/from"
	csum_says ready
}

csum_says() { # WORD
	local line
	read -r -t 10 line <&8 && [[ $line == "$1" ]]
}

# What the switch process, which is stopped, has no part in.
passes_by_itself() {
	echo probe >&9
	csum_says passed
}

stopped_switch_forwards() {
	local pid status=0
	pid=$(switch_pid)
	kill -STOP "$pid"
	wait_until 5 passes_by_itself || status=$?
	kill -CONT "$pid"
	return "$status"
}

declare -A names=(
	[lengths]="TCP and UDP of all lengths"
	[values]="checksums of 0, 0xffff and what looks partial"
	[padding]="padding behind the packet"
	[headers]="IP options, extension headers, tags"
	[fragments]="fragments are left alone"
	[disagreeing]="headers that disagree are left alone"
	[others]="other protocols and types, ARP, LLC"
	[tunnels]="tunnels, their inner checksums and the outer ones"
	[tcp-gso]="TCP super-frames"
	[udp-gso]="UDP super-frames"
	[order]="none is overtaken by one of another kind"
)

# groups_hold NAME: the program sends all that it has
groups_hold() {
	local group reader count wrong seen=0 uso=no
	echo go >&9
	while read -r -t 60 group reader count wrong <&8; do
		seen=$((seen + 1))
		[[ $group != udp-gso ]] || uso=yes
		claim_equal "$1, to $reader: ${names[$group]}" "0 of $count" \
			"$wrong of $count"
		((count > 0)) || fail "there are some $group"
	done
	if [[ $uso == no ]]; then
		skip "$1: ${names[udp-gso]}" "this kernel has no USO"
		seen=$((seen + 2))
	fi
	claim_equal "$1: all groups were sent" $((2 * ${#names[@]})) "$seen"
	wait "$CSUM" || true
	exec 9>&- 8<&-
}

# Of VLAN 1 and 10, which is all that is sent: the frames are the same, but no
# port is one that knows nothing of VLANs.
trunks() { # yes|no
	local dev
	for dev in fpa fpb fpc; do
		if [[ $1 == yes ]]; then
			ctl port set "$dev" trunk=1,10 vlan=1 >&2
		else
			ctl port set "$dev" trunk= vlan= >&2
		fi
	done
}

# Traffic of the kind that has the switch choose this way; it looks at it once a
# second.
choose_way() { # tc|xdp
	local kind=small status=0
	[[ $1 == xdp ]] || kind=super
	echo "$kind" >&9
	wait_until 15 fastpath_is "$1" fpa || status=$?
	echo >&9
	WAY=$1
	return "$status"
}

# all_groups SETTING|STATE NAME [-b]: by plain ports the kernel's way, where it
# has one
all_groups() {
	local setting=$1 name=$2
	shift 2
	csum_start "$@"
	case $setting in
	tc | xdp)
		fastpath_use yes fpa fpb fpc
		claim "$setting is what the switch chooses" choose_way "$setting"
		;;
	*) fastpath_use "$setting" fpa fpb fpc ;;
	esac
	name="$WAY, $name"
	if [[ $WAY != packet ]]; then
		claim "$name: the kernel forwards by itself" \
			stopped_switch_forwards
	fi
	groups_hold "$name"
}

fastpath_settings fpa
[[ ${SETTINGS[*]} == none ]] || SETTINGS=(no tc xdp)
for setting in "${SETTINGS[@]}"; do
	all_groups "$setting" writer
	all_groups "$setting" "blocking writer" -b
	trunks yes
	all_groups "$setting" "trunks"
	trunks no
done
claim "the ledgers close" wait_until 5 ledgers_close
for dev in fpa fpb fpc; do
	ctl port detach "$dev" >&2
	sw_ip link del "$dev"
done
finish
