#!/bin/bash
# `switchctl switch upgrade` puts the installed program in place of the running
# one, and not one frame is lost, doubled or reordered; whatever is wrong with
# the new one, the old one goes on.
#
#	g1 [eth0] --+              +-- [eth0] g5
#	g2 [eth0] --+-- switchd ---+-- [eth0] g6     each sends to the next one
#	g3 [eth0] --+              +-- [eth0] g7
#	g4 [eth0] --+              +-- [v8, a veth] g8
. "$(dirname "$0")/tools.sh"

GUESTS=(g1 g2 g3 g4 g5 g6 g7 g8)
UPGRADES=5
RATE=100000
[[ $TEST_SANITIZED == no ]] || RATE=20000

good=$SWITCHD # never replaced, unlike the one that is run
cp "$good" "$T/switchd"
SWITCHD=$T/switchd

# install_as MODE FILE: it is the installed program now
install_as() {
	cp "$2" "$T/new"
	chmod "$1" "$T/new"
	mv "$T/new" "$T/switchd"
}

# Both processes run what is installed, and there are just these two.
all_new() {
	local pid exe pids
	pids=$(cat "/proc/$SWITCHD_PID/task/$SWITCHD_PID/children")
	# shellcheck disable=SC2086 # numbers
	set -- $pids
	(($# == 1)) || return
	for pid in "$SWITCHD_PID" "$1"; do
		exe=$(readlink "/proc/$pid/exe")
		[[ $exe == "$T/switchd" ]] || return
	done
}

rx_frames() {
	ctl -j port list | jq '[.ports[]["rx-frames"]] | add'
}

# upgrade_good: the answer is in $T/up
upgrade_good() {
	ctl -j switch upgrade >"$T/up"
}

# ---- the switch, its ports by file and by hand -------------------------------

cat >"$T/switchd.conf" <<J
{ "switch": { "age": 600 },
  "profiles": { "lab": { "mode": "access", "vlan": 20 } },
  "ports": [ { "name": "cfg0", "type": "tap", "ifname": "cfg0",
	       "mode": "trunk", "trunk": "10,20-30", "vlan": 1 } ] }
J
JOURNAL_STREAM=0:0 switchd_start -c "$T/switchd.conf"
n=0
for g in "${GUESTS[@]:0:7}"; do
	n=$((n + 1))
	guest_add "$g" "10.0.0.$n/24"
	# This is about what an upgrade loses: where the machine is so busy that
	# nobody reads for a while, a queue of the usual 1000 overflows.
	ip -n "$(ns_name "$g")" link set eth0 txqueuelen 10000
done
ns_add g8
veth_add v8 g8 10.0.0.8/24
ctl port attach g8 type=netdev ifname=v8 >&2
all_up() {
	ctl_is 'all(.ports[]; .state != "no-carrier" or .name == "cfg0")' \
		port list
}
wait_until 5 all_up
ctl port attach cap type=pcap file="$T/cap.pcapng" snaplen=64 >&2
ctl mirror add watch from=cfg0 to=cap >&2
ctl fdb add 02:00:00:00:00:77 port=cfg0 vlan=20 >&2
ctl switch set age=500 >&2

# ---- good ones, in a row, under traffic --------------------------------------

monitor=$SWITCHD_PID
# Hellos under a hundred addresses each, before the portrait.
steady_start -r 1000 -a 100 "${GUESTS[@]}"
steady_stop
claim "the switch knows 800 addresses of guests" ctl_is '.addresses > 800' \
	switch show
portrait "${GUESTS[@]}" >"$T/before"
events_start port fdb monitor
subscriber=${lib_pids[-1]}
"$PYTHON" -c '
import socket, sys
while True:
    try:
        s = socket.socket(socket.AF_UNIX)
        s.connect(sys.argv[1])
        s.sendall(b"\x00\xff{[garbage\n" * 50)
        s.sendall(b"{\"jsonrpc\": \"2.0\", \"method\": \"switch.sh")
        s.settimeout(0.1)
        while s.recv(4096):
            pass
    except OSError:
        pass
' "$SOCKET" &
garbage=$!
lib_pids+=("$garbage")

# One upgrade, number N.
upgrade_once() {
	local was
	was=$(switch_pid)
	install_as 755 "$good"
	claim "upgrade $1 is done" upgrade_good
	claim "it says from what, to what and how long nobody forwarded" jq -e \
		'.version == .from and (.version | length > 2) and
		.["paused-ms"] > 0 and .["paused-ms"] < 10000' "$T/up"
	echo "# nobody forwarded for $(jq '.["paused-ms"]' "$T/up") ms"
	claim "both processes are the installed program, the old one is gone" \
		wait_until 10 all_new
	claim_not "the switch is another process" test "$was" = "$(switch_pid)"
	claim "the monitor is the same one" test -d "/proc/$monitor"
}

frames=$(rx_frames)
steady_start -r "$RATE" "${GUESTS[@]}"
for ((i = 1; i <= UPGRADES; i++)); do
	upgrade_once $i
done
claim "all that was there is there" same_portrait "${GUESTS[@]}"
steady_stop
echo "# $(steady_value sent) frames at $(steady_value rate) a second," \
	"$(steady_value lost) lost, at most $(steady_value gap_ms) ms between two"
claim "no frame was lost, doubled or out of order, nor flooded" no_frame_lost
claim_equal "the ports' counters count each of them once" \
	$((frames + $(steady_value hellos) + $(steady_value sent))) \
	"$(rx_frames)"
claim "and the ledgers close" ledgers_close
claim "an upgrade that works says nothing of an error" \
	log_without_complaint
claim "the garbage didn't end its sender's turn" kill -0 "$garbage"
claim "who subscribed before is told by the end of the connection" \
	wait_until 5 lib_gone "$subscriber"
events_start port
ctl port set g1 description=seen >&2
ctl port attach soon type=tap ifname=soon >&2
claim "and may subscribe again" wait_until 5 event_seen port.attached \
	'.name == "soon"'
ctl port detach soon >&2
claim "a port that comes after an upgrade goes" wait_until 5 link_gone sw soon
ctl port set g1 description= >&2
pid_stop "$garbage" KILL || true

# ---- right after each other --------------------------------------------------

attach_at_once() {
	upgrade_good && ctl port attach once type=tap ifname=once &&
		ctl port detach once
}
claim "a port can be attached and detached right after an upgrade" \
	attach_at_once
claim "and is gone" wait_until 5 link_gone sw once
twice() {
	upgrade_good && upgrade_good
}
claim "an upgrade right after an upgrade works" twice
wait_until 10 all_new

# ---- a capture ---------------------------------------------------------------

file=$(stat -c %i "$T/cap.pcapng")
ctl mirror remove watch >&2
ctl mirror add watch from=g2 to=cap dir=in >&2
nsenter --net="$(ns_path g2)" -- ping -q -c 40 -i 0.01 -s 333 10.0.0.3 >&2 &
ping=$!
claim "an upgrade in the middle of a capture" upgrade_good
claim "no ping is lost" wait "$ping"
wait_until 10 all_new
ctl mirror remove watch >&2
claim_equal "it is the same file" "$file" "$(stat -c %i "$T/cap.pcapng")"
ctl port detach cap >&2
claim "which can be read to its end" wait_until 5 file_readable
# Ethernet, IPv4 and ICMP have headers of 42 bytes.
claim_equal "and has each frame once" 40 "$(tshark -r "$T/cap.pcapng" \
	-Y 'icmp.type == 8 && frame.len == 375' 2>/dev/null | wc -l)"

# ---- bad ones ----------------------------------------------------------------

portrait "${GUESTS[@]}" >"$T/before"

# refused_upgrade NAME REASON: the old one goes on as if nothing had been
refused_upgrade() {
	local was
	was=$(switch_pid)
	steady_start -r 10000 "${GUESTS[@]}"
	claim "$1: no upgrade, and it says why" says "$2" ctl switch upgrade
	claim_equal "the old one goes on" "$was" "$(switch_pid)"
	claim "changes work again" ctl port set g1 description=x
	ctl port set g1 description= >&2
	claim "all that was there is there" same_portrait "${GUESTS[@]}"
	steady_stop
	claim "and no frame is lost" no_frame_lost
}

printf '#!/bin/sh\nexit 1\n' >"$T/script"
install_as 755 "$T/script"
refused_upgrade "a program that ends at once" \
	'ended while it was loading.*upgrade-failed'
install_as 755 /bin/false
refused_upgrade "one that isn't a switch" 'upgrade-failed'
head -c 20000 "$good" >"$T/cut"
install_as 755 "$T/cut"
refused_upgrade "a truncated one" 'upgrade-failed'
install_as 644 "$good"
refused_upgrade "one that can't be executed" "can't be started.*upgrade-failed"
rm "$T/switchd"
refused_upgrade "none at all" "can't be started.*upgrade-failed"
if [[ $TEST_FULL == yes ]]; then
	printf '#!/bin/sh\nexec tail -f /dev/null\n' >"$T/script"
	install_as 755 "$T/script"
	refused_upgrade "one that does nothing" 'took too long.*upgrade-failed'
fi
install_as 755 "$good"

# So few descriptors that the new one fails at every point of its way.
limit=$(prlimit --pid "$SWITCHD_PID" --nofile --noheadings --output SOFT)
steady_start -r 10000 "${GUESTS[@]}"
refusals=0
unharmed=yes
for few in {52..14..2}; do
	prlimit --pid "$SWITCHD_PID" --nofile="$few:"
	if ! ctl switch upgrade >&2; then
		refusals=$((refusals + 1))
	fi
	same_portrait "${GUESTS[@]}" || unharmed=no
done
prlimit --pid "$SWITCHD_PID" --nofile="$limit:"
steady_stop
echo "# $refusals of 20 were refused"
claim "upgrades with too few descriptors are refused" test "$refusals" -ge 5
claim_equal "and harm nothing" yes "$unharmed"
claim "nor lose a frame" no_frame_lost

journal_poison
refused_upgrade "a journal with a flipped bit" 'bad-state'
claim "and a good one comes after all of them" upgrade_good
wait_until 10 all_new
claim "with all that was there" same_portrait "${GUESTS[@]}"

# ---- deaths in the middle of one ---------------------------------------------

# One switch, answering, with all of it.
settled() {
	one_switch && same_portrait "${GUESTS[@]}"
}

delays=(0 1 2 4 6 8)
[[ $TEST_SANITIZED == no ]] || delays=(0 50 100 200 300)
killed=0
for which in old new; do
	for ms in "${delays[@]}"; do
		upgrade_killing "$which" "$ms"
		claim "the $which one killed after $ms ms: one runs, with all" \
			wait_until 20 settled
	done
done
claim "some were killed in time" test "$killed" -ge 4
claim "and the guests talk" pings g1 10.0.0.8
claim "and an upgrade works" upgrade_good
wait_until 10 all_new

# ---- without a monitor -------------------------------------------------------

user_dir
cp "$good" "$USER_DIR/switchd"
mkdir "$USER_DIR/run"
chown 65534 "$USER_DIR/run"
as_user sw "$USER_DIR/switchd" -f -s "$USER_DIR/run/s"
"${AS_USER[@]}" </dev/null >>"$T/user.log" 2>&1 &
lib_pids+=("$!")
wait_until 10 "$SWITCHCTL" -s "$USER_DIR/run/s" switch show
claim "a switch without root has no monitor, and no upgrade" says no-monitor \
	"$SWITCHCTL" -s "$USER_DIR/run/s" switch upgrade

# ---- and then ----------------------------------------------------------------

jq '.ports += [{"name": "cfg1", "type": "tap", "ifname": "cfg1"}]' \
	"$T/switchd.conf" >"$T/conf" && cp "$T/conf" "$T/switchd.conf"
kill -HUP "$SWITCHD_PID"
claim "HUP reads the file after an upgrade" wait_until 5 ctl port show cfg1
claim "and an address of a port that's new is learned" ctl fdb add \
	02:00:00:00:00:78 port=cfg1
ctl switch set age=400 >&2
claim "config save writes it" ctl config save
ctl -j config show >"$T/config"
lasting() { # of the ports: what a restart leaves
	ctl -j port list | jq '[.ports[] | {name, type, ifname, mode, vlan,
		mtu}]'
}
lasting >"$T/lasting"
claim "TERM after an upgrade ends it with 0" switchd_stop
claim "with sockets and locks" test -z "$(cd "$T" && find . -name '*.sock*')"
claim "the devices went, too" link_gone sw cfg0
claim "the guests' as well" link_gone g1 eth0
claim "the saved file starts it again" switchd_start -c "$T/switchd.conf"
claim "as the same switch" diff "$T/config" <(ctl -j config show)
claim "with the same ports" diff "$T/lasting" <(lasting)
claim "TERM ends that one with 0" switchd_stop
finish
