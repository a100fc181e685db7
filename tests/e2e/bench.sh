#!/bin/bash
# Every measurement of tests/bench can be made, by the shortest of runs. How
# quick anything is isn't claimed here: that is what a run by hand is for.
#
#	its own topologies, drawn in tests/bench
. "$(dirname "$0")/lib.sh"

json=$T/bench.json

measure() {
	"$SRC/tests/bench/run" --build "$BUILD" --quick \
		--peers switchd --json "$json"
}

# Silent, so that the log ends with what the bench itself said went wrong.
is() { # JQ-EXPRESSION
	jq -e "$1" "$json" >/dev/null
}

# All that switchd is measured in by it.
has() { # SUBJECT ROW...
	local subject=$1 row
	shift
	for row in "$@"; do
		is ".medians.$subject.switchd.$row > 0" || return 1
	done
}

claim "it runs to its end" measure
claim "no contestant failed: no frame was wrong, doubled or overtaken" \
	is '.failed == {}'
claim "guests with TAPs are measured" \
	has guests tcp_gbit flat_mpps flat_cpu_ns paced_mpps ping_us
claim "guests with veths are measured" has veth tcp_gbit ping_us
claim "programs that hold TAPs are measured" \
	has holders small_mpps mtu_mpps gso_gbit
claim "the bridge is measured beside them" \
	is '.medians.holders.bridge | .small_mpps > 0 and .gso_gbit > 0'
claim "floods are measured" has flood flood20_ns flood50_ns
# Their peers are large packages, which aren't installed for this.
has_or_lacks() { # SUBJECT ROW...
	is ".missing | has(\"$1: switchd\")" || has "$@"
}

claim "ends of vhost-user ports are measured, or what that lacks is named" \
	has_or_lacks vhost split_mpps packed_mpps mtu_mpps round_us
claim "a QEMU guest at a vhost-user port is measured, or what that lacks named" \
	has_or_lacks qemu from_gbit to_gbit
claim "a UML guest at a vhost-user port is measured, or what that lacks named" \
	has_or_lacks uml from_gbit to_gbit
claim "two QEMU guests at a listener are measured, or what that lacks named" \
	has_or_lacks stream tcp_gbit
claim "a QEMU guest behind NAT is measured, or what that lacks named" \
	has_or_lacks nat from_gbit to_gbit
claim "the FDB is measured alone" has fdb lookup1000 lookup64000 lookup1000000
claim "attaching and configurations are measured" \
	has scale attach_times apply_times
claim "two workers are measured against one" \
	is '.medians.workers | .one.sum_mpps > 0 and .two.sum_mpps > 0'
claim "an idle switch is measured" has idle wakeups_per_s rss_mib
claim "each bar that could be measured has a verdict" \
	is '[.bars[] | select(.pass == true or .pass == false)] | length >= 12'
finish
