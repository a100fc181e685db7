#!/bin/bash
# Front ends of vhost-user ports that were taken over, while two guests talk:
# those lose nothing, the switch goes on in the same process, and a front end
# that behaves is served afterwards.
#
#	vm1 [tap 10.0.0.1] --+-- switchd --+-- [tap 10.0.0.2] vm2
#	                     |   1 worker  |
#	h1, h2, h3: sockets in $D, vhost_hostile.c at the other end
. "$(dirname "$0")/tools.sh"

HOSTILE=$BUILD/tests/e2e/vhost_hostile
D=$T/sockets
PATIENCE_MS=1000 # a frame of others is held up less long than that
[[ $TEST_SANITIZED == no ]] || PATIENCE_MS=5000
mkdir "$D"
jq -n --arg d "$D" '{daemon: {workers: 1, allow: {sockets: [$d + "/*"]}}}' \
	>"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"
events_start port
guest_add vm1 10.0.0.1/24
guest_add vm2 10.0.0.2/24
for port in h1 h2 h3; do
	ctl port attach "$port" type=vhost-user path="$D/$port" >&2
done

# attack_start CASE PORT: returns when the program has done its worst
attack_start() {
	rm -f "$T/in" "$T/out"
	mkfifo "$T/in"
	"$HOSTILE" "$1" "$D/$2" <"$T/in" >"$T/out" 2>"$T/err" &
	ATTACK=$!
	lib_pids+=("$ATTACK")
	exec {FEED}>"$T/in"
	wait_until 30 attack_told || return
	grep -q 'done' "$T/out"
}

attack_told() {
	grep -q 'done' "$T/out" || lib_gone "$ATTACK"
}

# It found what it expected.
attack_ends() {
	exec {FEED}>&-
	wait "$ATTACK" || {
		cat "$T/err" >&2
		return 1
	}
}

condition_is() { # PORT CONDITION
	ctl_is ".guest.condition == \"$2\"" port show "$1"
}

reason_is() { # PORT REGEX
	ctl_is ".guest.reason | test(\"$2\")" port show "$1"
}

decent() { # PORT
	wait_until 20 condition_is "$1" waiting || return
	attack_start decent "$1" && attack_ends
}

# What the switch has open; and of its guests' memory mapped.
descriptors() {
	find "/proc/$PID_SWITCH/fd" "/proc/$SWITCHD_PID/fd" -mindepth 1 | wc -l
}
mappings() {
	grep -cE '/memfd:(guest|vhost-zeros)' "/proc/$PID_SWITCH/maps" ||
		(($? == 1))
}
memory_kib() {
	awk '/^RssAnon/ {print $2}' "/proc/$PID_SWITCH/status"
}
cpu_ticks() {
	local stat
	read -r stat <"/proc/$PID_SWITCH/stat"
	read -ra stat <<<"${stat##*) }"
	echo $((stat[11] + stat[12]))
}

# talk_begin, talk_ends WHAT: vm1 asks vm2 a hundred times a second
talk_begin() {
	nsenter --net="$(ns_path vm1)" -- ping -i 0.01 10.0.0.2 \
		>"$T/ping" 2>&1 &
	TALK=$!
	lib_pids+=("$TALK")
}
talk_ends() {
	local asked got last max
	kill -INT "$TALK"
	wait "$TALK" || true
	read -r asked _ _ got _ < <(grep transmitted "$T/ping")
	last=$(grep -o 'icmp_seq=[0-9]*' "$T/ping" | tail -n 1 | cut -d= -f2)
	# The answer to the last one may have been under way.
	claim_equal "$1: others lose nothing" "$last" "$got"
	claim "$1: to the end" test $((asked - got)) -le 1
	max=$(grep -o 'max/mdev = .*' "$T/ping" | cut -d/ -f4)
	echo "$1: $max ms at most" >&2
	claim "$1: nor are they held up" test "${max%.*}" -lt "$PATIENCE_MS"
}

PID_SWITCH=$(switch_pid)
for port in h1 h2 h3; do
	claim "a front end that behaves is served by $port" decent "$port"
done
claim "the others talk" ns_exec vm1 ping -q -c 10 -i 0.01 10.0.0.2
wait_until 10 condition_is h3 waiting
fds=$(descriptors) rss=$(memory_kib)

# breaks CASE REGEX: h1 stands still, and says why
breaks() {
	talk_begin
	claim "$1: tried" attack_start "$1" h1
	claim "$1: the port is broken" wait_until 10 condition_is h1 broken
	claim "$1: and says why" reason_is h1 "$2"
	claim "$1: its memory is still mapped" test "$(mappings)" -gt 0
	claim "$1: as an event does" wait_until 5 event_seen port.link \
		".name == \"h1\" and .condition == \"broken\" and
		(.reason // \"\" | test(\"$2\"))"
	claim "$1: its front end is as expected" attack_ends
	talk_ends "$1"
	claim "$1: then another one is served" decent h1
}

breaks cut "memory away"
breaks cut-idle "memory away"
breaks far-index "."

# hangs_up CASE: nothing is left of it
hangs_up() {
	talk_begin
	claim "$1: tried, and as expected" attack_start "$1" h1
	claim "$1: it ends" attack_ends
	cat "$T/err" >&2
	talk_ends "$1"
	claim "$1: then another one is served" decent h1
}

hangs_up garbage
hangs_up truncated
hangs_up descriptors
hangs_up connects
before=$(cpu_ticks)
hangs_up storm
echo "storm: $(($(cpu_ticks) - before)) ticks of CPU" >&2

# shuts CASE PORT REGEX: it's hung up on, and nobody let in for a while
shuts() {
	talk_begin
	claim "$1: tried, and hung up on" attack_start "$1" "$2"
	claim "$1: the port is shut" condition_is "$2" shut
	claim "$1: and says why" reason_is "$2" "$3"
	claim "$1: as an event does" wait_until 5 event_seen port.link \
		".name == \"$2\" and .condition == \"shut\" and
		(.reason // \"\" | test(\"$3\"))"
	claim "$1: it ends" attack_ends
	talk_ends "$1"
}

shuts call h2 "kept the switch waiting"
shuts file h3 "might keep the switch waiting"
claim "after a call that blocks others are let in, later" decent h2
claim "after a file that might, too" decent h3

# ---- what is left ------------------------------------------------------------

claim_equal "the switch is the same process" "$PID_SWITCH" "$(switch_pid)"
claim "no descriptor is left" wait_until 5 value_is "$fds" descriptors
claim "no memory of guests is" wait_until 5 value_is 0 mappings
if [[ $TEST_SANITIZED == no ]]; then
	claim "nor more than a MiB of its own" test \
		$(($(memory_kib) - rss)) -lt 1024
fi
claim "all is counted" wait_until 5 ledgers_close
claim "nothing of vm1 is lost" ctl_is '.rx.dropped == 0' stats show port=vm1
claim "nor to it" ctl_is '.tx.dropped == 0' stats show port=vm1
finish
