#!/bin/bash
# The switch process is killed under traffic: another one goes on, with all that
# there was, and nobody sees a device blink. It is killed again and again, what
# it remembers is spoilt, guests leave while it is dead.
#
#	c1, c2 [TAPs of the file] --+              +-- [v1, a veth] vm4
#	vm1, vm2 [TAPs]             +-- switchd ---+-- [u0, a veth] vm5, uplink
#	a1, a2 [TAPs, VLAN 10]      |              +-- [swh0] a program's TAP
#	i1, i2 [TAPs, isolated] ----+              +-- cap, a mirror's file
. "$(dirname "$0")/tools.sh"

RATE=40000
[[ $TEST_SANITIZED == no ]] || RATE=8000
FAST_MS=250 # from the kill to the next frame, and to the next answer
GUESTS=(c1 c2 vm1 vm2 a1 a2 i1 i2 vm4 vm5)
STEADY_ON=(c1 vm1 c2 vm2)

as_before() { # DEVICE: is it what "$T/host.DEVICE" says?
	host_state "$1" | diff "$T/host.$1" -
}

# program_talks BYTE: a frame each way between vm2 and the program
program_talks() {
	local mac to from
	mac=$(guest_mac vm2 | tr -d :)
	to=${mac}02000000000188b5$(printf 'cc%.0s' {1..46})
	from=020000000001${mac}88b5$(printf "$1%.0s" {1..46})
	sniff_start vm2 eth0 "$to"
	echo "$to" >&"$FEED"
	wait_until 5 grep -qx "$to" "$T/sniffed" || return
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec vm2 $FRAMES send eth0 "$from"
	wait_until 5 grep -qx "$from" "$T/program"
}

# Of every port, in one line each.
counters() {
	ctl -j port list | jq -c '.ports[] | [.name, .["rx-frames", "rx-bytes",
		"rx-dropped", "tx-frames", "tx-bytes", "tx-dropped"]]'
}

# Not one is less than in $T/counters.
none_fell() {
	counters | jq -se --slurpfile old "$T/counters" '
		(map({(.[0]): .[1:]}) | add) as $now | $old | length > 0 and
		all(. as $o | range(0; 6) | $now[$o[0]][.] >= $o[. + 1])'
}

# kill_switch: sets RECOVERY to the ms until another one answers
kill_switch() {
	local was from
	was=$(switch_pid)
	counters >"$T/counters"
	from=${EPOCHREALTIME/./}
	kill -KILL "$was"
	until switch_is_other_than "$was" 2>/dev/null; do
		((${EPOCHREALTIME/./} - from < 20000000)) || return
	done
	RECOVERY=$(((${EPOCHREALTIME/./} - from) / 1000))
}

# One death under traffic.
die_under_traffic() {
	wait_until 10 ran_for 3
	steady_start -r "$RATE" "${STEADY_ON[@]}"
	kill_switch && steady_stop
}

# kill_each SECONDS: every switch process as soon as there is one; prints how many
kill_each() {
	"$PYTHON" - "$SWITCHD_PID" "$1" <<'PY'
import os
import signal
import sys
import time
path = f"/proc/{sys.argv[1]}/task/{sys.argv[1]}/children"
deadline = time.monotonic() + float(sys.argv[2])
seen = set()
while time.monotonic() < deadline:
    with open(path) as f:
        pids = [int(p) for p in f.read().split()]
    for pid in pids:
        if pid not in seen:
            seen.add(pid)
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.001)
print(len(seen))
PY
}

# How long a death takes, the median of three: until frames pass and until it
# answers.
fast() {
	local ms=() i
	for i in 1 2 3; do
		((i == 1)) || die_under_traffic || return
		ms+=("$(jq -n "[$(steady_value gap_ms), $RECOVERY] | max | ceil")")
	done
	mapfile -t ms < <(printf '%s\n' "${ms[@]}" | sort -n)
	echo "three deaths: ${ms[*]} ms"
	((ms[1] < FAST_MS))
}

vlans_hold() {
	pings a1 10.0.0.12 && no_ping a1 10.0.0.1 && no_ping i1 10.0.0.14 &&
		pings i1 10.0.0.5
}

# ---- a switch with a bit of everything ---------------------------------------

ns_add sw "${GUESTS[@]}"
veth_add v1 vm4 10.0.0.4/24
veth_add u0 vm5 10.0.0.5/24
sw_ip addr add 10.0.0.9/24 dev v1
sw_ip link set v1 up
sw_ip link set u0 up # for the qdisc that a device has from then on
sw_ip link set u0 down
for device in v1 u0; do
	host_state $device >"$T/host.$device"
done
echo "allow all" >"$T/acl"
jq -n --arg c1 "$(ns_name c1)" --arg c2 "$(ns_name c2)" --arg acl "$T/acl" '{
	daemon: { "helper-acl": $acl, allow: { force: ["v1"] } }, profiles: { br0: {} }, ports: [
	{ name: "c1", type: "tap", ifname: "eth0", netns: $c1 },
	{ name: "c2", type: "tap", ifname: "eth0", netns: $c2 },
	{ name: "v1", type: "netdev", ifname: "v1", force: true }] }' \
	>"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"

# guest NAME ADDRESS [key=value...]: like guest_add, in a namespace that's there
guest() {
	ctl port attach "$1" type=tap ifname=eth0 netns="$(ns_name "$1")" \
		"${@:3}" >&2
	up_with "$1" "$2"
}

up_with() { # NAMESPACE ADDRESS
	wait_until 5 ns_exec "$1" ip link show eth0
	ns_exec "$1" ip addr add "$2" dev eth0
	ns_exec "$1" ip link set eth0 up
}

up_with c1 10.0.0.21/24
up_with c2 10.0.0.22/24
guest vm1 10.0.0.1/24
guest vm2 10.0.0.2/24 description=second
guest a1 10.0.0.11/24 mode=access vlan=10
guest a2 10.0.0.12/24 mode=access vlan=10
guest i1 10.0.0.13/24 isolated=yes
guest i2 10.0.0.14/24 isolated=yes
ctl port attach u0 type=netdev ifname=u0 uplink=yes >&2
ctl port attach trunk type=tap ifname=trunk mode=trunk trunk=10,20-30 >&2
ctl port attach cap type=pcap file="$T/cap.pcapng" snaplen=128 >&2
ctl mirror add watch from=vm1 to=cap >&2
ctl fdb add 02:00:00:00:00:77 port=trunk vlan=20 >&2
ctl switch set age=500 >&2
mkfifo "$T/feed"
nsenter --net="$(ns_path sw)" -- env SWITCHD_HELPER_SOCKET="$T/helper.sock" "$PYTHON" \
	"$(dirname "$0")/fake_qemu.py" "$HELPER" --br=br0 <"$T/feed" \
	>"$T/program" 2>&1 &
program=$!
lib_pids+=("$program")
exec {FEED}>"$T/feed"
wait_until 10 grep -q '^tap ' "$T/program"
tap=$(sed -n 's/^tap //p' "$T/program")

claim "the program's TAP is a port" program_talks e1
claim "VLANs and isolation hold" vlans_hold
for g in c1 c2 vm1 vm4; do
	pings $g 10.0.0.2 >&2
done
claim "the host's stack doesn't answer on v1" no_ping vm4 10.0.0.9
pings vm1 10.0.0.2 -c 5 -i 0.01 -s 111 >&2
file=$(stat -c %i "$T/cap.pcapng")
# Not by ns_exec: signals are for the programs themselves.
nsenter --net="$(ns_path vm2)" -- socat -u TCP-LISTEN:5202 - >"$T/received" &
receiver=$!
wait_until 5 listens vm2 5202
# Numbered lines, four megabytes a second, until TERM.
nsenter --net="$(ns_path vm1)" -- "$PYTHON" -c '
import hashlib, signal, socket, sys
SO_MAX_PACING_RATE = 47
stop = []
signal.signal(signal.SIGTERM, lambda *a: stop.append(1))
s = socket.create_connection(("10.0.0.2", 5202))
s.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 4 << 20)
total, n = hashlib.sha256(), 0
while not stop:
    data = b"".join(b"%d\n" % i for i in range(n, n + 1000))
    n += 1000
    total.update(data)
    s.sendall(data)
s.close()
print(total.hexdigest(), flush=True)' >"$T/sum" &
sender=$!
lib_pids+=("$receiver" "$sender")
wait_until 5 ctl_is '.["rx-bytes"] > 1000000' port show vm1
all_up() {
	ctl_is 'all(.ports[]; .state == "up")' port list
}
wait_until 5 all_up
ran_for() { # SECONDS: of the switch process
	(($(ps -o etimes= -p "$(switch_pid)") >= $1))
}
wait_until 10 ran_for 3

# ---- once --------------------------------------------------------------------

steady_start -r "$RATE" "${STEADY_ON[@]}"
portrait "${GUESTS[@]}" >"$T/before"
claim "killed, it comes back" kill_switch
claim "no counter of a port has fallen" none_fell
claim "all is as it was: devices, carriers, ports, addresses, settings" \
	wait_until 5 same_portrait "${GUESTS[@]}"
claim "it says that it was started anew" ctl_is '.restarts == 1 and
	.monitor == "connected"' switch show
claim "the log says what happened" log_has 'the switch died .killed by signal 9'
steady_stop
echo "# $(steady_value lost) of $(steady_value sent) frames lost"
claim "it answers, and frames pass again, none twice, none out of order, none flooded" \
	steady_is '.duplicate == 0 and .reordered == 0 and .stray == 0 and
	.received > 1000 and .received > .sent * 0.5'
if [[ $TEST_SANITIZED == no ]]; then
	claim "both within $FAST_MS ms" fast
fi
echo "# no frame for $(steady_value gap_ms) ms, no answer for $RECOVERY ms"
claim "the program's TAP goes on" program_talks e2
claim "VLANs and isolation hold as before" vlans_hold
claim "the host's stack still doesn't answer on v1" no_ping vm4 10.0.0.9
claim "the veth passes frames" pings vm4 10.0.0.2
growing() {
	local was
	was=$(stat -c %s "$T/received")
	wait_until 5 larger "$was"
}
larger() {
	(($(stat -c %s "$T/received") > $1))
}
claim "TCP goes on" growing

# ---- again at once, and once more --------------------------------------------

wait_until 10 ran_for 3
for n in first second third; do
	claim "killed for the $n time in a row, it comes back" kill_switch
	claim "with all that was there" wait_until 5 same_portrait \
		"${GUESTS[@]}"
	claim "no counter has fallen" none_fell
done
claim "the guests talk" pings vm1 10.0.0.2 -c 5 -i 0.01 -s 222
claim "the ones of a VLAN, too" pings a1 10.0.0.12

# ---- while it is dead --------------------------------------------------------

wait_until 10 ran_for 3
devices "${GUESTS[@]}" >"$T/devices"
was=$(switch_pid)
kill -STOP "$SWITCHD_PID" # or it would be back in no time
kill -KILL "$was"
wait_until 5 lib_gone "$was"
claim "without a switch the host's stack doesn't answer on v1" \
	no_ping vm4 10.0.0.9
claim "no device has lost its carrier" diff "$T/devices" \
	<(devices "${GUESTS[@]}")
ns_exec vm1 ping -q -c1 -W20 10.0.0.2 >&2 &
patient=$!
kill -KILL "$program"
claim "a program's TAP goes with it, as nobody has it open" \
	wait_until 5 link_gone sw "$tap"
kill -CONT "$SWITCHD_PID"
claim "the next one comes" wait_until 10 switch_is_other_than "$was"
port_gone() {
	! ctl port show "$1"
}
claim "what was sent meanwhile has waited in the TAP" wait "$patient"
claim "it notices that the program is gone" wait_until 5 port_gone "$tap"
claim "and nothing else is" ctl_is '[.ports[] | select(.state == "up")] |
	length == 12' port list
claim "TCP goes on over all of that" growing
pid_stop "$sender" || true # the interpreter's word for it is the sum below
claim "to its end" wait_until 10 lib_gone "$receiver"
claim_equal "and every byte has come" "$(cat "$T/sum")" \
	"$(sha256sum <"$T/received" | cut -d' ' -f1)"
claim "both ledgers of each port close" wait_until 5 ledgers_close
claim_equal "the capture is the same file" "$file" \
	"$(stat -c %i "$T/cap.pcapng")"
ctl mirror remove watch >&2
ctl port detach cap >&2
pings_in_file() { # SIZE
	# Ethernet, IPv4 and ICMP have headers of 42 bytes.
	tshark -r "$T/cap.pcapng" -Y "icmp && frame.len == $(($1 + 42))" \
		2>/dev/null | wc -l
}
claim "which can be read to its end" wait_until 5 file_readable
claim_equal "with what was before and what was after" "10 10" \
	"$(pings_in_file 111) $(pings_in_file 222)"

# ---- HUP while it is dead ----------------------------------------------------

cp "$T/switchd.conf" "$T/without"
jq '.ports += [{"name": "late", "type": "tap", "ifname": "late"}]' \
	"$T/without" >"$T/switchd.conf"
was=$(switch_pid)
kill -STOP "$SWITCHD_PID"
kill -KILL "$was"
wait_until 5 lib_gone "$was"
kill -HUP "$SWITCHD_PID"
kill -CONT "$SWITCHD_PID"
claim "a HUP that came while it was dead isn't lost" wait_until 10 \
	ctl port show late
cp "$T/without" "$T/switchd.conf"
kill -HUP "$SWITCHD_PID"
claim "nor is the next one" wait_until 10 port_gone late

# ---- what it remembers is spoilt ---------------------------------------------

devices c1 c2 vm4 >"$T/devices"
: >"$T/switchd.log"
journal_poison
claim "killed with a flipped bit in its memory, it comes back" kill_switch
claim "it says that it begins anew" log_has \
	"what was remembered can't be used.*back to the configuration"
claim "the configuration's ports are there" wait_until 5 ports_are c1 c2 v1
claim "on the same devices, which haven't blinked" diff "$T/devices" \
	<(devices c1 c2 vm4)
claim "settings are the configuration's" ctl_is '.age == 300' switch show
claim "ports made by hand are gone, with their devices" wait_until 5 \
	link_gone vm1 eth0
claim "and what the host had is as before" wait_until 5 as_before u0
claim "v1 is still the switch's" no_ping vm4 10.0.0.9
claim "the guests talk at once" pings c1 10.0.0.22
claim "their addresses are learned anew" ctl_is \
	'[.entries[] | select(.static | not) | .port] | unique |
	contains(["c1", "c2"])' fdb list
claim "the ledgers of a switch that began anew close" wait_until 5 ledgers_close
claim "nothing comes and goes a second time" diff "$T/devices" \
	<(devices c1 c2 vm4)

# ---- it crashes whatever one does --------------------------------------------

: >"$T/switchd.log"
killed=$(kill_each 2.5)
echo "# killed $killed times in 2.5 s"
claim "a switch that dies at once is started later and later" \
	test "$killed" -ge 4 -a "$killed" -le 8
claim "which the log says" log_has 'deaths in a row: waiting for 400 ms'
claim "left alone, it comes back by itself" wait_until 15 switchd_answers
claim "with the configuration's ports" wait_until 5 ports_are c1 c2 v1
claim "on the same devices, which haven't blinked" diff "$T/devices" \
	<(devices c1 c2 vm4)
claim "and the guests talk" pings c1 10.0.0.22

# ---- a reload that finds no switch -------------------------------------------

jq '.switch.age = 77' "$T/switchd.conf" >"$T/changed.conf"
cat "$T/changed.conf" >"$T/switchd.conf"
kill -KILL "$(switch_pid)"
kill -HUP "$SWITCHD_PID"
claim "HUP while the switch is dead is for the next one" wait_until 15 \
	ctl_is '.age == 77' switch show

# ---- without memory, and without a device ------------------------------------

wait_until 10 ran_for 3 # or it would be one death too many in a row
ctl port attach d1 type=dummy >&2
kill -KILL "$(switch_pid)"
claim "a port that nobody holds anything of comes back" wait_until 15 \
	ports_are c1 c2 d1 v1
cp "$T/switchd.conf" "$T/good.conf"
jq '.ports += [{name: "far", type: "netdev", ifname: "nowhere0"}]' \
	"$T/good.conf" >"$T/changed.conf"
cat "$T/changed.conf" >"$T/switchd.conf"
journal_poison
kill -KILL "$(switch_pid)"
claim "a configured device that isn't there keeps no switch down" \
	wait_until 15 ports_are c1 c2 far v1
claim "its port is missing" ctl_is \
	'.ports[] | select(.name == "far").state == "missing"' port list
cat "$T/good.conf" >"$T/switchd.conf"

# ---- the end -----------------------------------------------------------------

claim "TERM ends it with 0" switchd_stop
claim "no process is left" wait_until 5 ns_is_empty sw
claim "nor a socket" test -z "$(cd "$T" && find . -name '*.sock*')"
claim "the TAPs are gone" link_gone c1 eth0
claim "v1 is the host's again" as_before v1
claim "which answers on it" pings vm4 10.0.0.9

claim "it starts again" switchd_start -c "$T/switchd.conf"
kill_each 1 >&2
claim "TERM while no switch is running ends it with 0" switchd_stop
claim "the TAPs are gone once more" link_gone c1 eth0
claim "and v1 is the host's" as_before v1
finish
