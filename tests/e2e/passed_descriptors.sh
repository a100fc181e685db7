#!/bin/bash
# A guest that passes a descriptor beside its frames holds nobody up: the close
# of a TCP socket may linger, and who reads would have to close it.
# From Linux 6.16 on the kernel refuses it; before, a thread closes what came.
#
#	two VMs [TAP] --+-- switchd, one worker -- vde, seqpacket, stream
#	                                        -- dgram
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
	claim "$KERNEL: $1: frames of others cross" \
		ns_exec "$VM" ping -q -c3 -i0.2 -W1 "$TO"
	claim "$KERNEL: $1: the switch answers" \
		timeout 5 "$SWITCHCTL" -s "$SOCKET" switch show
	exec {END}>&-
	wait_until 10 lib_gone "$pid"
	rm "$T/end"
}

# Does the kernel know SO_PASSRIGHTS?
kernel_refuses() {
	"$PYTHON" -c 'import socket
socket.socket(socket.AF_UNIX).setsockopt(socket.SOL_SOCKET, 83, 0)'
}

# Frames cross by the worker, not by the kernel alone.
jq -n --arg t "$T" '{
	daemon: {workers: 1, "fast-path": false,
		allow: {sockets: [$t + "/*"]}},
	listeners: [{name: "v", type: "vde", listen: ($t + "/vde")},
		{name: "s", type: "stream", listen: ($t + "/s")},
		{name: "q", type: "seqpacket", listen: ($t + "/q")}],
	ports: [{name: "d", type: "dgram", local: ($t + "/d"),
		remote: ($t + "/other")}]
}' >"$T/switchd.conf"

attempts() { # KERNEL WANT: on such a kernel, what the guest is told
	local where
	KERNEL=$1
	for where in "seqpacket $T/q" "stream $T/s" "ask $T/vde/ctl" \
		"control $T/vde/ctl" "data $T/vde/ctl" "dgram $T/d $T/other"; do
		# shellcheck disable=SC2086 # words
		attempt $where
		claim_equal "$KERNEL: ${where%% *}: it is $2" "$2" "$SAID"
		rm -f "$T/other"
	done
}

guests() { # ONE OTHER
	guest_add "$1" "10.0.0.${1#vm}/24"
	guest_add "$2" "10.0.0.${2#vm}/24"
	VM=$1
	TO=10.0.0.${2#vm}
	claim "$1 reaches $2" ns_exec "$1" ping -q -c1 -W2 "$TO"
}

older_kernel() {
	cat >"$T/older" <<-END
		#!/bin/sh
		exec "$BUILD/tests/e2e/older_kernel" "$SWITCHD" "\$@"
	END
	chmod +x "$T/older"
	SWITCHD=$T/older switchd_start -c "$T/switchd.conf"
}

older_kernel
guests vm1 vm2
attempts "before Linux 6.16" passed
claim "before Linux 6.16: the switch ends" switchd_stop

if ! kernel_refuses; then
	skip "descriptors are refused" "needs Linux 6.16"
	finish
fi
switchd_start -c "$T/switchd.conf"
guests vm3 vm4
attempts "from Linux 6.16 on" refused

finish
