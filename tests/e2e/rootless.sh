#!/bin/bash
# An ordinary user's switch. Without any privilege it speaks all dialects that
# need none, each here with a program of the same user, and the command line of
# the unit for users starts it; what does need one says which. In a namespace
# that the user owns another one has TAPs and network cards, with a confined
# switch process; its guests reach the outside by the first one.
#
#	peers: stream, seqpacket, VDE, -- a user's switchd - nat ... 192.0.2.1 (sw)
#	  UML, dgram, UDP, vhost-user        | inner
#	                                     | a stream
#	  unshare -Urn                       | up.1
#	g1 [TAP 10.0.2.51] ---- a root's switchd there --- [sw0 10.0.2.60]
#	g2 [veth 10.0.2.52] ----+
. "$(dirname "$0")/peers.sh"

UNIT=$BUILD/etc/systemd-user/switchd.service
FRAME=ffffffffffff0200000000%s88b5$(printf '00%.0s' {1..46})

state_is() { # NAME STATE
	[[ $(port_value "$1" .state) == "$2" ]]
}

# attach_refused PRIVILEGE NAME ARGUMENT...
attach_refused() {
	says "$1.*not-permitted" ctl port attach "${@:2}"
}

frame() { # BYTE: a broadcast from there
	# shellcheck disable=SC2059 # the address is to be put in
	printf "$FRAME" "$1"
}

# status PID FIELD: of /proc
status() {
	sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

has_no_capability() { # PID
	local set
	for set in CapInh CapPrm CapEff CapAmb; do
		[[ $(status "$1" "$set") == 0000000000000000 ]] || return
	done
}

has_line() { # FILE LINE
	grep -qxF -- "$2" "$1"
}

# config JSON: the user's file
config() {
	echo "$1" >"$USER_DIR/config/switchd/switchd.conf"
	chown 65534:65534 "$USER_DIR/config/switchd/switchd.conf"
}

# ---- a user --------------------------------------------------------------------

user_dir
R=$USER_DIR/run
cp "$(dirname "$0")"/*.py "$USER_DIR"
if [[ -x $SWITCHD_SLIRP ]]; then
	cp "$SWITCHD_SLIRP" "$USER_DIR"
fi
chmod 755 "$USER_DIR"/*
for folder in run own config/switchd; do
	mkdir -p "$USER_DIR/$folder"
done
chown -R 65534:65534 "$USER_DIR"/{run,own,config}
chmod 700 "$R" "$USER_DIR/own"
# Asked by the user, too: the system's root is nobody in a namespace of his.
cat >"$T/switchctl" <<SH
#!/bin/sh
exec setpriv --reuid=65534 --regid=65534 --clear-groups -- \
	"$USER_DIR/switchctl" "\$@"
SH
chmod +x "$T/switchctl"
SWITCHCTL=$T/switchctl
ns_add sw
sw_ip addr add 192.0.2.1/32 dev lo
as_user sw env -u SWITCHD_SOCKET XDG_RUNTIME_DIR="$R" NOTIFY_SOCKET="$R/notify" \
	SWITCHD_SLIRP="$USER_DIR/switchd-slirp" HOME="$USER_DIR" PATH="$PATH"
AS=("${AS_USER[@]}") # as_user sets it anew, below

# ---- as the unit starts it -----------------------------------------------------

client notified "${AS[@]}" socat -u "UNIX-RECV:$R/notify" -
wait_until 5 test -S "$R/notify"
config '{}'
read -r -a ARGUMENTS < <(sed -n 's/^ExecStart=[^ ]*//p' "$UNIT")
claim "the users' unit says how to start it" test "${#ARGUMENTS[@]}" -gt 0
"${AS[@]}" "$USER_DIR/switchd" "${ARGUMENTS[@]/\%E/$USER_DIR/config}" \
	</dev/null >>"$T/switchd.log" 2>&1 &
SWITCHD_PID=$!
USERS=$SWITCHD_PID
SOCKET=$R/switchd/switchd.sock
claim "so started, switchctl finds it" wait_until 10 \
	"${AS[@]}" "$USER_DIR/switchctl" switch show
claim "systemd hears that it is ready" wait_until 5 grep -q READY=1 \
	"$T/notified.out"
claim_equal "it is an ordinary user's" "65534 65534 65534 65534" \
	"$(status "$USERS" Uid | xargs)"
claim "and has no capability" has_no_capability "$USERS"
claim "nobody else gets at its folder" says 'denied' setpriv --reuid=1 \
	--regid=1 --clear-groups -- ls "$R"
config '{"listeners": [{"name": "lab", "type": "stream",
	"listen": "'"$R"'/lab"}]}'
kill -HUP "$USERS"
claim "reloaded, it has a listener" wait_until 5 ctl listener show lab
claim "it saves its configuration" ctl config save

# ---- listeners -----------------------------------------------------------------

claim "a listener by TCP" ctl listener add tcp type=stream \
	listen=127.0.0.1:4444
claim "one for records" ctl listener add rec type=seqpacket listen="$R/rec"
claim "a VDE folder" ctl listener add plug type=vde listen="$R/plug"
claim "a uml_switch's socket" ctl listener add old type=uml listen="$R/old"
peers_start "${AS[@]}" "$PYTHON" -B "$USER_DIR/listener_peers.py"
claim "a guest of the user's connects" peer connect g1 stream "$R/lab"
claim "another one by TCP" peer connect g2 stream 127.0.0.1:4444
claim "and one with records" peer connect g3 seqpacket "$R/rec"
claim "each is a port" wait_until 10 ports_are lab.1 rec.1 tcp.1
claim "a frame of one reaches the others" peer frame g1 g2,g3
claim "one of records, too" peer frame g3 g1,g2
peer closeall g
claim "they go with their ports" wait_until 10 ctl_is '.ports == []' port list
client vde "${AS[@]}" vde_plug "vde://$R/plug"
claim "vde_plug is a port" wait_until 10 state_is plug.1 up
client uml "${AS[@]}" "$PYTHON" -B "$USER_DIR/vde_client.py" "$R/old" uml
claim "what UML says is answered" said uml "answer abstract"
claim "its frame arrives" wait_until 10 is_learned 02:00:00:00:d0:0d old.1
claim "at vde_plug as well" wait_until 10 hex_has "$T/vde.out" 02000000d00d88b5

# ---- ports ---------------------------------------------------------------------

claim "a UDP port" ctl port attach u type=udp local=127.0.0.1:5000 \
	remote=127.0.0.1:5001
claim "one of datagrams" ctl port attach d type=dgram local="$R/d.sw" \
	remote="$R/d.peer"
PEER=("${AS[@]}" "$PYTHON" -B "$USER_DIR/socket_peer.py")
client d "${PEER[@]}" "$R/d.peer" "$R/d.sw" hear 20 1 "$(frame 0a)" \
	hear 20 1 "$(frame 0b)" send "$(frame 0c)"
claim "whose peer comes" wait_until 10 state_is d up
client u "${PEER[@]}" 127.0.0.1:5001 127.0.0.1:5000 send "$(frame 0a)" \
	hear 20 1 "$(frame 0b)" hear 20 1 "$(frame 0c)"
claim "a frame goes from UDP to it" wait_until 10 has_line "$T/d.out" "$(frame 0a)"
claim "and to VDE" wait_until 10 hex_has "$T/vde.out" "$(frame 0a)"
# shellcheck disable=SC2001 # two digits at a time
printf '\x00\x3c%b' "$(sed 's/../\\x&/g' <<<"$(frame 0b)")" >&"${FEED[vde]}"
claim "one of vde_plug's to both" wait "${CLIENT_PID[d]}"
claim "and one of datagrams to UDP" wait "${CLIENT_PID[u]}"
claim "and to VDE" wait_until 10 hex_has "$T/vde.out" "$(frame 0c)"
claim "the end of vde_plug" over vde
claim "and that of UML's" over uml
claim "take their ports along" wait_until 10 ports_are d u
claim "a vhost-user port" ctl port attach v type=vhost-user path="$R/v"
client v "${AS[@]}" "$PYTHON" -B "$USER_DIR/vhost_user.py" connect "$R/v"
claim "speaks with a front end" wait_until 10 grep -q '^features 0x' "$T/v.out"
over v
client s "${AS[@]}" socat -u "UNIX-LISTEN:$R/s" -
claim "a stream port dials its guest" ctl port attach s type=stream connect="$R/s"
claim "and finds it" wait_until 10 state_is s up
claim "a capture is a file of the user's" ctl port attach cap type=pcap \
	file="$R/cap.pcapng"
claim_equal "alone" "65534 600" "$(stat -c '%u %a' "$R/cap.pcapng")"
for port in u d v s cap; do
	claim "$port is detached" ctl port detach "$port"
done
claim "the guest that was dialled hears of it" \
	wait_until 10 lib_gone "${CLIENT_PID[s]}"
claim_equal "which leaves no socket of theirs" "d.peer lab notify old rec" \
	"$(cd "$R" && find . -maxdepth 1 -type s -printf '%f\n' | sort | xargs)"

# ---- what needs a privilege ----------------------------------------------------

OWN='unshare -Urn'
claim "a TAP needs one, which it names, and the way to it" attach_refused \
	"CAP_NET_ADMIN.*$OWN.*ip tuntap add t0 mode tap user 65534" \
	t type=tap ifname=t0
sw_ip tuntap add mine mode tap user 65534
claim "one of the user's own that is down" attach_refused \
	"bring up mine.*CAP_NET_ADMIN.*$OWN" t type=tap ifname=mine
sw_ip link set mine up
claim "one that is up needs none" ctl port attach t type=tap ifname=mine
ctl port detach t
claim "but for an address" attach_refused "address.*CAP_NET_ADMIN.*$OWN" \
	t type=tap ifname=mine address=10.0.0.1/24
chmod 600 "/proc/$USERS/root/dev/net/tun"
claim "where /dev/net/tun is root's that is what is said" attach_refused \
	'/dev/net/tun: chmod 666' t type=tap ifname=mine
sw_ip link add v0 type veth peer name v1
claim "a network card" attach_refused "CAP_NET_RAW.*$OWN" n type=netdev ifname=v0
claim "another namespace" attach_refused "CAP_SYS_ADMIN.*inside" \
	t type=tap netns="$(ns_name sw)"
claim "a low UDP port" attach_refused "ip_unprivileged_port_start" \
	n type=udp local=127.0.0.1:500 remote=127.0.0.1:501
claim "one that listens" says "ip_unprivileged_port_start.*not-permitted" \
	ctl listener add n type=stream listen=127.0.0.1:80
claim "a socket for another user" attach_refused "CAP_CHOWN" \
	n type=vhost-user path="$R/n" owner=daemon
claim "a folder of root's" attach_refused "ermission denied" \
	n type=vhost-user path=/etc/n
if [[ -x $SWITCHD_SLIRP ]]; then
	claim "a low port of NAT's" attach_refused "ip_unprivileged_port_start" \
		n type=slirp hostfwd=tcp::80-:80
fi
claim "none of them leaves anything" ctl_is '.ports == []' port list
as_user sw env -u SWITCHD_SOCKET -u XDG_RUNTIME_DIR
claim "without a folder for its socket it says how to have one" says \
	"XDG_RUNTIME_DIR isn't set: log in .*-s.*no-socket-path" \
	"${AS_USER[@]}" "$USER_DIR/switchd" -f

# ---- a namespace of the user's own ---------------------------------------------

# enter NAME: sets ENTER to what runs a command in the namespaces of the client
# of that name, where the user is root
enter() {
	ENTER=("${OWN_AS[@]}" nsenter --target "${CLIENT_PID[$1]}" --user --net
		--preserve-credentials --)
}

inside() { # NAME COMMAND...
	enter "$1"
	"${ENTER[@]}" "${@:2}"
}

# hold NAME COMMAND...: namespaces that the command makes, until the end
hold() {
	client "$@" sh -c 'echo held && exec cat'
	said "$1" held
}

own_ip() { # NAME ARGUMENT...
	inside "$1" ip "${@:2}"
}

# All of the veth that a port changes.
veth_facts() {
	inside own sh -c 'tc qdisc show dev v2 | grep -c clsact
		cat /proc/sys/net/ipv6/conf/v2/disable_ipv6
		ip -j link show v2 | jq -c ".[0] | .mtu, (.flags | contains([\"UP\"]))"'
}

own_pings() { # NAME ADDRESS
	inside "$1" ping -q -c1 -W2 "$2"
}

fetches() { # NAME
	[[ $(inside "$1" "$PYTHON" -B "$USER_DIR/slirp.py" fetch \
		http://192.0.2.1:8000/hello) == hello ]]
}

# own_start CONFIGURATION [OWNER]: the other switchd, there, by a file of the
# user's (or another one's); sets SWITCHD_PID and SOCKET
own_start() {
	rm -f "$USER_DIR/own.conf"
	echo "$1" >"$USER_DIR/own.conf"
	chown "${2:-65534}" "$USER_DIR/own.conf"
	enter own
	"${ENTER[@]}" "$USER_DIR/switchd" -f -c "$USER_DIR/own.conf" \
		</dev/null >"$T/own.log" 2>&1 &
	SWITCHD_PID=$!
	lib_pids+=("$SWITCHD_PID")
	SOCKET=$USER_DIR/own/switchd/switchd.sock
}

as_user sw env -u SWITCHD_SOCKET XDG_RUNTIME_DIR="$USER_DIR/own" \
	SWITCHD_SLIRP="$USER_DIR/switchd-slirp" HOME="$USER_DIR" PATH="$PATH"
OWN_AS=("${AS_USER[@]}")
claim "a user makes a namespace, and is root there" hold own \
	"${OWN_AS[@]}" unshare --user --map-root-user --net
for g in g1 g2; do
	enter own
	hold $g "${ENTER[@]}" unshare --net
	own_ip $g link set lo up
done
own_ip own link add v2 type veth peer name eth0 netns "${CLIENT_PID[g2]}"

before=$(veth_facts)
own_start '{"daemon": {"user": "daemon"}}'
claim "a user whom that namespace hasn't can't be the switch's" \
	wait_until 10 lib_gone "$SWITCHD_PID"
claim "which is said" grep -q "hasn't the user \"daemon\".*no-such-user" \
	"$T/own.log"
own_start '{}' root
claim "nor can root's file be its configuration" \
	wait_until 10 lib_gone "$SWITCHD_PID"
claim "for root is nobody there" grep -q "of your own.*config-writable" \
	"$T/own.log"
own_start '{"daemon": {"allow": {"netns": ["/proc/*/ns/net"]}}, "listeners":
	[{"name": "up", "type": "stream", "listen": "'"$USER_DIR"'/own/switchd/up",
	"uplink": true}]}'
claim "a switch starts there, at the user's place" wait_until 10 switchd_answers
claim "by the default path" inside own "$USER_DIR/switchctl" switch show
claim "its switch process is confined, as the only user that there is" ctl_is \
	'.confinement == {user: "0", capabilities: "none", "no-new-privs": true,
	seccomp: true, "file-system": "empty"} and .monitor == "connected"' \
	switch show
claim "the kernel says so, too: no capability" has_no_capability "$(switch_pid)"
claim_equal "and none to be had" "0000000000000000 1 2" \
	"$(for f in CapBnd NoNewPrivs Seccomp; do
		status "$(switch_pid)" $f
	done | xargs)"
claim "it listens in the user's own folder, and not anywhere" says \
	'daemon.allow.sockets.*not-allowed' ctl listener add no type=stream \
	listen="$USER_DIR/no"

claim "a VDE folder there" ctl listener add plug type=vde \
	listen="$USER_DIR/own/switchd/plug"
client vde "${OWN_AS[@]}" vde_plug "vde://$USER_DIR/own/switchd/plug"
claim "is the user's, from outside as well" wait_until 10 state_is plug.1 up
client root "$PYTHON" -B "$(dirname "$0")/vde_client.py" \
	"$USER_DIR/own/switchd/plug/ctl" pieces
claim "and not root's, who could be anybody else" said root closed
claim "which is counted" ctl_is '.refused == {"no-port": 1}' listener show plug
over root
over vde
ctl listener remove plug

claim "it makes a TAP for the namespace" ctl port attach host type=tap \
	ifname=sw0 address=10.0.2.60/24
claim "and one in another of the user's" ctl port attach g1 type=tap ifname=eth0 \
	netns="/proc/${CLIENT_PID[g1]}/ns/net"
claim "and takes a veth" ctl port attach g2 type=netdev ifname=v2
for n in 1 2; do
	own_ip g$n addr add "10.0.2.5$n/24" dev eth0
	own_ip g$n link set eth0 up
	own_ip g$n route add default via 10.0.2.2
done
claim "frames pass between TAP and veth" own_pings g1 10.0.2.52
claim "and to the namespace itself" own_pings g2 10.0.2.60
claim_not "whose stack is kept off the veth" grep -q 'may answer' "$T/own.log"

mkdir "$T/www"
echo hello >"$T/www/hello"
ns_background sw "$PYTHON" "$SRC/tests/e2e/web.py" 192.0.2.1 8000 \
	"$T/www"
wait_until 10 listens sw 8000
OWNS=$SOCKET
SOCKET=$R/switchd/switchd.sock
claim "the switch outside dials the one inside" ctl port attach inner \
	type=stream connect="$USER_DIR/own/switchd/up" uplink=yes
claim "and finds it" wait_until 10 state_is inner up
if [[ -x $SWITCHD_SLIRP ]]; then
	claim "it has the outside" ctl port attach nat type=slirp
	claim "by which a guest of the TAP reaches a web server" \
		wait_until 10 fetches g1
	claim "and one of the veth" fetches g2
	nat=$(pgrep -P "$USERS" -x switchd-slirp)
	claim "by a process without a capability" has_no_capability "$nat"
fi
SOCKET=$OWNS

pid=$(switch_pid)
kill -KILL "$pid"
claim "the switch process there is killed, and another one comes" \
	wait_until 10 answers_other_than "$pid"
claim "guests go on" own_pings g1 10.0.2.52
pid=$(switch_pid)
claim "the switch is upgraded" ctl switch upgrade
claim "they go on" own_pings g2 10.0.2.51
wait_until 5 lib_gone "$pid"
claim "confined as before" has_no_capability "$(switch_pid)"
if [[ -x $SWITCHD_SLIRP ]]; then
	claim "a NAT port there" ctl port attach nat type=slirp
	nat=$(pgrep -P "$SWITCHD_PID" -x switchd-slirp)
	claim "has a process without a capability" has_no_capability "$nat"
	claim_equal "and with few system calls" "1 2" \
		"$(status "$nat" NoNewPrivs) $(status "$nat" Seccomp)"
fi
claim "all ledgers close" wait_until 5 ledgers_close
claim "it ends" switchd_stop
claim_not "and its devices with it" own_ip own link show sw0
claim_equal "but for the veth, which is as it was" "$before" "$(veth_facts)"
SWITCHD_PID=$USERS
SOCKET=$R/switchd/switchd.sock
claim "the user's other switch ends" switchd_stop
claim "and its sockets are gone" test -z "$(ls "$R/switchd")"
finish
