#!/bin/bash
# switchd-libvirt against libvirt's test driver: a file says which domains there
# are, and no daemon is needed. It is read once a connection, so a change of it is
# what another libvirtd would find.
#
#	domain web [t1] --+-- switchd --- [v.sock] domain web
#	domain db  [t2] --+
. "$(dirname "$0")/lib.sh"

PROGRAM=$BUILD/control/libvirt/switchd-libvirt
NODE=$T/node.xml
LOG=$T/libvirt.log
SOCK=/tmp/vhost-e2e-$$.sock

if [[ ! -x $PROGRAM ]]; then
	skip "switchd-libvirt" "built without it"
	finish
fi

# domain NAME NUMBER METADATA INTERFACES
domain() {
	echo "<domain type='test'><name>$1</name><memory>1024</memory>
		<uuid>11111111-0000-4000-8000-00000000000$2</uuid>
		<os><type>hvm</type></os><metadata>$3</metadata>
		<devices>$4</devices></domain>"
}

# ethernet DEVICE NUMBER
ethernet() {
	echo "<interface type='ethernet'><target dev='$1'/>
		<mac address='52:54:00:00:00:0$2'/></interface>"
}

# node DOMAIN...: what libvirt finds from now on
node() {
	echo "<node>$*</node>" >"$NODE"
}

metadata() { # ATTRIBUTES
	echo "<s:ports xmlns:s='urn:switchd:1' $1/>"
}

# follow ARGUMENT...: the program, with the test's libvirt and switch
follow() {
	"$PROGRAM" -c "test://$NODE" -s "$SOCKET" -o '' "$@"
}

follow_background() {
	"$PROGRAM" -c "test://$NODE" -s "$SOCKET" -o '' </dev/null >>"$LOG" 2>&1 &
	PID=$!
	lib_pids+=("$PID")
}

ports() {
	ctl -j port list | jq -r '[.ports[].name] | sort | join(" ")'
}

ports_are() { # NAMES
	[[ $(ports) == "$1" ]]
}

log_has_once() { # PATTERN
	[[ $(grep -c "$1" "$LOG") == 1 ]]
}

status_of() {
	local status=0
	"$@" >&2 || status=$?
	echo "$status"
}

switchd_start
ns_exec sw ip tuntap add t1 mode tap
ns_exec sw ip tuntap add t2 mode tap
vhost="<interface type='vhostuser'><mac address='52:54:00:00:00:03'/>
	<source type='unix' path='$SOCK' mode='client'/><model type='virtio'/>
	</interface>"
web=$(domain web 1 "$(metadata "mode='access' vlan='10'")" \
	"$(ethernet t1 1)$vhost")
db=$(domain db 2 "$(metadata "profile='none'")" "$(ethernet t2 2)")
ctl port attach mine type=tap >&2

node "$web"
follow -n >"$T/plan" 2>>"$LOG"
claim_equal "a dry run says each port" 2 "$(grep -c '^port attach web/' "$T/plan")"
claim_equal "a dry run changes nothing" mine "$(ports)"

claim "one round attaches what running domains want" follow -1
claim_equal "the ports are named by domain and alias" "mine web/net0 web/net1" \
	"$(ports)"
claim "a port has the VLAN of the metadata" ctl_is \
	'.mode == "access" and .vlan == 10 and .origin == "transient"' \
	port show web/net0
claim "a socket is there" test -S "$SOCK"
claim_equal "a second round has nothing to do" 0 "$(follow -n | wc -l)"

node "$web" "$db"
claim_equal "what the switch refuses is said by the exit status" 1 \
	"$(status_of follow -1)"
claim_equal "what is refused is no port, and others stay" \
	"mine web/net0 web/net1" "$(ports)"

node "$(domain web 1 "$(metadata "mode='access' vlan='20'")" \
	"$(ethernet t1 1)")"
claim "one round follows changes" follow -1
claim_equal "what no domain wants is gone, and others' ports are not" \
	"mine web/net0" "$(ports)"
claim "what has changed is set" ctl_is '.vlan == 20' port show web/net0

node "$(domain web 1 "$(metadata "vlna='20'")" "$(ethernet t1 1)")"
claim_equal "metadata that isn't known is said by the exit status" 1 \
	"$(status_of follow -1)"
claim "the port is left as it was" ctl_is '.vlan == 20' port show web/net0

# ---- for ever ---------------------------------------------------------------

node "$web" "$db"
follow_background
claim "it comes into step by itself" wait_until 10 ports_are \
	"mine web/net0 web/net1"
claim "what is refused is said once" wait_until 10 log_has_once \
	'port.attach db/net0: there is no profile "none" (no-such-profile'
ctl port detach web/net0 >&2
claim "what somebody takes away comes back" wait_until 10 ports_are \
	"mine web/net0 web/net1"
claim "and still it was said once" log_has_once 'no-such-profile'

switchd_stop
switchd_start
claim "a new switch gets the ports" wait_until 20 ports_are \
	"web/net0 web/net1"

kill -KILL "$(switch_pid)"
claim "a switch process that dies has them still" wait_until 10 ports_are \
	"web/net0 web/net1"
claim "it ends when asked" pid_stop "$PID"
claim_equal "its ports stay" "web/net0 web/net1" "$(ports)"

# ---- what can't be ----------------------------------------------------------

claim_equal "a wrong option is wrong usage" 2 "$(status_of "$PROGRAM" -x)"
claim_equal "no libvirt is unreachable" 3 \
	"$(status_of "$PROGRAM" -1 -c "test://$T/none" -s "$SOCKET")"
claim_equal "no switch is unreachable" 3 \
	"$(status_of "$PROGRAM" -1 -c "test://$NODE" -s "$T/none")"
finish
