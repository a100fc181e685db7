# shellcheck shell=bash
# shellcheck disable=SC2034 # for the scripts that source this
# tools.sh - what several end-to-end tests need beside lib.sh, which sources
# nothing: `. "$(dirname "$0")/tools.sh"` gives both.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PYTHON=/usr/bin/python3
FRAMES="$PYTHON $(dirname "${BASH_SOURCE[0]}")/frames.py"
USER_DIR=

# ---- what is there -----------------------------------------------------------

# The host's side.
sw_ip() {
	ns_exec sw ip "$@"
}

# veth_add DEVICE NAMESPACE ADDRESS/LEN [SWITCH]: DEVICE in sw, or that namespace;
# the other end is eth0
veth_add() {
	ns_exec "${4:-sw}" ip link add "$1" type veth \
		peer name eth0 netns "$(ns_name "$2")"
	ns_exec "$2" ip addr add "$3" dev eth0
	ns_exec "$2" ip link set eth0 up
}

ipv6_off() { # DEVICE
	ns_exec sw cat "/proc/sys/net/ipv6/conf/$1/disable_ipv6"
}

host_state() { # DEVICE: all that a port changes
	ipv6_off "$1"
	ns_exec sw tc qdisc show dev "$1"
	link_value sw "$1" '"\(.mtu) \(.flags | contains(["UP"]))"'
}

ports_are() { # NAME...
	[[ $(ctl -j port list | jq -r '[.ports[].name] | sort | join(" ")') == \
		"$*" ]]
}

# Is there another switch process than PID, and does it answer?
answers_other_than() { # PID
	[[ $(switch_pid) != "$1" ]] && switchd_answers
}

# Is the capture $T/cap.pcapng whole, to its end?
file_readable() {
	tshark -r "$T/cap.pcapng" >/dev/null 2>"$T/tshark" &&
		! grep -iE 'cut short|damaged|corrupt' "$T/tshark"
}

# A folder that every user may enter, with copies of the programs for those
# who can't look into the build's: sets USER_DIR.
user_dir() {
	USER_DIR=$(mktemp -d /tmp/e2e-user.XXXXXX)
	trap 'user_dir_cleanup' EXIT
	chmod 755 "$USER_DIR"
	cp "$SWITCHD" "$SWITCHCTL" "$HELPER" "$USER_DIR"
}

user_dir_cleanup() {
	local status=$?
	rm -rf "$USER_DIR"
	set +e
	(exit "$status")
	lib_cleanup
}

# as_user NAMESPACE COMMAND...: sets AS_USER to what runs it there without any
# privilege, where /dev/net/tun is open to all (as udev makes it)
as_user() {
	local ns=$1
	shift
	# shellcheck disable=SC2016 # the inner shell's
	AS_USER=(nsenter --net="$(ns_path "$ns")" -- unshare --mount -- sh -c
		'mount -t tmpfs tmpfs /dev/net &&
		mknod -m 666 /dev/net/tun c 10 200 && exec "$@"' sh
		setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@")
}

# ---- what the switch says ----------------------------------------------------

# port_value NAME JQ-EXPRESSION: of `port show`
port_value() {
	ctl -j port show "$1" | jq -r "$2"
}

# value_is WANT COMMAND...: for wait_until
value_is() {
	local want=$1
	shift
	[[ $("$@") == "$want" ]]
}

# says TEXT COMMAND...: it fails and tells TEXT (a regular expression)
says() {
	local text=$1 status=0
	shift
	"$@" >"$T/said" 2>&1 || status=$?
	cat "$T/said" >&2
	refusal "$status" && grep -qE -- "$text" "$T/said"
}

# events_start TOPIC...: writes the events to $T/events until the test ends;
# returns once the switch has heard of it
events_start() {
	: >"$T/events"
	"$PYTHON" "$(dirname "${BASH_SOURCE[0]}")/events.py" "$SOCKET" "$@" \
		</dev/null >"$T/events" 2>&1 &
	lib_pids+=("$!")
	wait_until 5 grep -q '^subscribed' "$T/events"
}

# event_seen TOPIC [JQ-EXPRESSION]: one that the expression is true of
event_seen() {
	grep "^$1 " "$T/events" | cut -d' ' -f2- |
		jq -es "map(select(${2:-true})) | length > 0"
}

# Both ledgers of every port, to the frame. A port that is missing has none, and
# of a switch without ports it isn't true.
ledgers_close() {
	local port names
	names=$(ctl -j port list |
		jq -r '.ports[] | select(.state != "missing") | .name') || return
	[[ -n $names ]] || return
	for port in $names; do
		ctl -j stats show port="$port" >"$T/ledger" || return
		jq -e '(.rx.drops | add) as $rx | (.tx.drops | add) as $tx |
			.rx.frames == .rx.forwarded + $rx and
			.tx.copies == .tx.frames + $tx and
			.rx.dropped == $rx and .tx.dropped == $tx' \
			"$T/ledger" >/dev/null || {
			echo "ledgers of $port:" >&2
			cat "$T/ledger" >&2
			return 1
		}
	done
}

# ---- processes ---------------------------------------------------------------

# assassin WHICH MS: kills the old or the new switch, so long after there are
# two; returns when it waits for that
assassin() {
	: >"$T/assassin"
	"$PYTHON" - "$SWITCHD_PID" "$1" "$2" <<'PY' >"$T/assassin" &
import os
import signal
import sys
import time
path = f"/proc/{sys.argv[1]}/task/{sys.argv[1]}/children"
deadline = time.monotonic() + 10
print("ready", flush=True)
while time.monotonic() < deadline:
    with open(path) as f:
        pids = [int(p) for p in f.read().split()]
    if len(pids) == 2:
        time.sleep(float(sys.argv[3]) / 1000)
        try:
            os.kill(pids[sys.argv[2] == "new"], signal.SIGKILL)
            print("killed", flush=True)
        except ProcessLookupError:
            pass
        break
PY
	KILLER=$!
	lib_pids+=("$KILLER")
	wait_until 10 grep -q ready "$T/assassin"
}

# upgrade_killing WHICH MS: an upgrade in which the old or the new switch is
# killed after that, or is through before. How it ends is open. Counts in `killed`
# how often that was in time.
upgrade_killing() {
	assassin "$1" "$2"
	ctl switch upgrade >&2 || echo "it failed, as it may" >&2
	wait "$KILLER"
	! grep -q killed "$T/assassin" || killed=$((killed + 1))
}

# The monitor has one switch, and that answers.
one_switch() {
	local pids
	read -ra pids <"/proc/$SWITCHD_PID/task/$SWITCHD_PID/children"
	((${#pids[@]} == 1)) && switchd_answers
}

# ---- devices -----------------------------------------------------------------

# link_value NAMESPACE DEVICE JQ-EXPRESSION: of `ip link`
link_value() {
	ns_exec "$1" ip -j -d link show "$2" | jq -r ".[0] | $3"
}

# How often a guest has lost or got its carrier. (`nsenter` leaves it the sysfs
# of another namespace.)
carrier_changes() { # NAMESPACE DEVICE
	ip netns exec "$(ns_name "$1")" cat "/sys/class/net/$2/carrier_changes"
}

link_gone() {
	! ns_exec "$1" ip link show "$2" >/dev/null 2>&1
}

# tcp_through FROM TO ADDRESS [IPERF-ARGUMENT...]: a second of it arrives
tcp_through() {
	local from=$1 to=$2 address=$3
	shift 3
	ns_background "$to" iperf3 -s -1
	wait_until 5 listens "$to" 5201
	ns_exec "$from" timeout 30 iperf3 -c "$address" -t 1 -J "$@" \
		>"$T/iperf"
	jq -e '.end.sum_received.bytes > 1000000' "$T/iperf" >/dev/null
}

# listens NAMESPACE PORT: somebody does, TCP
listens() {
	ns_exec "$1" ss -Hltn "sport = :$2" | grep -q .
}

# sniff_start NAMESPACE DEVICE PREFIX [COUNT]: frames that begin with these hex
# digits, a line each in $T/sniffed; returns when it listens
sniff_start() {
	rm -f "$T/sniffed"
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec "$1" $FRAMES sniff "$2" 20 "${4:-1}" "$3" </dev/null \
		>"$T/sniffed" 2>&1 &
	lib_pids+=("$!")
	wait_until 5 grep -q ready "$T/sniffed"
}

pings() { # NAMESPACE ADDRESS [ARGUMENT...]
	local ns=$1 to=$2
	shift 2
	ns_exec "$ns" ping -q -c1 -W2 "$@" "$to"
}

no_ping() { # NAMESPACE ADDRESS [ARGUMENT...]
	local ns=$1 to=$2 status=0
	shift 2
	ns_exec "$ns" ping -q -c2 -i0.2 -W1 "$@" "$to" || status=$?
	((status == 1)) # ping's "no reply"; 2 is any other error
}

# ---- the kernel fast path ----------------------------------------------------

# taps_attach NAME...: TAPs for a guest's program to hold, ports of these names
taps_attach() { # NAME... [-- key=value...]
	local names=()
	while (($#)) && [[ $1 != -- ]]; do
		names+=("$1")
		shift
	done
	shift $(($# > 0))
	local name
	for name in "${names[@]}"; do
		sw_ip tuntap add dev "$name" mode tap vnet_hdr
		ctl port attach "$name" type=netdev ifname="$name" "$@" >&2
	done
}

# fastpath_settings PORT: sets SETTINGS to what `switch set fast-path=` can be for
# one; to `none` where it is unknown, with a note that this says nothing about it,
# and where this machine hasn't it
fastpath_settings() {
	local reason
	SETTINGS=(none)
	reason=$(port_value "$1" 'if has("fast-path")
		then .["fast-path"].reason // "" else "unknown" end')
	case $reason in
	unknown) echo "# this switch has no kernel fast path" >&2 ;;
	no-fast-path) skip "the kernel fast path" "not on this machine" ;;
	*) SETTINGS=(no yes) ;;
	esac
}

# fastpath_use SETTING PORT...: once it holds for all of them, whose guests are
# there; sets WAY to what the first one's frames go by now
fastpath_use() {
	local setting=$1
	shift
	WAY=packet
	[[ $setting != none ]] || return 0
	ctl switch set fast-path="$setting" >&2
	wait_until 5 fastpath_is "$setting" "$@"
	WAY=$(fastpath_way "$1")
}

fastpath_way() { # PORT
	port_value "$1" '.["fast-path"].state | if . == "off" then "packet"
		else . end'
}

# fastpath_is SETTING|STATE PORT...
fastpath_is() {
	local want='.["fast-path"].state' port
	case $1 in
	no) want+=' == "off"' ;;
	yes) want+=' | IN("tc", "xdp")' ;;
	*) want+=" == \"$1\"" ;;
	esac
	shift
	for port in "$@"; do
		ctl_is "$want" port show "$port" || return
	done
}

# ---- steady traffic (steady.c) -----------------------------------------------

# steady_start [OPTION...] GUEST...: numbered frames from each guest's eth0 to
# the next one's, until steady_stop; returns when they flow; sets STEADY
steady_start() {
	local options=() ends=() a
	for a in "$@"; do
		if [[ -e $(ns_path "$a") ]]; then
			ends+=("$(ns_name "$a"):eth0")
		else
			options+=("$a")
		fi
	done
	# A file from before would say that this one is ready.
	: >"$T/steady"
	"$BUILD/tests/e2e/steady" "${options[@]}" "${ends[@]}" </dev/null \
		>"$T/steady" 2>"$T/steady.err" &
	STEADY=$!
	lib_pids+=("$STEADY")
	wait_until 15 steady_flows_or_died && steady_flows
}

steady_flows() {
	grep -q '^ready' "$T/steady"
}

steady_flows_or_died() {
	steady_flows || lib_gone "$STEADY"
}

# Leaves what became of the frames in $T/steady.json.
steady_stop() {
	pid_stop "$STEADY" TERM 20 || return
	tail -n 1 "$T/steady" >"$T/steady.json"
	cat "$T/steady.err" "$T/steady.json" >&2
}

# steady_is JQ-EXPRESSION: of the last run
steady_is() {
	jq -e "$1" "$T/steady.json"
}

# steady_value KEY: of the last run
steady_value() {
	jq -r ".$1" "$T/steady.json"
}

# Not one of the last run's frames.
no_frame_lost() {
	steady_is '.lost == 0 and .duplicate == 0 and .reordered == 0 and
		.stray == 0 and .tx_dropped == 0 and .received == .sent and
		.sent > 100'
}

# ---- the same switch as before -----------------------------------------------

# portrait [NAMESPACE...]: all of the switch but what traffic changes, and the
# eth0 of each namespace
portrait() {
	ctl -j config show
	ctl -j port list | jq '[.ports[] | del(.["rx-frames", "rx-bytes",
		"rx-dropped", "tx-frames", "tx-bytes", "tx-dropped"])]'
	ctl -j mirror list | jq '[.mirrors[] | {name, to, state}]'
	ctl -j vlan list
	ctl -j switch show | jq '{age, "vlan-protocol", "forward-reserved",
		ports, addresses}'
	ctl -j fdb list | jq -c '.entries[] | [.mac, .vlan, .port, .static]' |
		sort
	devices "$@"
}

# Are they what they were? A lost carrier is counted even if it's back.
devices() { # NAMESPACE...
	local name
	for name in "$@"; do
		link_value "$name" eth0 '"\(.ifindex) \(.operstate)"'
		carrier_changes "$name" eth0
	done
}

# same_portrait [NAMESPACE...]: as in $T/before
same_portrait() {
	portrait "$@" >"$T/after"
	diff "$T/before" "$T/after" >&2
}

# ---- the two processes -------------------------------------------------------

# Is there a switch process that isn't one of these, and does it answer?
switch_is_other_than() { # PID...
	local now pid
	now=$(switch_pid) && [[ -n $now ]] || return
	for pid in "$@"; do
		[[ $pid != "$now" ]] || return
	done
	switchd_answers
}

# The descriptor of the monitor's that is the switch's journal: a path. The
# last one, where there are two in an upgrade.
journal_path() {
	local fd
	for fd in /proc/"$SWITCHD_PID"/fd/*; do
		if [[ $(readlink "$fd") == /memfd:*journal* ]]; then
			echo "$fd"
		fi
	done | tail -n 1
}

# A bit flips in the middle of what is remembered.
journal_poison() {
	"$PYTHON" - "$(journal_path)" <<'PY'
import os
import sys
fd = os.open(sys.argv[1], os.O_RDWR)
data = os.pread(fd, 1 << 24, 0).rstrip(b"\0")
at = len(data) // 2
os.pwrite(fd, bytes([data[at] ^ 1]), at)
PY
}

log_has() { # REGULAR EXPRESSION
	grep -qE -- "$1" "$T/switchd.log"
}

# No warning and nothing above. Only a switch that was started with
# JOURNAL_STREAM set says its levels; words can't be told from paths.
log_without_complaint() {
	log_has '^<[5-7]>' && ! grep '^<[0-4]>' "$T/switchd.log"
}
