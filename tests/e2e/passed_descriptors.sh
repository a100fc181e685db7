#!/bin/bash
# A guest that passes a descriptor beside its frames holds nobody up: the close
# of a TCP socket may linger, and who reads would have to close it.
#
#	vm1 [TAP], vm2 [TAP] --+-- switchd, one worker -- vde, seqpacket, stream
#	                                               -- dgram
. "$(dirname "$0")/tools.sh"

attempt() { # WHERE PATH [OWN]: sets SAID
	local pid
	mkfifo "$T/end"
	ns_exec sw "$PYTHON" -B "$(dirname "$0")/passed_descriptors.py" "$@" \
		<"$T/end" >"$T/said" &
	pid=$!
	lib_pids+=("$pid")
	exec {END}>"$T/end"
	wait_until 10 test -s "$T/said"
	SAID=$(<"$T/said")
	claim "$1: frames of others cross" \
		ns_exec vm1 ping -q -c3 -i0.2 -W1 10.0.0.2
	claim "$1: the switch answers" timeout 5 "$SWITCHCTL" -s "$SOCKET" \
		switch show
	exec {END}>&-
	wait_until 10 lib_gone "$pid"
	rm "$T/end"
}

# Does the kernel know SO_PASSRIGHTS?
kernel_refuses() {
	"$PYTHON" -c 'import socket
socket.socket(socket.AF_UNIX).setsockopt(socket.SOL_SOCKET, 83, 0)'
}

jq -n --arg t "$T" '{
	daemon: {workers: 1, allow: {sockets: [$t + "/*"]}},
	listeners: [{name: "v", type: "vde", listen: ($t + "/vde")},
		{name: "s", type: "stream", listen: ($t + "/s")},
		{name: "q", type: "seqpacket", listen: ($t + "/q")}],
	ports: [{name: "d", type: "dgram", local: ($t + "/d"),
		remote: ($t + "/other")}]
}' >"$T/switchd.conf"
if ! kernel_refuses; then
	skip "descriptors are refused" "needs Linux 6.16"
	finish
fi
switchd_start -c "$T/switchd.conf"
guest_add vm1 10.0.0.1/24
guest_add vm2 10.0.0.2/24
claim "vm1 reaches vm2" ns_exec vm1 ping -q -c1 -W2 10.0.0.2

for where in "seqpacket $T/q" "stream $T/s" "ask $T/vde/ctl" \
	"control $T/vde/ctl" "data $T/vde/ctl" "dgram $T/d $T/other"; do
	# shellcheck disable=SC2086 # words
	attempt $where
	claim_equal "${where%% *}: it isn't even passed" refused "$SAID"
done

finish
