#!/bin/bash
# Two workers: ports and queues spread over them, move under traffic, and share a
# worker fairly; a worker polls where frames are expected, and sleeps else. The
# switch process is killed under TAPs of several queues.
#
#	vm1 --[tap, 4 queues]--+              +--[tap, 2 queues]-- vm2   UDP flows
#	vm3 --[tap]------------+-- switchd ---+--[tap]------------ vm4   steady
#	vm5 --[tap]------------+   -w 2       +--[tap]------------ vm6   a flood
. "$(dirname "$0")/tools.sh"

FLOWS=16
PACED=2000 # frames a second, which every machine manages beside a flood

# The second is what half of the CPUs are.
default_workers() {
	local n
	n=$(($(nproc) / 2))
	((n >= 1)) || n=1
	((n <= 8)) || n=8
	echo "$n"
}

worker_value() { # WORKER KEY
	ctl -j worker list | jq ".workers[$1][\"$2\"]"
}

worker_asleep() { # all of the last second, all workers
	ctl_is 'all(.workers[]; .["awake-percent"] == 0 and
		.["polling-percent"] == 0)' worker list
}

port_on() { # PORT WORKER...: by queue
	local port=$1
	shift
	ctl_is ".workers == [$(IFS=,; echo "$*")]" port show "$port"
}

# udp_start SECONDS: flows both ways between vm1 and vm2
udp_start() {
	ns_background vm2 iperf3 -s -1 --logfile "$T/iperf3"
	wait_until 10 ns_exec vm2 sh -c 'ss -Hltn | grep -q :5201'
	ns_exec vm1 iperf3 -c 10.0.0.2 -u -P "$FLOWS" --bidir -l 100 -b 800K \
		-t "$1" -J >"$T/udp.json" 2>"$T/udp.err" &
	UDP=$!
	lib_pids+=("$UDP")
}

udp_stop() {
	pid_stop "$UDP" 0 60 || {
		cat "$T/udp.err" "$T/udp.json" >&2
		return 1
	}
}

# Each flow's datagrams in their order, and many of them.
udp_in_order() {
	jq -c '[.end.streams[].udp | [.packets, .lost_packets, .out_of_order]]' \
		"$T/udp.json" >&2
	jq -e '[.end.streams[].udp] | length == 2 * '"$FLOWS"' and
		all(.[]; .out_of_order == 0 and .packets > 100)' "$T/udp.json"
}

# Neither the switch nor a device's queue has dropped one.
nothing_dropped() {
	local vm
	ctl_is '[.rx.drops, .tx.drops] | all(.[]; .["queue-full"] == 0)' \
		stats show || return
	for vm in vm1 vm2; do
		ns_exec "$vm" ip -s -j link show eth0 |
			jq -e '.[0].stats64.tx.dropped == 0' || return
	done
}

moves() { # COUNT: of ports from one worker to the other, and back
	local i
	for ((i = 0; i < $1; i++)); do
		ctl port set vm3 worker=$((i % 2)) &&
			ctl port set vm1 worker=$((i % 2)) &&
			ctl port set vm4 worker=$((1 - i % 2)) || return
		wait_until 5 port_on vm3 $((i % 2)) || return
	done >/dev/null
}

# ---- workers -----------------------------------------------------------------

switchd_start
claim "by default there is a worker for two CPUs" ctl_is \
	".workers == $(default_workers)" switch show
claim "which end with the switch" switchd_stop

switchd_start -w 2
guest_add vm1 10.0.0.1/24 queues=4
guest_add vm2 10.0.0.2/24 queues=2
for i in 3 4 5 6; do
	guest_add "vm$i" "10.0.0.$i/24"
done
claim "a TAP's queues are spread over the workers" ctl_is \
	'.workers | sort == [0, 0, 1, 1]' port show vm1
claim "each worker has its share of ports and queues" ctl_is \
	'[.workers[] | .queues] == [5, 5]' worker list
claim "a worker that isn't there is refused" says no-such-worker \
	ctl port set vm3 worker=2
claim "more queues than there can be are refused" says out-of-range \
	ctl port attach x type=tap queues=8
claim "queues belong to the device" says needs-reattach \
	ctl port set vm1 queues=2
claim "nobody joins a device of several queues that is held" says \
	device-busy ctl port attach x type=tap ifname=eth0 queues=4 \
	netns="$(ns_name vm1)"
ns_exec sw ip tuntap add one0 mode tap
claim "a device without them is no device of several" says multi-queue \
	ctl port attach x type=tap ifname=one0 queues=2

# ---- order -------------------------------------------------------------------

udp_start 3
claim "UDP flows both ways between TAPs of several queues" udp_stop
claim "not a flow is reordered" udp_in_order
claim "nothing is dropped" nothing_dropped
claim "both workers have received of them" ctl_is \
	'all(.workers[]; .frames > 1000)' worker list

udp_start 5
claim "numbered frames beside them" steady_start -r $PACED vm3 vm4
claim "ports move from worker to worker under traffic" moves 25
claim "and the numbered frames end" steady_stop
claim "of which not one is lost or reordered" no_frame_lost
claim "the flows end" udp_stop
claim "and not one is reordered" udp_in_order
claim "nothing is dropped by a move" nothing_dropped
claim "the ledgers close" ledgers_close

udp_start 5
steady_start -r $PACED vm3 vm4
was=$(switch_pid)
kill -KILL "$was"
claim "the switch process is killed; another one goes on" \
	wait_until 20 answers_other_than "$was"
claim "with the TAP's queues" ctl_is '.workers | length == 4' port show vm1
claim "the numbered frames end, too" steady_stop
claim "in order" steady_is '.reordered == 0 and .duplicate == 0'
claim "the flows go on" udp_stop
claim "and not one is reordered over the death" udp_in_order

# ---- fairness ----------------------------------------------------------------

for i in 3 4 5 6; do
	ctl port set vm$i worker=0 >/dev/null
done
"$BUILD/tests/e2e/steady" -r 4000000 "$(ns_name vm5):eth0" \
	"$(ns_name vm6):eth0" >"$T/flood" 2>&1 &
FLOOD=$!
lib_pids+=("$FLOOD")
claim "a flood" wait_until 15 grep -q '^ready' "$T/flood"
claim "and a port with a small rate on the same worker" \
	steady_start -r $PACED vm3 vm4
before=$(worker_value 0 frames)
flooded() { (($(worker_value 0 frames) > before + 200000)); }
claim "for a while" wait_until 60 flooded
claim "which ends" steady_stop
claim "the small one loses nothing" no_frame_lost
claim "and the flood ends" pid_stop "$FLOOD" TERM 30

# ---- polling -----------------------------------------------------------------

claim "an idle switch sleeps" wait_until 10 worker_asleep
claim "a window beyond reason is refused" says out-of-range \
	ctl switch set poll-us=10001
ctl port set vm5 worker=1 >/dev/null
ctl port set vm6 worker=1 >/dev/null

# wakeups_of POLL_US: of worker 1, for 2000 pings one after the other
wakeups_of() {
	local from
	ctl switch set poll-us="$1" >/dev/null
	from=$(worker_value 1 wakeups)
	ns_exec vm5 ping -q -f -c 2000 10.0.0.6 >&2
	echo $(($(worker_value 1 wakeups) - from))
}

slept=$(wakeups_of 0)
claim "with poll-us=0 it sleeps between two frames ($slept times)" \
	test "$slept" -gt 1500
claim "and doesn't poll" ctl_is '.workers[1]["polling-percent"] == 0' worker list
polled=$(wakeups_of 10000)
claim "with a long window it wakes up for few ($polled times)" \
	test "$polled" -lt 1000
claim "and then sleeps as well" wait_until 10 worker_asleep
claim "switch show has it" ctl_is '.["poll-us"] == 10000' switch show
was=$(switch_pid)
kill -KILL "$was"
claim "another switch process" wait_until 20 answers_other_than "$was"
claim "knows the window, too" ctl_is '.["poll-us"] == 10000' switch show
claim "the switch ends" switchd_stop
finish
