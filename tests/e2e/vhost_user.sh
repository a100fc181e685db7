#!/bin/bash
# Ports of type vhost-user as the control socket sees them: what they are made
# of, what is refused, who may connect, and that a front end's connection
# outlives the switch process. No frames: for those it takes a guest.
#
#	front ends (programs that only speak) --- sockets in $D --- switchd
. "$(dirname "$0")/tools.sh"

D=$T/sockets # not in what is allowed: $T/other
mkdir "$D" "$T/other"
declare -A FEED

# front_start NAME connect|listen PATH: a front end until the test ends
front_start() {
	mkfifo "$T/$1.in"
	"$PYTHON" -B "$(dirname "$0")/vhost_user.py" "$2" "$3" \
		<"$T/$1.in" >"$T/$1.out" 2>"$T/$1.err" &
	lib_pids+=("$!")
	exec {fd}>"$T/$1.in"
	FEED[$1]=$fd
}

# front NAME WORD: have it do that
front() {
	echo "$2" >&"${FEED[$1]}"
}

# front_said NAME LINE...: all that it has said so far
front_said() {
	local name=$1
	shift
	[[ $(tr '\n' ' ' <"$T/$name.out") == "$* " ]]
}

# said NAME LINE...: it says that, in 10 s, and no more
said() {
	wait_until 10 front_said "$@" || {
		cat "$T/$1.out" "$T/$1.err" >&2
		return 1
	}
}

attach() { # NAME [key=value...]
	ctl port attach "$1" type=vhost-user "${@:2}"
}

# refused NAME TEXT key=value...: no such port, and TEXT says why
refused() {
	claim "$1" says "$2" attach bad "${@:3}"
}

state_is() { # NAME STATE
	ctl_is ".ports[] | select(.name == \"$1\") | .state == \"$2\"" port list
}

connections_are() { # NAME NUMBER
	ctl_is ".guest.connections == $2" port show "$1"
}

inode() { # SOCKET
	stat -c %i "$D/$1"
}

jq -n --arg d "$D" '{
	daemon: {allow: {sockets: [$d + "/*"]}},
	profiles: {office: {type: "vhost-user", mode: "access", vlan: 10}},
	ports: [{name: "cfg", profile: "office", path: ($d + "/cfg")}]
}' >"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"
events_start port

# ---- what it is made of ------------------------------------------------------

claim "the configuration's port is there" ctl_is '.vlan == 10 and
	.type == "vhost-user" and .origin == "config"' port show cfg
claim "with its socket" test -S "$D/cfg"
claim "one by hand" attach vm1 path="$D/vm1"
claim "nobody is connected" state_is vm1 no-carrier
claim "port show says so, too" ctl_is ".guest == {path: \"$D/vm1\",
	role: \"server\", queues: 1, condition: \"waiting\", connections: 0,
	features: [], \"protocol-features\": [], status: 0, memory: 0,
	regions: 0, logging: false, rings: []}" port show vm1
claim_equal "the socket is for root" "socket root root 600" \
	"$(stat -c '%F %U %G %a' "$D/vm1")"
claim "one for somebody else" attach vm2 path="$D/vm2" owner=daemon queues=8
claim_equal "which is his" "daemon root 600" \
	"$(stat -c '%U %G %a' "$D/vm2")"
claim "with more pairs of queues" ctl_is '.guest.queues == 8 and
	.parameters.queues == 8' port show vm2
claim "one for a group" attach vm3 path="$D/vm3" group=daemon enabled=no
claim_equal "which may connect" "root daemon 660" \
	"$(stat -c '%U %G %a' "$D/vm3")"
claim "one that is disabled says so" state_is vm3 disabled
claim "it can be enabled" ctl port set vm3 enabled=yes
claim "and waits then" state_is vm3 no-carrier
"$PYTHON" -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$D/vm4"
claim "a socket that nobody listens on is replaced" attach vm4 path="$D/vm4"
claim "by one that can be connected to" ns_exec sw "$PYTHON" -c 'import socket, sys
socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$D/vm4"
claim "detached" ctl port detach vm4
claim "it is gone" wait_until 5 test ! -e "$D/vm4"

# ---- what is refused ---------------------------------------------------------

before=$(ls "$D" "$T/other")
refused "without a path" 'path=/PATH.*missing-parameter'
refused "a relative one" 'absolute path.*bad-value' path=vm5
refused "a role that there isn't" 'role.*bad-value' path="$D/vm5" role=peer
refused "no queues" 'queues.*out-of-range' path="$D/vm5" queues=0
refused "nine" 'queues.*out-of-range' path="$D/vm5" queues=9
claim "for a TAP seven are the limit" says 'queues.*out-of-range' \
	ctl port attach bad type=tap queues=8
refused "an owner of what somebody else makes" 'server.*not-for-role' \
	path="$D/vm5" role=client owner=daemon
refused "a user that there isn't" 'no-such-user' path="$D/vm5" \
	owner=nobody-of-that-name
refused "a group" 'no-such-group' path="$D/vm5" group=nobody-of-that-name
refused "parameters of other types" 'not-for-type' path="$D/vm5" ifname=tap0
claim "other types don't take its own" says 'not-for-type' \
	ctl port attach bad type=tap path="$D/vm5"
refused "a folder that isn't there" 'there is no folder.*no-folder' \
	path="$D/none/vm5"
refused "a folder that isn't allowed" 'daemon.allow.sockets.*not-allowed' \
	path="$T/other/vm5"
refused "nor by way of .." 'daemon.allow.sockets.*not-allowed' \
	path="$D/../other/vm5"
ln -s "$T/other" "$D/out"
refused "nor of a link" 'daemon.allow.sockets.*not-allowed' path="$D/out/vm5"
rm "$D/out"
: >"$D/file"
refused "what is no socket" 'not-a-socket' path="$D/file"
claim "which stays" test -f "$D/file"
rm "$D/file"
refused "the socket of another port" 'as port .vm1.*path-attached' \
	path="$D/vm1"
refused "connecting to it, too" 'as port .vm1.*path-attached' \
	path="$D/vm1" role=client
claim "the name of another port" says 'port-exists' attach vm1 path="$D/vm5"
claim "another path for a port that is there" says 'needs-reattach' \
	ctl port set vm1 path="$D/vm5"
claim_equal "nothing of this leaves anything behind" "$before" \
	"$(ls "$D" "$T/other")"
claim "or a port" ports_are cfg vm1 vm2 vm3

front_start own listen "$D/own"
claim "somebody else listens" said own listening
refused "where somebody listens already" 'in-use' path="$D/own"
claim "he sees no more of it than a call that ends" said own listening gone

# ---- front ends come and go --------------------------------------------------

front_start a connect "$D/vm1"
wait_until 10 test -s "$T/a.out"
features=$(grep -m 1 features "$T/a.out") ||
	fail "a front end is answered" "$(cat "$T/a.out" "$T/a.err")"
# With several pairs of queues: VIRTIO_NET_F_MQ, bit 22.
several="features $(printf '%#x' $((${features#* } | 1 << 22)))"
claim "a front end is answered" said a "$features"
claim "and counted" connections_are vm1 1
claim "that is an event" wait_until 5 event_seen port.link \
	'.name == "vm1" and .condition == "connected" and
	(.carrier or has("reason") | not)'
claim "without rings nothing runs" ctl_is '.guest.condition == "connected" and
	.state == "no-carrier" and .guest.rings == []' port show vm1
front a leave
front a come
claim "the next one as well" said a "$features" "$features"
claim "and counted" wait_until 5 connections_are vm1 2
front_start cfg connect "$D/cfg"
claim "each port has its own" said cfg "$features"

claim "the configuration is read again" ctl config apply
front cfg ask
claim "its port goes on" said cfg "$features" "$features"
jq '.ports[0].description = "changed"' "$T/switchd.conf" >"$T/new"
cat "$T/new" >"$T/switchd.conf"
claim "so it does when something else of it changes" ctl config apply
front cfg ask
claim "on the same connection" said cfg "$features" "$features" "$features"
claim "which is one" connections_are cfg 1
jq '.ports[0].queues = 2' "$T/switchd.conf" >"$T/new"
cat "$T/new" >"$T/switchd.conf"
claim "one whose device changes is attached anew" ctl config apply
claim "its front end hears of it" said cfg "$features" "$features" \
	"$features" gone
front cfg come
claim "and can connect to the new one" said cfg "$features" "$features" \
	"$features" gone "$several"
two_ports() { # PATH PATH: of cfg and cfg2, in the configuration
	jq --arg a "$D/$1" --arg b "$D/$2" '.ports = [.ports[0],
		{name: "cfg2", type: "vhost-user"}] |
		.ports[0].path = $a | .ports[1].path = $b' \
		"$T/switchd.conf" >"$T/new"
	cat "$T/new" >"$T/switchd.conf"
}
two_ports cfg cfg
claim "a configuration with a socket twice is refused" says \
	'path-attached, at ports.1..path' ctl config apply
claim "and undone" ports_are cfg vm1 vm2 vm3
two_ports cfg cfg2
claim "with two of them it's fine" ctl config apply
two_ports cfg2 cfg
claim "they may swap" ctl config apply
front_start swapped connect "$D/cfg"
claim "and each is the other" said swapped "$features"
claim "as they say" ctl_is ".guest.path == \"$D/cfg\" and
	.guest.connections == 1" port show cfg2
front swapped leave
jq --arg d "$D" '.ports = [.ports[0]] | .ports[0].path = $d + "/cfg"' \
	"$T/switchd.conf" >"$T/new"
cat "$T/new" >"$T/switchd.conf"
claim "back to one" ctl config apply
claim "ports by hand stay" ports_are cfg vm1 vm2 vm3
claim "the configuration is saved" ctl config save
# shellcheck disable=SC2016 # jq's own
claim "with all of them" jq -e --arg d "$D" '.ports | sort_by(.name) | .[1:] == [
	{name: "vm1", type: "vhost-user", path: ($d + "/vm1")},
	{name: "vm2", type: "vhost-user", path: ($d + "/vm2"),
	 owner: "daemon", queues: 8},
	{name: "vm3", type: "vhost-user", path: ($d + "/vm3"),
	 group: "daemon", enabled: true}]' "$T/switchd.conf"

front_start rude connect "$D/vm3"
claim "a front end that speaks nonsense is answered first" said rude "$features"
front rude junk
claim "and then hung up on" said rude "$features" gone
claim "which is an event with a reason" wait_until 5 event_seen port.link \
	'.name == "vm3" and .condition == "waiting" and
	(.reason | length > 0)'
claim "that port show has, too" ctl_is '.guest.reason | length > 0' \
	port show vm3
claim_equal "and a warning in the log, one" 1 \
	"$(grep -c 'vm3 is waiting: ' "$T/switchd.log")"
claim "the others aren't" front_said a "$features" "$features"
front rude come
claim "it may begin anew" said rude "$features" gone "$features"
front rude leave

# ---- client ------------------------------------------------------------------

claim "one that connects where nobody is yet" attach c1 path="$D/c1" \
	role=client
claim "it waits" state_is c1 no-carrier
claim "as a client" ctl_is '.guest.role == "client"' port show c1
claim_not "and makes nothing" test -e "$D/c1"
front_start c1 listen "$D/c1"
claim "when somebody comes it connects" said c1 listening "$features"
front c1 leave
front c1 come
claim "again when the next one does" said c1 listening "$features" \
	listening "$features"
claim "which are two" connections_are c1 2
front own come
claim "one where somebody listens" said own listening gone listening
claim "is attached" attach c2 path="$D/own" role=client
claim "and connects at once" said own listening gone listening "$features"
claim "detached, it hangs up" ctl port detach c2
claim "the front end hears of it" said own listening gone listening \
	"$features" gone
claim "the socket stays, for it is the front end's" test -S "$D/own"

# ---- the switch process dies -------------------------------------------------

vm1=$(inode vm1) vm2=$(inode vm2)

# goes_on: what was connected still is, what was listened on still is
goes_on() {
	front a ask
	claim "$1 the front end's connection goes on" said a "${a[@]}" "$features"
	a+=("$features")
	front c1 ask
	claim "$1 so does one that was connected to" said c1 "${c1[@]}" \
		"$features"
	c1+=("$features")
	front_start "n$2" connect "$D/vm2"
	claim "$1 others are listened to" said "n$2" "$several"
	front "n$2" leave
	claim_equal "$1 on the same sockets" "$vm1 $vm2" \
		"$(inode vm1) $(inode vm2)"
	claim "$1 all ports are there" ports_are c1 cfg vm1 vm2 vm3
	claim "$1 with what they were given" ctl_is '.guest.queues == 8 and
		.parameters.owner == "daemon"' port show vm2
	front c1 leave
	front c1 come
	claim "$1 a client connects again" said c1 "${c1[@]}" listening \
		"$features"
	c1+=(listening "$features")
}

a=("$features" "$features")
c1=(listening "$features" listening "$features")
pid=$(switch_pid)
kill -KILL "$pid"
claim "the switch process is killed, and another one comes" wait_until 10 \
	answers_other_than "$pid"
goes_on "after its death" 1
claim "the switch is upgraded" ctl switch upgrade
goes_on "after the upgrade" 2
claim_equal "the switch died once, by our hand" 1 \
	"$(grep -c 'the switch died' "$T/switchd.log")"

# Whichever of two processes is killed, when: the other one, or the next, goes on.
delays=(0 1 2 4 6)
[[ $TEST_SANITIZED == no ]] || delays=(0 100 300)
killed=0
for which in old new; do
	for ms in "${delays[@]}"; do
		upgrade_killing "$which" "$ms"
		claim "the $which one killed in an upgrade, after $ms ms: one runs" \
			wait_until 20 one_switch
		front a ask
		a+=("$features")
		claim "the connection goes on" said a "${a[@]}"
		front c1 ask
		c1+=("$features")
		claim "so does a client's" said c1 "${c1[@]}"
	done
done
claim "some were killed in time" test "$killed" -ge 4

# ---- the end -----------------------------------------------------------------

claim "detached" ctl port detach vm1
claim "the front end hears of it" said a "${a[@]}" gone
claim "its socket is gone" wait_until 5 test ! -e "$D/vm1"
front a come
claim "and nobody can connect" said a "${a[@]}" gone refused
claim "its path is free" attach vm9 path="$D/vm1"
claim "two at once can be attached and detached" attach vm10 path="$D/vm10"
claim "the switch ends" switchd_stop
claim_equal "and leaves only what is others'" "c1 own" \
	"$(find "$D" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ' |
		sed 's/ $//')"
finish
