# shellcheck shell=bash
# shellcheck disable=SC2034,SC2119,SC2120 # for the scripts that source this
# lib.sh - what every end-to-end test is made of
#
# A test is an executable file beside this one. Its head draws the topology:
#
#	#!/bin/bash
#	# Two guests on a switch talk to each other.
#	#
#	#	vm1 [tap 10.0.0.1] --+-- switchd --+-- [tap 10.0.0.2] vm2
#	. "$(dirname "$0")/lib.sh"
#	switchd_start
#	guest_add vm1 10.0.0.1/24
#	guest_add vm2 10.0.0.2/24
#	claim "vm1 reaches vm2" ns_exec vm1 ping -c1 -W2 10.0.0.2
#	finish
#
# Each claim is a line `ok - NAME`, `not ok - NAME` or `ok - NAME # SKIP why`;
# finish writes the plan, without which the run counts as failed. What the
# commands write goes to stderr and is shown where a claim fails.
#
# Everything is made in network namespaces with names of this run's own and in
# the folder $T, and goes when the script ends, however it does. tests/run puts
# another set of namespaces around it; a script run by hand works the same.
#
# From the environment: BUILD (the build's folder), SRC, and SWITCHD, SWITCHCTL
# HELPER and SWITCHD_SLIRP (programs); the default is what tests/run has built. TEST_FULL is
# `yes` where the long form is wanted, TEST_SANITIZED where times mean nothing.
set -euo pipefail
export LC_ALL=C.UTF-8 # elsewhere $EPOCHREALTIME has a comma

SRC=${SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
BUILD=${BUILD:-$SRC/.build/plain}
SWITCHD=${SWITCHD:-$BUILD/switchd/switchd}
SWITCHCTL=${SWITCHCTL:-$BUILD/control/switchctl/switchctl}
HELPER=${HELPER:-$BUILD/control/helper/switchd-helper}
export SWITCHD_SLIRP=${SWITCHD_SLIRP:-$BUILD/ports/slirp/switchd-slirp}
TEST_FULL=${TEST_FULL:-no}
TEST_SANITIZED=${TEST_SANITIZED:-no}

T=$(mktemp -d "${TMPDIR:-/tmp}/e2e.XXXXXX")
SOCKET=$T/switchd.sock
SWITCHD_PID=
CTL_OUT=$T/ctl.out # what the last ctl_is saw

lib_claims=0
lib_failed=0
lib_finished=no
lib_namespaces=()
lib_pids=()

# ---- claims ----------------------------------------------------------------

pass() {
	lib_claims=$((lib_claims + 1))
	echo "ok - $1"
}

# fail NAME [WHY]
fail() {
	lib_claims=$((lib_claims + 1))
	lib_failed=$((lib_failed + 1))
	echo "not ok - $1${2:+ # $2}"
}

# claim NAME COMMAND...: it succeeds
claim() {
	local name=$1
	shift
	if "$@" >&2; then pass "$name"; else fail "$name" "$*"; fi
}

# claim_not NAME COMMAND...: it fails, by its own decision
claim_not() {
	local name=$1 status=0
	shift
	"$@" >&2 || status=$?
	if refusal "$status"; then
		pass "$name"
	else
		fail "$name" "status $status: $*"
	fi
}

# refusal STATUS: is this how a program says no? 99 is a sanitizer's report (see
# tests/run), 124 and up are a timeout, a program that isn't there, a signal.
refusal() {
	(($1 > 0 && $1 < 124 && $1 != 99))
}

# claim_equal NAME WANT GOT: nothing is equal to nothing, since commands that have
# failed print that
claim_equal() {
	if [[ -n $2 && $2 == "$3" ]]; then
		pass "$1"
	else
		fail "$1" "want $2, got $3"
	fi
}

# skip NAME WHY: only what this machine can't do at all
skip() {
	lib_claims=$((lib_claims + 1))
	echo "ok - $1 # SKIP $2"
}

# The last line of a test: the plan, and the exit status.
finish() {
	lib_finished=yes
	echo "1..$lib_claims"
	exit $((lib_failed > 0))
}

# wait_until SECONDS COMMAND...: tries it until it succeeds; 1 at the deadline
wait_until() {
	local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		if ((${EPOCHREALTIME/./} > deadline)); then
			echo "still false at the deadline: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}

# ---- namespaces ------------------------------------------------------------

# ns_add NAME...: namespaces, with lo up and no IPv6 chatter unless asked for
ns_add() {
	local name full
	for name in "$@"; do
		full=$(ns_name "$name")
		ip netns add "$full"
		lib_namespaces+=("$full")
		ns_exec "$name" sysctl -qw \
			net.ipv6.conf.default.disable_ipv6="${NS_NO_IPV6:-1}"
		ip -n "$full" link set lo up
	done
}

# What `ip netns` knows NAME as.
ns_name() {
	echo "sw$$-$1"
}

# The file of NAME, for setns(2).
ns_path() {
	echo "/run/netns/$(ns_name "$1")"
}

# ns_exec NAME COMMAND... (not `ip netns exec`, which hides /sys/fs/bpf)
ns_exec() {
	local path
	path=$(ns_path "$1")
	shift
	nsenter --net="$path" -- "$@"
}

# ns_background NAME COMMAND...: runs it until the test ends; sets PID
ns_background() {
	local path
	path=$(ns_path "$1")
	shift
	nsenter --net="$path" -- "$@" </dev/null >&2 &
	PID=$!
	lib_pids+=("$PID")
}

# pid_stop PID [SIGNAL [SECONDS]]: a child of this script; returns its status,
# or 124 where it had to be killed
pid_stop() {
	local status=0
	kill -"${2:-TERM}" "$1" 2>/dev/null || true
	if ! wait_until "${3:-10}" lib_gone "$1"; then
		kill -KILL "$1" 2>/dev/null || true
		wait "$1" 2>/dev/null || true
		return 124
	fi
	wait "$1" 2>/dev/null || status=$?
	return "$status"
}

# Gone, or a zombie that waits for us.
lib_gone() {
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
	[[ ${stat##*) } == Z* ]] || return 1
	# Its threads may be a moment later, and the files are theirs, too.
	set -- "/proc/$1/task"/*
	(($# == 1))
}

# ---- the switch ------------------------------------------------------------

# switchd_start [ARGUMENT...]: a switch in the namespace `sw`, on $SOCKET, its
# log in $T/switchd.log; returns when it answers
switchd_start() {
	switchd_launch "$@"
	if ! wait_until 10 switchd_answers_or_died || ! switchd_answers; then
		echo "switchd didn't come up:" >&2
		cat "$T/switchd.log" >&2
		return 1
	fi
}

# The same without waiting, for tests of the start itself.
switchd_launch() {
	[[ -e $(ns_path sw) ]] || ns_add sw
	nsenter --net="$(ns_path sw)" -- "$SWITCHD" -f -s "$SOCKET" "$@" \
		</dev/null >>"$T/switchd.log" 2>&1 &
	SWITCHD_PID=$!
}

# The switch process, a child of the monitor $SWITCHD_PID; there may be others,
# of slirp ports.
switch_pid() {
	local child name
	for child in $(<"/proc/$SWITCHD_PID/task/$SWITCHD_PID/children"); do
		{ IFS= read -r -d '' name <"/proc/$child/cmdline"; } \
			2>/dev/null || continue
		[[ $name != switchd-slirp ]] || continue
		echo "$child"
		return
	done
}

# Monitor and switch die at once, as when the host's memory runs out.
switchd_kill() {
	local pids=("$SWITCHD_PID" "$(switch_pid)")
	SWITCHD_PID=
	kill -KILL "${pids[@]}"
	wait "${pids[0]}" 2>/dev/null || true
	wait_until 5 lib_gone "${pids[1]}"
}

# ns_is_empty NAME: no process is in it
ns_is_empty() {
	[[ -z $(ip netns pids "$(ns_name "$1")") ]]
}

switchd_answers() {
	ctl switch show >/dev/null
}

switchd_answers_or_died() {
	switchd_answers || lib_gone "$SWITCHD_PID"
}

# switchd_stop [SIGNAL]: returns the daemon's exit status
switchd_stop() {
	local pid=$SWITCHD_PID
	SWITCHD_PID=
	pid_stop "$pid" "${1:-TERM}"
}

# ctl ARGUMENT...: switchctl on this test's switch
ctl() {
	"$SWITCHCTL" -s "$SOCKET" "$@"
}

# ctl_is JQ-EXPRESSION ARGUMENT...: true of the JSON that switchctl prints
ctl_is() {
	local expression=$1
	shift
	ctl -j "$@" >"$CTL_OUT" || return
	jq -e "$expression" "$CTL_OUT" >/dev/null || {
		echo "not true: $expression, of:" >&2
		cat "$CTL_OUT" >&2
		return 1
	}
}

# guest_add NAME ADDRESS/LEN [key=value...]: a guest as the switch sees one, a
# namespace of this name with a TAP `eth0` in it that is port NAME
guest_add() {
	local name=$1 address=$2 full
	shift 2
	full=$(ns_name "$name")
	ns_add "$name"
	ctl port attach "$name" type=tap ifname=eth0 \
		netns="$full" "$@" >&2
	wait_until 5 ip -n "$full" link show eth0
	ip -n "$full" addr add "$address" dev eth0
	ip -n "$full" link set eth0 up
}

# The MAC address of the guest NAME.
guest_mac() {
	ns_exec "$1" ip -j link show eth0 | jq -r '.[0].address'
}

# ---- the end ---------------------------------------------------------------

lib_cleanup() {
	local status=$? ended=0 pid ns
	trap - EXIT
	trap '' INT TERM
	set +e
	if [[ $lib_finished == no ]]; then
		fail "${0##*/} runs to its end" "exit status $status"
	fi
	[[ -z $SWITCHD_PID ]] || switchd_stop || ended=$?
	# After the plan, where only what failed may be said.
	((ended == 0)) || fail "the switch ends when asked" "status $ended"
	# A report that went here and not to the sanitizer's own log.
	grep -hE 'ERROR: .*Sanitizer|runtime error:|ERROR: Can.t open file' \
		"$T"/*.log >&2 2>/dev/null
	if ((lib_failed)) && [[ -s $T/switchd.log ]]; then
		echo "the switch's log:" >&2
		tail -n 30 "$T/switchd.log" >&2
	fi
	for pid in "${lib_pids[@]}"; do
		lib_gone "$pid" || pid_stop "$pid" TERM 5
	done
	for ns in "${lib_namespaces[@]}"; do
		# What a test left running in there would keep it alive.
		for pid in $(ip netns pids "$ns"); do
			kill -KILL "$pid"
		done
		ip netns del "$ns"
	done
	rm -rf "$T"
	if ((lib_failed && status == 0)); then
		status=1
	fi
	exit "$status"
}

trap lib_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
