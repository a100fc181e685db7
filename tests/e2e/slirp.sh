#!/bin/bash
# Guests reach the outside by a port of type slirp: DHCP, DNS, HTTP, IPv6, host
# forwarding. Its process dies, the switch process dies, is upgraded; it all
# comes back, or goes on. Nothing is left behind.
#
#	vm1 [TAP] ---+             switchd-slirp           eth0 192.0.2.1
#	             +-- switchd --- (nat)  .............. 2001:db8::1
#	vm2 [TAP] ---+   in sw, w0 192.0.2.2, 2001:db8::2 ----- outside
. "$(dirname "$0")/tools.sh"

NAT="$PYTHON -B $(dirname "$0")/slirp.py"
FEW=160 # descriptors
FAST_S=3 # until another process is there
[[ $TEST_SANITIZED == no ]] || FAST_S=10

if [[ ! -x $SWITCHD_SLIRP ]]; then
	switchd_start
	claim "a switchd without libslirp says so" says 'without libslirp.*not-built' \
		ctl port attach nat type=slirp
	finish
fi

# nat NAMESPACE COMMAND ARGUMENT...: of slirp.py
nat() {
	local ns=$1
	shift
	# shellcheck disable=SC2086 # $NAT is a command and its arguments
	ns_exec "$ns" $NAT "$@"
}

nat_background() {
	local ns=$1
	shift
	# shellcheck disable=SC2086
	ns_background "$ns" $NAT "$@"
}

fetches() { # NAMESPACE ADDRESS[:PORT]
	[[ $(nat "$1" fetch "http://$2/hello") == hello ]]
}

resolves() { # NAMESPACE SERVER
	[[ $(nat "$1" dns "$2" web.test) == 192.0.2.1 ]]
}

answered() { # NAMESPACE ADDRESS PORT
	[[ $(nat "$1" ask "$2" "$3") == "is anybody there?" ]]
}

# The processes behind ports.
nat_pids() {
	pgrep -P "$SWITCHD_PID" -x switchd-slirp
}

# children_are N: of the monitor, zombies included
children_are() {
	local pids
	read -ra pids <"/proc/$SWITCHD_PID/task/$SWITCHD_PID/children"
	((${#pids[@]} == $1))
}

# Of $nat_pid: has it all the descriptors that it may have? Its CPU time.
nat_is_full() {
	(($(find "/proc/$nat_pid/fd" -mindepth 1 | wc -l) == FEW))
}

nat_ticks() {
	awk '{ print $14 + $15 }' "/proc/$nat_pid/stat"
}

monitor_fds() {
	find "/proc/$SWITCHD_PID/fd" -mindepth 1 | wc -l
}

# lease NAMESPACE [DEVICE]: asks for one and takes it
lease() {
	ns_exec "$1" udhcpc -i "${2:-eth0}" -n -q -f -t 10 -T 1 -s "$T/udhcpc" \
		>&2
}

addresses() { # NAMESPACE FAMILY
	ns_exec "$1" ip -j "-$2" addr show dev eth0 scope global |
		jq -r '.[].addr_info[].local'
}

has_ipv6() { # NAMESPACE PREFIX
	addresses "$1" 6 | grep -q "^$2"
}

# guest NAME: on a TAP, without an address
guest() {
	ns_add "$1"
	ctl port attach "$1" type=tap ifname=eth0 netns="$(ns_name "$1")" >&2
	wait_until 5 ip -n "$(ns_name "$1")" link set eth0 up
}

attach() { # key=value...
	ctl port attach nat type=slirp "$@"
}

refused() { # NAME TEXT key=value...
	claim "$1" says "$2" ctl port attach bad type=slirp "${@:3}"
}

state_is() { # NAME STATE
	ctl_is ".ports[] | select(.name == \"$1\") | .state == \"$2\"" port list
}

resolver_hangs() { # NAMESPACE: nobody answers within a second
	! resolves "$1" 10.0.2.3
}

# Segments that one of vm1 and nat has counted and the other hasn't, each way.
uneven_segments() {
	for port in vm1 nat; do
		ctl -j stats show port="$port" || return
	done | jq -rs '"\(.[0].rx.segments - .[1].tx.segments) \(
		.[0].tx.segments - .[1].rx.segments)"'
}

megabytes() {
	tail -n 1 "$T/stream"
}

grows() { # it is more than now, by two
	local was
	was=$(megabytes)
	wait_until 15 more_than $((was + 2))
}

more_than() {
	(($(megabytes) > $1))
}

# ---- the outside -------------------------------------------------------------

NS_NO_IPV6=0
ns_add sw outside
veth_add w0 outside 192.0.2.1/24
sw_ip addr add 192.0.2.2/24 dev w0
sw_ip addr add 2001:db8::2/64 dev w0 nodad
sw_ip link set w0 up
ns_exec outside ip addr add 2001:db8::1/64 dev eth0 nodad
mkdir "$T/www"
echo hello >"$T/www/hello"
ns_background outside "$PYTHON" "$SRC/tests/e2e/web.py" :: 80 "$T/www"
nat_background outside serve 7
nat_background outside take 8
nat_background outside echo 192.0.2.1 7
ns_background outside dnsmasq --keep-in-foreground --conf-file=/dev/null \
	--user=root --no-resolv --no-hosts --pid-file= --log-facility=- \
	--address=/web.test/192.0.2.1
wait_until 10 listens outside 80
wait_until 10 listens outside 53
wait_until 10 listens outside 7
wait_until 10 listens outside 8
cat >"$T/udhcpc" <<'SH'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip -4 addr flush dev "$interface" scope global
ip -4 addr add "$ip/$mask" dev "$interface"
ip route replace default via "$router" dev "$interface" $TABLE
echo "$ip $router $dns $hostname" >"$0.lease"
SH
chmod +x "$T/udhcpc"

# The switch has a resolv.conf of its own: nobody is at that address.
echo "nameserver 192.0.2.99" >"$T/resolv.conf"
cat >"$T/switchd" <<SH
#!/bin/sh
exec unshare --mount --propagation slave -- sh -c 'mount --bind "\$0" /etc/resolv.conf &&
	exec "\$@"' "$T/resolv.conf" "$SWITCHD" "\$@"
SH
chmod +x "$T/switchd"
PLAIN=$SWITCHD
SWITCHD=$T/switchd
echo '{"daemon": {"allow": {"slirp": true}}}' >"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"
events_start port
fds=$(monitor_fds)

# ---- one attach --------------------------------------------------------------

guest vm1
claim "one attach" attach hostname=guest
claim "and it is up" state_is nat up
claim "vm1 gets a lease" lease vm1
claim_equal "of the usual address, with router, name server and name" \
	"10.0.2.15 10.0.2.2 10.0.2.3 guest" "$(<"$T/udhcpc.lease")"
claim "it fetches from a server outside" fetches vm1 192.0.2.1
claim "UDP goes there and back" answered vm1 192.0.2.1 7
claim_not "nobody is at the host's name server" resolves vm1 10.0.2.3
echo "nameserver 192.0.2.1" >"$T/resolv.conf"
claim "which changes, and names are known" wait_until 10 resolves vm1 10.0.2.3
claim "an IPv6 address comes by advertisements" wait_until 15 has_ipv6 vm1 fd00:
claim "it fetches by IPv6" wait_until 10 fetches vm1 '[2001:db8::1]'

# ---- super-frames, both ways -------------------------------------------------

uneven=$(uneven_segments)
claim_equal "an upload is what was sent" 16 "$(nat vm1 give 192.0.2.1 8 16)"
claim "it went by super-frames" ctl_is '.tx.segments > 4 * .tx.frames' \
	stats show port=nat
claim "a download is what was sent" nat vm1 stream 192.0.2.1 7 16
claim "it came by super-frames" ctl_is '.tx.segments > 4 * .tx.frames' \
	stats show port=vm1
claim_equal "an upload by IPv6, too" 16 "$(nat vm1 give 2001:db8::1 8 16)"
claim "and a download" nat vm1 stream 2001:db8::1 7 16
claim "what one has sent the other has got, by segments" \
	wait_until 5 value_is "$uneven" uneven_segments

guest vm2
claim "vm2 gets another lease" lease vm2
claim_equal "of the next address" 10.0.2.16 "$(addresses vm2 4)"
claim "and reaches the outside" fetches vm2 192.0.2.1
claim "and vm1, by the switch" pings vm2 10.0.2.15
one=$(nat_pids)
claim "a datagram in fragments goes there and back" \
	nat vm1 long 192.0.2.1 7 20000
claim "the last fragment of nothing" nat vm2 last eth0
claim "goes nowhere" fetches vm2 192.0.2.1
claim_equal "and ends nothing" "$one" "$(nat_pids)"
claim "the ledgers close" wait_until 5 ledgers_close

# libslirp takes no frame whose checksum isn't right.
head -c 16M /dev/urandom >"$T/upload"
ns_background outside socat -u TCP-LISTEN:9 CREATE:"$T/uploaded"
UPLOADED=$PID
wait_until 10 listens outside 9
claim "vm1 sends what is long" ns_exec vm1 socat -u "$T/upload" TCP:192.0.2.1:9
claim "in super-frames" ctl_is '.rx.segments > 1000' port show vm1
claim "the server has all of it" wait_until 10 lib_gone "$UPLOADED"
claim "as it was" cmp "$T/upload" "$T/uploaded"
rm "$T/upload" "$T/uploaded"
claim "the ledgers still close" wait_until 5 ledgers_close

# ---- who it is ---------------------------------------------------------------

nat_pid=$(nat_pids)
status() {
	awk -v key="$1:" '$1 == key { print $2 }' "/proc/$nat_pid/status"
}
claim_equal "the process is the switch's user" \
	"$(stat -c %u "/proc/$(switch_pid)/task")" "$(status Uid)"
claim_equal "without capabilities" 0000000000000000 "$(status CapPrm)"
claim_equal "or others to come" 1 "$(status NoNewPrivs)"
claim_equal "with few system calls" 2 "$(status Seccomp)"
if [[ $TEST_SANITIZED == no ]]; then
	claim_equal "it sees two folders" "etc run" \
		"$(find "/proc/$nat_pid/root/" -mindepth 1 -maxdepth 1 \
			-printf '%f\n' | sort | xargs)"
	claim_equal "it has a gigabyte of memory" $((1 << 30)) "$(awk \
		'/^Max data size/ { print $5 }' "/proc/$nat_pid/limits")"
	claim_equal "has its socket, and what it says errors to" "0 1 2 3" \
		"$(find "/proc/$nat_pid/fd" -mindepth 1 -printf '%f\n' |
			sort -n | head -n 4 | xargs)"
fi
kill -TERM "$nat_pid"
claim "asked to end, it goes on" fetches vm1 192.0.2.1
claim_equal "as it was" "$nat_pid" "$(nat_pids)"

# ---- it dies -----------------------------------------------------------------

steady_start -r 1000 vm1 vm2
echo "nameserver 192.0.2.99" >"$T/resolv.conf"
claim "the resolver hangs" wait_until 10 resolver_hangs vm1
nat_background vm1 dns 10.0.2.3 web.test
claim "and nobody else" fetches vm1 192.0.2.1
echo "nameserver 192.0.2.1" >"$T/resolv.conf"
kill -KILL "$nat_pid"
claim "killed, the port is broken, by an event" wait_until 5 event_seen port.link \
	'.name == "nat" and .condition == "broken" and
	(.reason | contains("switchd-slirp"))'
claim "another one comes" wait_until "$FAST_S" state_is nat up
claim "by an event, too" wait_until 5 event_seen port.link \
	'.name == "nat" and .condition == "running" and (has("reason") | not)'
claim "and vm1 reaches the outside again" wait_until 10 fetches vm1 192.0.2.1
claim_equal "it is another process" 1 "$(nat_pids | grep -cvx "$nat_pid")"
steady_stop
claim "guests among each other have noticed nothing of all this" no_frame_lost
claim "the dead one is no zombie" children_are 2
claim_equal "and has cost no descriptor" $((fds + 4)) "$(monitor_fds)"

# ---- the switch process dies, is upgraded ------------------------------------

nat_pid=$(nat_pids)
# shellcheck disable=SC2086
ns_exec vm1 $NAT stream 192.0.2.1 7 </dev/null >"$T/stream" 2>"$T/stream.err" &
STREAM=$!
lib_pids+=("$STREAM")
claim "a long download runs" wait_until 10 test -s "$T/stream"
pid=$(switch_pid)
kill -KILL "$pid"
claim "the switch process dies, and another one comes" wait_until 10 \
	answers_other_than "$pid"
claim "the download goes on" grows
claim "the switch is upgraded" ctl switch upgrade
claim "the download goes on" grows
claim_equal "by the same process" "$nat_pid" "$(nat_pids)"
kill -KILL "$nat_pid"
claim "killed, another one comes, as before" wait_until 10 fetches vm1 192.0.2.1
claim "the port is up" state_is nat up
claim "the ledgers close" wait_until 5 ledgers_close
kill -KILL "$STREAM"
wait_until 5 lib_gone "$STREAM"

# ---- what it is told ---------------------------------------------------------

claim "detached" ctl port detach nat
claim "its process is gone, and no zombie" wait_until 5 children_are 1
ns_background vm1 "$PYTHON" "$SRC/tests/e2e/web.py" 0.0.0.0 80 "$T/www"
nat_background vm1 echo 0.0.0.0 9
nat_background sw echo 127.0.0.1 9
wait_until 10 listens vm1 80
claim "host forwarding" attach \
	hostfwd=tcp:192.0.2.2:8080-10.0.2.15:80,udp:192.0.2.2:8080-:9,tcp::8081-:80
claim "the port knows vm1" lease vm1
claim "TCP comes in from outside" fetches outside 192.0.2.2:8080
claim "UDP as well" answered outside 192.0.2.2 8080
claim "without an address it is for the host itself" fetches sw 127.0.0.1:8081
claim_not "and for nobody outside" nat outside accepts 192.0.2.2 8081
refused "the same port once more" 'in-use.*hostfwd' \
	hostfwd=tcp:192.0.2.2:8080-:81
refused "a port of the host's root" 'not-permitted.*hostfwd' \
	hostfwd=tcp:192.0.2.2:80-:80
refused "an address that the host hasn't" 'hostfwd' \
	hostfwd=tcp:192.0.2.77:80-:80
claim "the gateway isn't the host" nat sw ask 127.0.0.1 9
claim_not "as far as guests see" nat vm1 ask 10.0.2.2 9
claim "this needs a new port" says needs-reattach ctl port set nat loopback=yes
claim "so does the MTU" says needs-reattach ctl port set nat mtu=9000
ctl port detach nat
claim "with the host's loopback, other networks, and jumbo frames" attach \
	loopback=yes ipv4=172.20.0.0/16 ipv6=fd12:3456::/64 mtu=9000
claim "vm1 gets a lease" lease vm1
claim_equal "of that network" 172.20.0.15 "$(addresses vm1 4)"
claim "its gateway is the host" answered vm1 172.20.0.2 9
claim "a prefix of its own" wait_until 15 has_ipv6 vm1 fd12:3456:
ctl port detach nat
claim "restricted" attach restricted=yes hostfwd=tcp::8080-:80
claim "vm1 gets a lease" lease vm1
claim_not "it reaches nobody" nat vm1 accepts 192.0.2.1 80
claim "but is reached" fetches sw 127.0.0.1:8080
ctl port detach nat
claim "without IPv6" attach ipv6=none
claim "there is DHCP" lease vm1
ctl port detach nat
refused "neither IPv4 nor IPv6" 'bad-value.*ipv6' ipv4=none ipv6=none
refused "an address is no network" 'bad-value.*ipv4' ipv4=10.0.2.1/24
refused "a parameter of another type" 'not-for-type' ifname=x

# ---- root may not want it ----------------------------------------------------

echo '{"daemon": {"allow": {"slirp": false}}}' >"$T/switchd.conf"
ctl config apply >&2
refused "root says no" 'daemon.allow.slirp.*not-allowed'
echo '{"ports": [{"name": "nat", "type": "slirp", "mtu": 1400}]}' \
	>"$T/switchd.conf"
claim "the configuration has one" ctl config apply
claim "it is there" ctl_is '.origin == "config" and .mtu == 1400' port show nat
echo '{"ports": [{"name": "nat", "type": "slirp"}]}' >"$T/switchd.conf"
claim "and changes" ctl config apply
claim "by a new process" ctl_is '.mtu == 1500' port show nat
claim "vm1 has it" lease vm1
echo '{"ports": []}' >"$T/switchd.conf"
claim "and hasn't" ctl config apply
claim "its process is gone" wait_until 5 children_are 1
ctl port detach vm1
ctl port detach vm2
claim "no descriptor is left of all this" wait_until 5 value_is "$fds" monitor_fds
claim "one more, and the switch ends" attach
nat_pid=$(nat_pids)
claim "the switch ends" switchd_stop
claim "its process as well" wait_until 5 lib_gone "$nat_pid"

# ---- more connections than it has room for -----------------------------------

cat >"$T/few" <<SH
#!/bin/sh
ulimit -n $FEW
exec "$SWITCHD_SLIRP" "\$@"
SH
chmod +x "$T/few"
SWITCHD_SLIRP=$T/few switchd_start
claim "another switch" attach hostfwd=tcp:192.0.2.2:8082-:80
nat_pid=$(nat_pids)
ctl port attach vm1 type=tap ifname=eth0 netns="$(ns_name vm1)" >&2
wait_until 5 ip -n "$(ns_name vm1)" link set eth0 up
claim "vm1 gets a lease" lease vm1
nat_background outside crowd 192.0.2.2 8082
crowd=$PID
claim "calls take all its descriptors" wait_until 30 nat_is_full
ticks=$(nat_ticks)
claim "guests still are" ns_exec vm1 ping -q -c 11 -i 0.1 -W 2 10.0.2.2
ticks=$(($(nat_ticks) - ticks))
echo "# $ticks ticks of CPU in a second"
claim "and it waits for room, without turning in a circle" test "$ticks" -le 30
claim "those who have called hang up" pid_stop "$crowd"
claim "others are let in" wait_until 30 fetches outside 192.0.2.2:8082

# ---- monitor and switch die at once ------------------------------------------

switchd_kill
claim "nobody is left to speak to, and it ends" wait_until 5 lib_gone "$nat_pid"

# ---- without root ------------------------------------------------------------

SWITCHD=$PLAIN
user_dir
cp "$SWITCHD_SLIRP" "$USER_DIR"
chmod 755 "$USER_DIR"/*
mkdir "$USER_DIR/run"
chown 65534:65534 "$USER_DIR/run"
SOCKET=$USER_DIR/run/switchd.sock
sw_ip tuntap add mine mode tap user 65534
sw_ip link set mine up
as_user sw env SWITCHD_SLIRP="$USER_DIR/switchd-slirp"
"${AS_USER[@]}" "$USER_DIR/switchd" -f -s "$SOCKET" </dev/null \
	>>"$T/switchd.log" 2>&1 &
USERS=$!
lib_pids+=("$USERS")
claim "started by a user" wait_until 10 switchd_answers
claim "it has a TAP of his" ctl port attach mine type=tap ifname=mine
claim "and the outside" attach
sw_ip rule add oif mine lookup 100
claim "there is DHCP" env TABLE="table 100" \
	nsenter --net="$(ns_path sw)" -- udhcpc -i mine -n -q -f -t 10 -T 1 \
	-s "$T/udhcpc"
claim "and HTTP" env DEVICE=mine nsenter --net="$(ns_path sw)" -- \
	"$PYTHON" -B "$(dirname "$0")/slirp.py" fetch http://192.0.2.1/hello
nat_pid=$(pgrep -P "$USERS" -x switchd-slirp)
claim_equal "by a process without what it doesn't need" "1 2" \
	"$(status NoNewPrivs) $(status Seccomp)"
kill -KILL "$nat_pid"
claim "killed, another one comes" wait_until 10 env DEVICE=mine nsenter \
	--net="$(ns_path sw)" -- "$PYTHON" -B "$(dirname "$0")/slirp.py" \
	fetch http://192.0.2.1/hello
claim_equal "one, and no zombie" 1 "$(pgrep -c -P "$USERS")"
claim "detached" ctl port detach nat
claim "none is left" wait_until 5 value_is "" pgrep -P "$USERS"
claim "the switch ends" pid_stop "$USERS"
finish
