#!/bin/bash
# The monitor is killed: the switch goes on with what it has, says so, refuses
# what needs a monitor, and ends when asked. A new daemon waits for its end.
#
#	vm1 [eth0 10.0.0.1] --+-- switchd --+-- [eth0 10.0.0.2] vm2
#	                                    +-- [v1, a veth] vm3
. "$(dirname "$0")/tools.sh"
ns_add sw vm3

gone_word() {
	ctl_is '.monitor == "gone"' switch show
}

# An orphan's exit status goes to its reaper. This one starts the daemon and
# writes down who ended and how.
cat >"$T/reaper" <<PY
#!$PYTHON
import ctypes, os, signal, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
daemon = subprocess.Popen(["$SWITCHD", *sys.argv[1:]])
signal.signal(signal.SIGTERM, lambda *a: daemon.terminate())
with open("$T/ended", "a", buffering=1) as f:
    try:
        while True:
            pid, status = os.wait()
            print(pid, os.waitstatus_to_exitcode(status), file=f)
    except ChildProcessError:
        pass
PY
chmod 755 "$T/reaper"

child_of() { # PID
	local child
	read -r child _ <"/proc/$1/task/$1/children"
	echo "$child"
}

sw_ip link add v2 type veth peer name v2p
sw_ip link add v1 type veth peer name eth0 netns "$(ns_name vm3)"
sw_ip addr add 10.0.0.9/24 dev v1
sw_ip link set v1 up
ns_exec vm3 ip addr add 10.0.0.3/24 dev eth0
ns_exec vm3 ip link set eth0 up
claim "before, the host answers on v1" pings vm3 10.0.0.9
echo '{"daemon": {"allow": {"force": ["v1"]}}, "ports": []}' \
	>"$T/switchd.conf"
daemon=$SWITCHD
SWITCHD=$T/reaper
switchd_start -c "$T/switchd.conf"
SWITCHD=$daemon
reaper=$SWITCHD_PID
SWITCHD_PID=$(child_of "$reaper")
guest_add vm1 10.0.0.1/24
guest_add vm2 10.0.0.2/24
ctl port attach extra type=tap ifname=extra >&2
ctl port attach v1 type=netdev ifname=v1 force=yes >&2
claim "the guests talk" pings vm1 10.0.0.2
claim "and with the veth" wait_until 5 pings vm1 10.0.0.3
claim "the monitor is there" ctl_is '.monitor == "connected"' switch show
events_start monitor port

# ---- killed ------------------------------------------------------------------

orphan=$(switch_pid)
steady_start -r 5000 vm1 vm2 vm3
wait_until 5 ctl_is '.rx.frames > 1000' port show vm1
kill -KILL "$SWITCHD_PID"
SWITCHD_PID=
end_orphan() {
	local status=$?
	set +e
	kill -KILL "$orphan"
	(exit "$status")
	lib_cleanup
}
trap end_orphan EXIT
claim "the switch notices it, and says so" wait_until 5 gone_word
claim "an event tells it" wait_until 5 event_seen monitor.gone
claim "the log, too" log_has 'the monitor is gone'
steady_stop
claim "no frame was lost by that" no_frame_lost
claim "it goes on" pings vm1 10.0.0.2
claim "with the veth as well" pings vm3 10.0.0.2
claim "the host's stack keeps off v1" no_ping vm3 10.0.0.9
claim "a new device is refused, and why" says 'monitor-gone' \
	ctl port attach new type=tap ifname=new
claim "nor is there a device" link_gone sw new
claim "a netdev is refused as well" says 'monitor-gone' \
	ctl port attach new type=netdev ifname=v2
claim "and the configuration, which is the monitor's to open" says \
	'monitor-gone' ctl config apply
claim "so is saving it" says 'monitor-gone' ctl config save
claim "and an upgrade" says 'monitor-gone' ctl switch upgrade
claim "what needs no monitor works: a VLAN" ctl port set vm2 mode=access vlan=7
claim "which holds" no_ping vm1 10.0.0.2
ctl port set vm2 mode=trunk vlan=1 >&2
claim "and back" pings vm1 10.0.0.2
claim "an address is added" ctl fdb add 02:00:00:00:00:77 port=vm1
claim "a setting is set" ctl switch set age=77
claim "what the device itself must do is refused" says 'monitor-gone' \
	ctl port set vm1 mtu=1400
claim "a port can be detached" ctl port detach extra
claim "its port is gone" wait_until 5 says 'no-such-port' ctl port show extra
claim "the ledgers close" wait_until 5 ledgers_close
claim "it is still the same process" kill -0 "$orphan"

# ---- a new daemon ------------------------------------------------------------

claim "a new one is refused while that one serves the socket" says \
	"another process already serves $SOCKET" \
	ns_exec sw "$SWITCHD" -f -s "$SOCKET" -c "$T/switchd.conf"
claim "which has harmed nothing" pings vm1 10.0.0.2
claim "the socket still answers" gone_word
kill -TERM "$orphan"
claim "TERM ends the orphan" wait_until 10 lib_gone "$orphan"
trap lib_cleanup EXIT
wait "$reaper" || true
claim_equal "with 0" "$orphan 0" "$(tail -n 1 "$T/ended")"
claim "its TAPs are gone" link_gone vm1 eth0
claim "all of them" link_gone sw extra
claim "the next daemon starts" switchd_start -c "$T/switchd.conf"
claim "and takes over what the old one couldn't put back" \
	ctl port attach v1 type=netdev ifname=v1 force=yes
claim "the host's stack keeps off" no_ping vm3 10.0.0.9
guest_add vm4 10.0.0.4/24
claim "and frames pass" wait_until 5 pings vm3 10.0.0.4
claim "TERM ends that one with 0" switchd_stop
claim "and the host answers on v1 again" wait_until 5 pings vm3 10.0.0.9
claim "nobody's socket is left" test -z "$(cd "$T" && find . -name '*.sock*')"
claim "nor a process" wait_until 5 ns_is_empty sw
finish
