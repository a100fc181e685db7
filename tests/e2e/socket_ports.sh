#!/bin/bash
# Ports whose frames are datagrams: UDP of both kinds and Unix sockets. Only the
# remote is heard; the peer, the switch process and the switch's program may be
# started again; and all of it without any privilege.
#
#	peer [127.0.0.1:5001] -- u4 --+
#	peer [::1]:5001 -------- u6 --+-- switchd -- vm1 [a TAP, 10.0.0.1]
#	peer $D/peer ----------- d ---+
. "$(dirname "$0")/tools.sh"

D=$T/sockets # not in what is allowed: $T/other
mkdir "$D" "$T/other"
PEER="$PYTHON -B $(dirname "$0")/socket_peer.py"
TO_ALL=ffffffffffff

# frame SOURCE-BYTE [BYTES]: a broadcast from there; 60 bytes if not said
frame() {
	printf '%s0200000000%s88b5' "$TO_ALL" "$1"
	printf "$1%.0s" $(seq $((${2:-60} - 14)))
}

# peer NAME LOCAL REMOTE WORD...: in sw, its frames in $T/NAME; returns when it
# is ready
peer() {
	rm -f "$T/$1"
	# shellcheck disable=SC2086 # $PEER is a command and its arguments
	ns_exec sw $PEER "${@:2}" </dev/null >"$T/$1" 2>"$T/$1.err" &
	PEER_PID=$!
	lib_pids+=("$PEER_PID")
	wait_until 5 grep -q ready "$T/$1"
}

# peer_done: it heard what it was to hear
peer_done() {
	wait "$PEER_PID"
}

# rx_is NAME FRAMES: so many has the port had, all of them
rx_is() {
	[[ $(port_value "$1" .rx.frames) == "$2" ]]
}

state_is() { # NAME STATE
	ctl_is ".ports[] | select(.name == \"$1\") | .state == \"$2\"" port list
}

running() { # dgram port's event, since events_start
	event_seen port.link ".name == \"$1\" and .condition == \"running\""
}

jq -n --arg d "$D" '{
	daemon: {allow: {sockets: [$d + "/*"], udp: ["127.0.0.1:*", "[::1]:*"]}},
	ports: [{name: "u4", type: "udp", local: "127.0.0.1:5000",
		remote: "127.0.0.1:5001"}]
}' >"$T/switchd.conf"
ns_add sw
sw_ip addr add ::1/128 dev lo 2>/dev/null ||
	ns_exec sw sysctl -qw net.ipv6.conf.lo.disable_ipv6=0
switchd_start -c "$T/switchd.conf"
events_start port
guest_add vm1 10.0.0.1/24 # its own broadcasts come later, if at all

# ---- what is refused ---------------------------------------------------------

attach() { # NAME TYPE LOCAL REMOTE [key=value...]
	ctl port attach "$1" type="$2" local="$3" remote="$4" "${@:5}"
}

before=$(ls "$D" "$T/other")
claim "a remote of the other kind is refused" says 'remote.*bad-value' \
	attach bad udp 127.0.0.1:5010 '[::1]:5011'
claim "a name" says 'local.*bad-value' \
	attach bad udp localhost:5010 127.0.0.1:5011
claim "an address that isn't allowed" says 'daemon.allow.udp.*not-allowed' \
	attach bad udp 0.0.0.0:5010 127.0.0.1:5011
claim "a port of the host's services" says 'daemon.allow.udp.*not-allowed' \
	attach bad udp 127.0.0.1:53 127.0.0.1:5011
claim "one that somebody has" says 'path-attached' \
	attach bad udp 127.0.0.1:5000 127.0.0.1:5011
claim "a folder that isn't allowed" says 'daemon.allow.sockets.*not-allowed' \
	attach bad dgram "$T/other/a" "$D/b"
claim "nor for the remote" says 'daemon.allow.sockets.*not-allowed' \
	attach bad dgram "$D/a" "$T/other/b"
claim "a folder that isn't there" says 'no-folder' \
	attach bad dgram "$D/a" "$D/none/b"
: >"$D/file"
claim "a remote that is no socket" says 'not-a-socket' \
	attach bad dgram "$D/a" "$D/file"
rm "$D/file"
claim_equal "nothing of this leaves anything behind" "x$before" \
	"x$(ls "$D" "$T/other")"

# ---- UDP ---------------------------------------------------------------------

# sound NAME PORT LOCAL REMOTE STRANGER: frames both ways, and only those
sound() {
	local name=$1 port=$2 local=$3 remote=$4 stranger=$5 got
	got=$(port_value "$port" .rx.frames)
	sniff_start vm1 eth0 "$(frame 0a 1514)"
	peer "$port" "$remote" "$local" send "$(frame 0a 1514)" hear 10 1 \
		"${TO_ALL}02000000000b"
	claim "$name: a frame gets in as it was" \
		wait_until 5 grep -qx "$(frame 0a 1514)" "$T/sniffed"
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec vm1 $FRAMES send eth0 "$(frame 0b)"
	claim "$name: and one out" peer_done
	claim_equal "$name: which is what it was" "$(frame 0b)" \
		"$(tail -n 1 "$T/$port")"
	peer "$port" "$stranger" "$local" send "$(frame 0c)" hear 0.1 0
	claim "$name: a stranger hears nothing" peer_done
	peer "$port" "$remote" "$local" send "$(frame 0d)" hear 0.1 0
	claim "$name: one more of the remote's" \
		wait_until 5 rx_is "$port" $((got + 2))
	claim "$name: and nothing of the stranger's" \
		ctl_is '[.entries[].mac] |
			(index("02:00:00:00:00:0d") != null) and
			(index("02:00:00:00:00:0c") == null)' fdb list
	wait_until 5 lib_gone "$PEER_PID"
}

sound IPv4 u4 127.0.0.1:5000 127.0.0.1:5001 127.0.0.1:5002
claim "one of IPv6" attach u6 udp '[::1]:5000' '[::1]:5001'
sound IPv6 u6 '[::1]:5000' '[::1]:5001' '[::1]:5002'

peer u4 127.0.0.1:5001 127.0.0.1:5000 send '' aabb "$(frame 0e 60000)" \
	"$(frame 0f)" hear 0.1 0
claim "those of no and of few bytes are counted" wait_until 5 \
	ctl_is '.rx.drops["too-short"] == 2' port show u4
claim "what is behind them gets in" wait_until 5 \
	ctl_is '[.entries[].mac] | (index("02:00:00:00:00:0e") != null) and
		(index("02:00:00:00:00:0f") != null)' fdb list
claim "a jumbo frame is too long for others" \
	ctl_is '.tx.drops.mtu == 1' port show vm1
wait_until 5 lib_gone "$PEER_PID"

# ---- Unix sockets ------------------------------------------------------------

claim "a port before there is anybody" attach d dgram "$D/switch" "$D/peer" \
	group=daemon socket-mode=0620
claim "waits" state_is d no-carrier
claim_equal "its socket is for the group to send to" "socket root daemon 620" \
	"$(stat -c '%F %U %G %a' "$D/switch")"
claim "another port can't have it" says 'path-attached' \
	attach bad dgram "$D/switch" "$D/b"
sniff_start vm1 eth0 "$(frame 1a)"
peer d "$D/peer" "$D/switch" send "$(frame 1a)" hear 10 1 \
	"${TO_ALL}02000000001b"
claim "somebody comes: his frame gets in" \
	wait_until 5 grep -qx "$(frame 1a)" "$T/sniffed"
claim "the port runs" wait_until 5 state_is d up
claim "with an event" wait_until 5 running d
# shellcheck disable=SC2086 # $FRAMES is a command and its argument
ns_exec vm1 $FRAMES send eth0 "$(frame 1b)"
claim "a frame goes out" peer_done
claim_equal "as it was" "$(frame 1b)" "$(tail -n 1 "$T/d")"

# He is gone and comes again, with a new socket in the old one's place.
# shellcheck disable=SC2086
ns_exec vm1 $FRAMES send eth0 "$(frame 1c)"
claim "what is sent to nobody is link-down" wait_until 5 \
	ctl_is '.tx.drops["link-down"] >= 1' port show d
claim "and the port waits" wait_until 5 state_is d no-carrier
peer d "$D/peer" "$D/switch" hear 20 1 "${TO_ALL}02000000001d"
claim "he comes again" wait_until 5 state_is d up
# shellcheck disable=SC2086
ns_exec vm1 $FRAMES send eth0 "$(frame 1d)"
claim "and is sent to" peer_done

# The kernel lets ten frames wait for who doesn't read; the port keeps the rest.
# numbered COUNT: so many frames, each its own
numbered() {
	seq -f "${TO_ALL}02000000001e88b5%04.0f$(printf '00%.0s' {1..44})" "$1"
}
claim_equal "few datagrams may wait here" 10 \
	"$(ns_exec sw sysctl -n net.unix.max_dgram_qlen)"
mkfifo "$T/read"
wait_until 10 state_is d no-carrier
peer d "$D/peer" "$D/switch" after "$T/read" hear 20 300 \
	"${TO_ALL}02000000001e"
claim "he comes and doesn't read" wait_until 5 state_is d up
sent=$(port_value d .tx.frames)
mapfile -t burst < <(numbered 300)
# shellcheck disable=SC2086
ns_exec vm1 $FRAMES send eth0 "${burst[@]}"
claim "300 frames to him are sent or kept" wait_until 5 \
	ctl_is ".tx.frames == $((sent + 300)) and
		(.tx.drops | has(\"queue-full\") | not)" port show d
: >"$T/read"
claim "he reads, and gets them all" peer_done
claim_equal "in their order" "$(numbered 300)" "$(tail -n 300 "$T/d")"
claim "none was lost" ctl_is '.tx.lost == 0' port show d
claim "he has gone" wait_until 10 state_is d no-carrier
peer d "$D/peer" "$D/switch" after "$T/read"
claim "the next one doesn't read either" wait_until 5 state_is d up
# shellcheck disable=SC2086
ns_exec vm1 $FRAMES send eth0 "${burst[@]}"
claim "they are kept for him" wait_until 5 \
	ctl_is ".tx.frames == $((sent + 600))" port show d
: >"$T/read"
claim "he goes" peer_done
claim "and what was kept is counted as lost" wait_until 5 \
	ctl_is '.tx.lost > 280 and .tx.lost < 300' port show d

# Nobody sends anything: it is noticed all the same, once he is there.
peer d "$D/peer" "$D/switch" hear 1 0
claim "once more" wait_until 5 state_is d up
wait_until 5 lib_gone "$PEER_PID"
claim "a silent end is noticed" wait_until 10 state_is d no-carrier

# ---- the switch process dies, and is replaced --------------------------------

# What is sent while there is no switch process waits in its sockets.
die() {
	local was
	was=$(switch_pid)
	kill -STOP "$was"
	peer u4 127.0.0.1:5001 127.0.0.1:5000 send "300*$(frame 2a)" hear 20 1 \
		"${TO_ALL}02000000002b"
	kill -KILL "$was"
	wait_until 10 answers_other_than "$was"
}

upgrade() {
	peer u4 127.0.0.1:5001 127.0.0.1:5000 send "300*$(frame 2a)" hear 20 1 \
		"${TO_ALL}02000000002b"
	ctl switch upgrade >&2
}

# goes_on NAME COMMAND: it sends by u4 and replaces the switch process
goes_on() {
	local name=$1 got inode by_unix
	inode=$(stat -c %i "$D/switch")
	peer d "$D/peer" "$D/switch" hear 20 1 "${TO_ALL}02000000002b"
	by_unix=$PEER_PID
	claim "$name: somebody is there" wait_until 5 state_is d up
	got=$(port_value u4 .rx.frames)
	claim "$name: it is another process's" "$2"
	claim "$name: no datagram is lost" wait_until 5 rx_is u4 $((got + 300))
	claim "$name: the port still runs" wait_until 5 state_is d up
	claim_equal "$name: with the same socket" "$inode" \
		"$(stat -c %i "$D/switch")"
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec vm1 $FRAMES send eth0 "$(frame 2b)"
	claim "$name: a frame goes out by UDP" peer_done
	claim "$name: and by the Unix socket" wait "$by_unix"
}

goes_on "after a death" die
goes_on "after an upgrade" upgrade
claim "every frame is accounted for" ledgers_close

claim "detached" ctl port detach d
claim "the socket is gone" wait_until 5 test ! -e "$D/switch"
claim "u4 as well" ctl port detach u4
claim "and its address can be had" attach again udp 127.0.0.1:5000 \
	127.0.0.1:5003

# ---- without any privilege ---------------------------------------------------

user_dir
ROOTS=$SOCKET
SOCKET=$USER_DIR/run/s
mkdir "$USER_DIR/run"
chown nobody "$USER_DIR/run"
as_user sw "$USER_DIR/switchd" -f -s "$SOCKET"
"${AS_USER[@]}" </dev/null >"$T/user.log" 2>&1 &
lib_pids+=("$!")
claim "a user's own switch answers" wait_until 10 switchd_answers
claim "it has a UDP port" attach u4 udp 127.0.0.1:6000 127.0.0.1:6001
claim "and a Unix one" attach d dgram "$USER_DIR/run/switch" \
	"$USER_DIR/run/peer"
peer d "$USER_DIR/run/peer" "$USER_DIR/run/switch" hear 20 1 "$(frame 3a)" \
	send "$(frame 3b)"
by_unix=$PEER_PID
chmod 666 "$USER_DIR/run/peer" # it's root's, and the switch a user's
claim "that finds its guest" wait_until 5 state_is d up
peer u4 127.0.0.1:6001 127.0.0.1:6000 send "$(frame 3a)" hear 20 1 "$(frame 3b)"
by_udp=$PEER_PID
claim "a frame goes from one to the other" wait "$by_unix"
claim "and back" wait "$by_udp"
claim "every frame is accounted for there" ledgers_close
claim "a low port needs more" says 'not-permitted' \
	attach low udp 127.0.0.1:500 127.0.0.1:6001
SOCKET=$ROOTS

finish
