#!/bin/bash
# The daemon's life: start, background, signals, reload, a socket that is taken
# or stale, systemd's protocols, a user without privilege.
#
#	switchd and its TAPs are in the namespace sw
. "$(dirname "$0")/tools.sh"
ns_add sw

tap() { # NAME [NAME...]: objects of `ports`
	local name
	for name in "$@"; do
		echo '{"name": "'"$name"'", "type": "tap", "ifname": "'"$name"'"}'
	done | jq -s '{ports: .}'
}

in_sw() {
	ns_exec sw "$@"
}

status_of() { # COMMAND...: prints its exit status
	local status=0
	"$@" >&2 || status=$?
	echo "$status"
}

# ---- command line ------------------------------------------------------------

claim "-V prints name and version" grep -qE '^switchd [0-9.]+$' \
	<("$SWITCHD" -V)
claim_equal "-V ends with 0" 0 "$(status_of "$SWITCHD" -V)"
claim_equal "an unknown option is wrong usage" 2 "$(status_of "$SWITCHD" -Z)"
claim_equal "an argument too many is wrong usage" 2 \
	"$(status_of "$SWITCHD" -f extra)"
claim_equal "0 workers are wrong usage" 2 "$(status_of "$SWITCHD" -w 0)"
claim_equal "a level that isn't one is wrong usage" 2 \
	"$(status_of "$SWITCHD" -l port=loud)"

# ---- background --------------------------------------------------------------

tap t0 >"$T/one.conf"
tap t0 t1 >"$T/two.conf"
claim_equal "the parent ends with 0" 0 \
	"$(status_of in_sw "$SWITCHD" -s "$SOCKET" -c "$T/one.conf" \
		2>"$T/background.log")"
claim "it's ready when the parent has ended" ports_are t0
mapfile -t background < <(ip netns pids "$(ns_name sw)")
claim_equal "it is a monitor and a switch" 2 "${#background[@]}"
kill -TERM "${background[@]}"
claim "TERM to all of them, as systemd sends it, ends it" wait_until 5 \
	ns_is_empty sw
claim_not "its socket goes with it" test -e "$SOCKET"
echo '{' >"$T/broken.conf"
claim "a start in the background that fails says why" says \
	"switchd: .*broken.conf:[0-9]+: .*parse-error" \
	in_sw "$SWITCHD" -s "$SOCKET" -c "$T/broken.conf"
claim_equal "and ends with 1" 1 "$(status_of in_sw "$SWITCHD" -s "$SOCKET" \
	-c "$T/broken.conf" 2>/dev/null)"
claim "a socket in a folder that isn't there is said" says \
	"/nowhere/s.sock.*No such file" in_sw "$SWITCHD" -s /nowhere/s.sock

# ---- a second one, a stale socket --------------------------------------------

switchd_start -c "$T/one.conf"
first=$(link_value sw t0 .ifindex)
claim "a second daemon on the socket is refused, and told why" says \
	"another process already serves $SOCKET" \
	in_sw "$SWITCHD" -f -s "$SOCKET" -c "$T/two.conf"
claim_equal "and leaves the first one's TAP" "$first" \
	"$(link_value sw t0 .ifindex)"
claim "and makes none of its own" link_gone sw t1
claim "the first one answers as before" ports_are t0

switchd_kill
claim "kill -9 leaves the socket" test -S "$SOCKET"
claim "and the next start takes it over" switchd_start -c "$T/two.conf"
claim "with all of its ports" ports_are t0 t1

# ---- signals -----------------------------------------------------------------

ctl port attach keep type=tap ifname=keep persist=yes >&2
claim "TERM ends it with 0" switchd_stop TERM
claim "socket, lock and the helper's are gone" test -z \
	"$(cd "$T" && find . -name '*.sock*')"
claim "a TAP goes with the switch" link_gone sw t0
claim_equal "a persistent one stays" keep "$(link_value sw keep .ifname)"
switchd_start -c "$T/one.conf"
claim "a persistent TAP is attached again" \
	ctl port attach keep type=tap ifname=keep persist=yes
claim "INT ends it with 0" switchd_stop INT
ns_exec sw ip link del keep

# ---- reload ------------------------------------------------------------------

cp "$T/two.conf" "$T/switchd.conf"
: >"$T/switchd.log"
switchd_start -c "$T/switchd.conf"
ns_exec sw ip addr add 10.9.0.1/24 dev t0
ns_exec sw ping -q -c1 -W1 10.9.0.2 >&2 || true # ARP requests, unanswered
wait_until 5 ctl_is '.["rx-frames"] > 0' port show t0
before=$(link_value sw t0 .ifindex)
frames=$(port_value t0 '.["rx-frames"]')
tap t0 t2 >"$T/switchd.conf"
kill -HUP "$SWITCHD_PID"
claim "HUP brings the port that was added and drops the other" \
	wait_until 5 ports_are t0 t2
claim "devices follow" link_gone sw t1
claim_equal "the unchanged port keeps its device" "$before" \
	"$(link_value sw t0 .ifindex)"
claim "and its counters" test "$(port_value t0 '.["rx-frames"]')" -ge "$frames"
claim "the log tells what was done" wait_until 5 \
	log_has '^config: reloaded: 1 attached, 1 detached, 0 changed'
jq '.ports[1].vlan = "x"' "$T/switchd.conf" >"$T/bad" &&
	cp "$T/bad" "$T/switchd.conf"
line=$(grep -n '"vlan"' "$T/switchd.conf" | cut -d: -f1)
kill -HUP "$SWITCHD_PID"
claim "a broken file is said with file, line and path" wait_until 5 log_has \
	"switchd.conf:$line: .*, at ports\[1\].vlan; nothing has changed"
claim "and the switch is as it was" ports_are t0 t2
claim_equal "down to the devices" "$before" "$(link_value sw t0 .ifindex)"
rm "$T/switchd.conf"
kill -HUP "$SWITCHD_PID"
claim "so is a file that is missing" wait_until 5 log_has \
	"switchd.conf: can't read: No such file"
switchd_stop

# ---- logs --------------------------------------------------------------------

: >"$T/switchd.log"
switchd_start -l port=info -c "$T/one.conf"
claim "-l lets a module say more" log_has '^port: t0 attached'
switchd_stop
: >"$T/switchd.log"
switchd_start -l err -c "$T/one.conf"
switchd_stop
claim_not "-l err keeps it quiet" test -s "$T/switchd.log"
JOURNAL_STREAM=8:1 switchd_start
claim "under systemd lines begin with their level" log_has '^<5>daemon: '
switchd_stop

# ---- systemd -----------------------------------------------------------------

socat -u "UNIX-RECV:$T/notify" "CREATE:$T/notified" &
lib_pids+=("$!")
wait_until 5 test -S "$T/notify"
told() {
	grep -qF "$1" "$T/notified"
}
cp "$T/one.conf" "$T/switchd.conf"
NOTIFY_SOCKET=$T/notify WATCHDOG_USEC=200000 \
	switchd_start -c "$T/switchd.conf"
claim "systemd hears READY and a status" wait_until 5 told \
	$'READY=1\nSTATUS=1 ports'
claim "and the watchdog" wait_until 5 told WATCHDOG=1
kill -HUP "$SWITCHD_PID"
claim "and RELOADING, with the time that it asks for" wait_until 5 \
	told $'RELOADING=1\nMONOTONIC_USEC='
claim "and READY after it" wait_until 5 grep -qE \
	'MONOTONIC_USEC=[0-9]+(WATCHDOG=1)*READY=1' "$T/notified"
if [[ $TEST_FULL == yes ]]; then # the monitor waits for 15 seconds
	was=$(switch_pid)
	kill -STOP "$was"
	claim "a switch process that hangs is ended, and another one started" \
		wait_until 30 answers_other_than "$was"
	was=$(switch_pid)
	kill -STOP "$was"
	kill -TERM "$SWITCHD_PID"
	claim "one that doesn't end when it should is ended" wait_until 30 \
		lib_gone "$was"
fi
switchd_stop
claim "and STOPPING" told STOPPING=1

: >"$T/switchd.log"
$PYTHON - "$T/given.sock" "$SWITCHD" -f -s "$SOCKET" <<'PY' 2>"$T/given.log" &
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
PY
SWITCHD_PID=$!
claim "a socket handed over by systemd is served" wait_until 10 \
	"$SWITCHCTL" -s "$T/given.sock" switch show
claim_not "and no other is made" test -e "$SOCKET"
switchd_stop
claim "and it isn't ours to remove" test -S "$T/given.sock"

# ---- without root ------------------------------------------------------------

user_dir
mkdir "$USER_DIR/run"
chown 65534 "$USER_DIR/run"
as_user sw env -u SWITCHD_SOCKET -u XDG_RUNTIME_DIR
claim "without root and XDG_RUNTIME_DIR it says what is missing" says \
	"XDG_RUNTIME_DIR isn't set" "${AS_USER[@]}" "$USER_DIR/switchd" -f
as_user sw env -u SWITCHD_SOCKET XDG_RUNTIME_DIR="$USER_DIR/run"
"${AS_USER[@]}" "$USER_DIR/switchd" -f </dev/null >>"$T/switchd.log" 2>&1 &
SWITCHD_PID=$!
user_ctl() {
	"${AS_USER[@]}" "$USER_DIR/switchctl" "$@"
}
claim "without root it starts, with no configuration and no option" \
	wait_until 10 user_ctl switch show
claim_equal "its socket is the user's own" "65534 660" \
	"$(stat -c '%u %a' "$USER_DIR/run/switchd/switchd.sock")"
claim "a TAP needs a privilege, which it names" says \
	"CAP_NET_ADMIN.*not-permitted" user_ctl port attach t9 type=tap ifname=t9
ns_exec sw ip tuntap add t9 mode tap user 65534
ns_exec sw ip link set t9 up
claim "a TAP of the user's own doesn't" user_ctl port attach t9 type=tap \
	ifname=t9
claim "TERM ends that one, too, with 0" switchd_stop
ns_exec sw ip link del t9
finish
