# shellcheck shell=bash
# peers.sh - programs at the other end of ports, which a test has in its hand:
# `. "$(dirname "$0")/peers.sh"` gives tools.sh as well.
# shellcheck source=tests/e2e/tools.sh
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"

# ---- one that holds many connections (listener_peers.py) -----------------------

# peers_start COMMAND...: runs it, which ends in the script's path; from then on
# guests do what `peer` says, until the test ends
peers_start() {
	mkfifo "$T/peers.in" "$T/peers.out"
	"$@" <"$T/peers.in" >"$T/peers.out" &
	lib_pids+=("$!")
	exec {PEERS_IN}>"$T/peers.in" {PEERS_OUT}<"$T/peers.out"
}

# peer COMMAND [ARGUMENT...]: see listener_peers.py; sets ANSWER
peer() {
	echo "$*" >&"$PEERS_IN"
	read -rt 30 ANSWER <&"$PEERS_OUT" || ANSWER="no answer"
	[[ $ANSWER == ok* ]] || {
		echo "peer $*: $ANSWER" >&2
		return 1
	}
}

# ---- any program ----------------------------------------------------------------

declare -A FEED CLIENT_PID

# client NAME COMMAND...: runs it until `over` ends its standard input, which is
# ${FEED[NAME]}; what it says is in $T/NAME.out
client() {
	local name=$1 fd
	shift
	[[ -p $T/$name.in ]] || mkfifo "$T/$name.in"
	client_run "$@" <"$T/$name.in" >"$T/$name.out" 2>"$T/$name.err" &
	CLIENT_PID[$name]=$!
	lib_pids+=("$!")
	exec {fd}>"$T/$name.in"
	FEED[$name]=$fd
}

# In a process of its own: others' ends aren't its to hold open.
client_run() {
	local fd
	for fd in "${FEED[@]}"; do
		exec {fd}>&-
	done
	[[ $(type -t "$1") == function ]] || exec "$@"
	"$@"
}

# over NAME: its standard input ends, and it does
over() {
	local fd=${FEED[$1]}
	exec {fd}>&-
	unset "FEED[$1]"
	wait_until 10 lib_gone "${CLIENT_PID[$1]}"
}

# said NAME LINE...: it says that, in 10 s
said() {
	local name=$1
	shift
	wait_until 10 value_is "$(printf '%s\n' "$@")" cat "$T/$name.out" || {
		cat "$T/$name.out" "$T/$name.err" >&2
		return 1
	}
}

hex_has() { # FILE DIGITS
	od -An -v -tx1 "$1" | tr -d ' \n' | grep -q "$2"
}

is_learned() { # MAC PORT
	ctl_is ".entries[] | select(.mac == \"$1\") | .port == \"$2\"" fdb list
}
