#!/bin/bash
# Everything changes under traffic, with three workers: ports come and go, their
# parameters, mirrors and settings change, addresses are forgotten. The guests
# must not notice, nothing may leak, and the ledgers must close.
#
#	vm1 --[tap]--+              +--[tap]-- vm2      TCP, all it takes
#	vm3 --[tap]--+-- switchd ---+--[veth]-- vm4     ping, not one lost
#	 x0..x2 [tap] -- come and --+-- [pcap] cap, a mirror's target
#	                 go
. "$(dirname "$0")/tools.sh"

ROUNDS=60
WARM_UP=10 # rounds after which memory and descriptors must stay

# One round: each kind of change once.
round() {
	local n=$1
	ctl port attach "x$n" type=tap ifname="x$((n % 3))"
	ctl port set "x$n" mode=access vlan="$((n % 10 + 2))"
	ctl port set vm2 description="$n"
	ctl mirror remove watch
	ctl mirror add watch from=vm1,vm3 to=cap
	ctl fdb flush
	ctl fdb add 02:00:00:00:00:77 port="x$n" vlan="$((n % 10 + 2))"
	ctl switch set age="$((n % 5 + 1))"
	ctl stats show
	ctl port detach "x$n"
}

# rounds FROM TO
rounds() {
	local n
	for ((n = $1; n <= $2; n++)); do
		round "$n" >"$T/round" 2>&1 || {
			cat "$T/round" >&2
			return 1
		}
	done
}

# Of monitor and switch together.
descriptors() {
	find "/proc/$SWITCHD_PID/fd" "/proc/$(switch_pid)/fd" -type l | wc -l
}

resident_kb() {
	awk '/^VmRSS/ { n += $2 } END { print n }' \
		"/proc/$SWITCHD_PID/status" "/proc/$(switch_pid)/status"
}

# Replies up to the last one: what was sent after that was still under way when
# ping was told to end.
pings_lost() {
	sed -n 's/.*icmp_seq=\([0-9]*\) .*/\1/p' "$T/ping" | sort -nu |
		awk '{ n++; last = $1 } END { print last - n " of " last }'
}

quiet_now() {
	local before
	before=$(ctl -j stats show | jq .rx.frames)
	! read -rt 0.3 <> <(:) && [[ $before == "$(ctl -j stats show |
		jq .rx.frames)" ]]
}

# Else freed memory looks like a leak: what waits in the sanitizer is bounded.
JOURNAL_STREAM=0:0 ASAN_OPTIONS=${ASAN_OPTIONS-}:quarantine_size_mb=8 \
	switchd_start -w 3
guest_add vm1 10.0.0.1/24
guest_add vm2 10.0.0.2/24
guest_add vm3 10.0.0.3/24
ns_add vm4
ip -n "$(ns_name sw)" link add v4 type veth peer name eth0 \
	netns "$(ns_name vm4)"
ip -n "$(ns_name vm4)" addr add 10.0.0.4/24 dev eth0
ip -n "$(ns_name vm4)" link set eth0 up
ctl port attach vm4 type=netdev ifname=v4 >&2
ctl port attach cap type=pcap file="$T/cap.pcapng" snaplen=64 \
	rotate-size=1000000 rotate-count=2 >&2
ctl mirror add watch from=vm1,vm3 to=cap >&2
claim "the guests talk" pings vm3 10.0.0.4
events_start port

ns_background vm2 iperf3 -s -1
wait_until 5 listens vm2 5201
ns_background vm1 iperf3 -c 10.0.0.2 -t 60
iperf=$!
# Not by ns_exec: the signal is for ping itself.
nsenter --net="$(ns_path vm3)" -- ping -i 0.01 10.0.0.4 >"$T/ping" &
ping=$!
lib_pids+=("$ping")

claim "$WARM_UP rounds of changes" rounds 1 "$WARM_UP"
wait_until 5 ctl_is '.ports | length == 5' port list
fds=$(descriptors)
kb=$(resident_kb)
claim "$((ROUNDS - WARM_UP)) more" rounds "$((WARM_UP + 1))" "$ROUNDS"
claim "the TCP connection goes on" kill -0 "$iperf"
kill -INT "$ping"
wait "$ping" || true
lost=$(pings_lost)
echo "lost pings: $lost" >&2
claim "not one ping is lost" test "${lost%% *}" == 0 -a "${lost##* }" -gt 100
pid_stop "$iperf" TERM || true

gone() {
	value_is "$ROUNDS" grep -c '^port.detached ' "$T/events"
}
claim "each port that left is told of" wait_until 10 gone
claim_equal "each that came, too" "$ROUNDS" \
	"$(grep -c '^port.attached ' "$T/events")"
claim "no descriptor is left over" wait_until 5 value_is "$fds" descriptors
# The sanitizers still keep some of it.
room=8192
[[ ${TEST_SANITIZED:-no} == no ]] || room=131072
claim "nor memory" test "$(($(resident_kb) - kb))" -lt "$room"
claim "the frames end" wait_until 10 quiet_now
claim "both ledgers close" ledgers_close
claim "the log has no complaint" log_without_complaint
claim "the switch ends cleanly" switchd_stop
finish
