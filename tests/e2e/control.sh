#!/bin/bash
# The control socket: hostile clients hurt nobody, events tell what happens,
# switchctl's exit statuses and completions.
#
#	vm1 [eth0 10.0.0.1] --+-- switchd --+-- [eth0 10.0.0.2] vm2
# shellcheck disable=SC2119 # all events
# shellcheck disable=SC2086 # $FRAMES is a command and its argument
. "$(dirname "$0")/tools.sh"
# AddressSanitizer keeps what was freed; its default would hide the rest.
ASAN_OPTIONS=${ASAN_OPTIONS-}:quarantine_size_mb=8 switchd_start
guest_add vm1 10.0.0.1/24
guest_add vm2 10.0.0.2/24

hostile() { # CASE [ARGUMENT...]
	timeout 60 "$PYTHON" "$(dirname "$0")/hostile.py" "$1" \
		"${SOCKET_OF:-$SOCKET}" "${@:2}"
}

resident() { # KiB
	awk '/^VmRSS/ {print $2}' "/proc/$SWITCHD_PID/status"
}

few_connections() {
	local n
	n=$(find "/proc/$SWITCHD_PID/fd" -lname 'socket:*' | wc -l) &&
		((n < 20))
}

status_of() { # COMMAND...: prints its exit status
	local status=0
	"$@" >&2 || status=$?
	echo "$status"
}

# ---- events ------------------------------------------------------------------

mac=02:00:00:00:00:07
frame=ffffffffffff${mac//:/}88b5
events_start
ctl switch set age=2 >&2 # see the end
ns_exec vm1 $FRAMES send eth0 "$frame"
claim "an address that is learned is an event" wait_until 5 event_seen \
	fdb.learned '.mac == "'$mac'" and .port == "vm1" and .vlan == 1'
ns_exec vm2 $FRAMES send eth0 "$frame"
claim "and one that moves" wait_until 5 event_seen fdb.moved \
	'.mac == "'$mac'" and .from == "vm1" and .port == "vm2"'
claim "fdb list says where it is" ctl_is \
	'[.entries[] | select(.mac == "'$mac'") | .port] == ["vm2"]' fdb list
ctl port attach x type=tap ifname=x0 >&2
claim "a port that comes" wait_until 5 event_seen port.attached \
	'.name == "x" and .type == "tap" and .ifname == "x0"'
ctl port set x description=changed >&2
claim "one that is changed" wait_until 5 event_seen port.changed '.name == "x"'
ctl port detach x >&2
claim "one that goes" wait_until 5 event_seen port.detached \
	'.name == "x" and .reason == "request"'
claim "an address that ages" wait_until 30 event_seen fdb.aged \
	'.mac == "'$mac'" and .port == "vm2"'
ctl switch set age=300 >&2

# ---- sockets -----------------------------------------------------------------

claim_equal "the socket is for its group and no other" 660 \
	"$(stat -c %a "$SOCKET")"
claim_equal "the helper's is for all" 666 "$(stat -c %a "$T/helper.sock")"
SOCKET_OF=$T/helper.sock claim "which can do one thing there" \
	hostile helper_only

# ---- hostile clients ---------------------------------------------------------

nsenter --net="$(ns_path vm1)" -- ping -q -i 0.005 10.0.0.2 >"$T/ping" 2>&1 &
ping=$!
lib_pids+=("$ping")
hostile crowd >&2 # what a first crowd makes it keep isn't a leak
before=$(resident)
claim "garbage is answered with an error" hostile garbage
claim "half a line holds up nobody" hostile half_line
claim "a line without an end is cut at a bound" hostile long_line
claim "deep nesting is refused" hostile nesting
claim "batches are refused" hostile batch
claim "wrong parameters are refused before anything happens" hostile parameters
claim "a client that never reads is waited for, and no other" \
	hostile never_reads
claim "400 idle and stalled clients slow nobody" hostile crowd
claim "every method that is described can be called" hostile methods
claim "a slow subscriber is told how many events it has lost" \
	hostile slow_subscriber vm1
bound=16384
[[ $TEST_SANITIZED == no ]] || bound=65536
after=$(resident)
echo "resident: $before, then $after KiB" >&2
claim "none of them has cost memory for long" test $((after - before)) -lt \
	$bound
claim "nor a connection that stays" wait_until 5 few_connections
pid_stop "$ping" INT || true
read -r sent received < <(sed -n \
	's/^\([0-9]*\) packets transmitted, \([0-9]*\) .*/\1 \2/p' "$T/ping")
claim "the guests have talked all the time" test "$sent" -gt 100 -a \
	"$received" -ge $((sent - 1))
claim "the switch is still the same" ctl_is '.ports == 2' switch show
claim "the ledgers close" wait_until 5 ledgers_close

# ---- switchctl ---------------------------------------------------------------

claim_equal "0: done" 0 "$(status_of ctl port list)"
claim_equal "1: refused by the daemon" 1 "$(status_of ctl port show none)"
claim_equal "2: no such object" 2 "$(status_of ctl prot list)"
claim_equal "2: no such verb" 2 "$(status_of ctl port lst)"
claim_equal "2: no such parameter" 2 \
	"$(status_of ctl port attach y type=tap colour=red)"
claim_equal "2: a value of the wrong type" 2 \
	"$(status_of ctl port attach y type=tap vlan=ten)"
claim_equal "2: no such option" 2 "$(status_of ctl -Z port list)"
claim_equal "3: nobody there" 3 \
	"$(status_of "$SWITCHCTL" -s "$T/none.sock" port list)"
claim "a refusal says reason and path" says \
	'no port "none" \(no-such-port, at name\)' ctl port show none

completes() { # WANT WORD...
	local want=$1
	shift
	ctl __complete "$@" >"$T/complete"
	cat "$T/complete" >&2
	grep -qxF -- "$want" "$T/complete"
}
claim "objects are completed" completes port p
claim "verbs" completes attach port ""
claim "live names" completes vm2 port detach ""
claim "keys" completes vlan= port attach z v
claim "words of an enumeration" completes type=netdev port attach z type=
claim "names behind a key" completes to=vm1 mirror add m to=
claim "bash takes its script" bash -n <("$SWITCHCTL" completion bash)
claim_equal "no other shell's is known" 2 \
	"$(status_of "$SWITCHCTL" completion fish)"
claim "help knows the methods" grep -q "type=" <(ctl help port attach)
finish
