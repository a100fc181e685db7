#!/bin/bash
# Ports of type stream: what they are made of, what is refused, frames both
# ways, an other end that doesn't read, talks nonsense or goes, and a switch
# process that dies under traffic: connection and framing outlive it.
#
#	a, c (stream.py, Unix sockets) --+-- switchd
#	b (stream.py, TCP) --------------+
. "$(dirname "$0")/tools.sh"

D=$T/sockets # not in what is allowed: $T/other
TCP=4444
mkdir "$D" "$T/other"
declare -A FEED

# end_start NAME PLACE SELF PEER: an other end, until the test ends
end_start() {
	mkfifo "$T/$1.in"
	ns_exec sw "$PYTHON" -B "$(dirname "$0")/stream.py" "${@:2}" \
		<"$T/$1.in" >"$T/$1.out" 2>"$T/$1.err" &
	lib_pids+=("$!")
	exec {fd}>"$T/$1.in"
	FEED[$1]=$fd
}

# end NAME WORD...: have it do that
end() {
	echo "${@:2}" >&"${FEED[$1]}"
}

# end_said NAME LINE...: all that it has said so far, but for counts
end_said() {
	local name=$1
	shift
	[[ $(grep -v '^got' "$T/$name.out" | tr '\n' ' ') == "$* " ]]
}

# said NAME LINE...: it says that, in 10 s, and no more
said() {
	wait_until 10 end_said "$@" || {
		cat "$T/$1.out" "$T/$1.err" >&2
		return 1
	}
}

# got NAME: how many frames it has got by now
got() {
	local before
	before=$(grep -c '^got' "$T/$1.out")
	end "$1" count
	wait_until 10 counted "$1" "$before" || return
	grep '^got' "$T/$1.out" | tail -n 1 | cut -d' ' -f2
}

counted() { # NAME BEFORE
	(($(grep -c '^got' "$T/$1.out") > $2))
}

got_is() { # NAME NUMBER
	[[ $(got "$1") == "$2" ]]
}

got_more() { # NAME NUMBER
	(($(got "$1") > $2))
}

# goes_on NAME: it gets frames, from now on
goes_on() {
	wait_until 10 got_more "$1" "$(got "$1")"
}

attach() { # NAME [key=value...]
	ctl port attach "$1" type=stream "${@:2}"
}

# refused NAME TEXT key=value...: no such port, and TEXT says why
refused() {
	claim "$1" says "$2" attach bad "${@:3}"
}

state_is() { # NAME STATE
	ctl_is ".ports[] | select(.name == \"$1\") | .state == \"$2\"" port list
}

dropped() { # NAME REASON
	ctl -j stats show port="$1" | jq ".tx.drops[\"$2\"] // 0"
}

has_dropped() { # NAME REASON
	(($(dropped "$@") > 0))
}

jq -n --arg d "$D" '{
	daemon: {allow: {sockets: [$d + "/*"]}},
	ports: [{name: "a", type: "stream", connect: ($d + "/a")}]
}' >"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"
events_start port

# ---- what it is made of, what is refused -------------------------------------

claim "the configuration's port is there" ctl_is '.type == "stream" and
	.origin == "config" and .mtu == 1500' port show a
claim "nobody listens there yet" state_is a no-carrier
claim "one by hand, over TCP" attach b connect=127.0.0.1:$TCP
claim "nobody is there, either" state_is b no-carrier
refused "without an end" 'connect=.*missing-parameter'
refused "a relative path" 'bad-value' connect=vm1
refused "a name instead of an address" 'bad-value' connect=localhost:4444
refused "an address without a port" 'bad-value' connect=127.0.0.1
refused "everybody" 'address of one host.*bad-value' connect=0.0.0.0:4444
refused "parameters of other types" 'not-for-type' connect="$D/x" role=client
refused "a folder that isn't there" 'there is no folder.*no-folder' \
	connect="$D/none/x"
refused "a folder that isn't allowed" 'daemon.allow.sockets.*not-allowed' \
	connect="$T/other/x"
refused "nor by way of .." 'daemon.allow.sockets.*not-allowed' \
	connect="$D/../other/x"
refused "another host" 'daemon.allow.connect.*not-allowed' \
	connect=192.0.2.1:4444
refused "a service of this one" 'daemon.allow.connect.*not-allowed' \
	connect=127.0.0.1:22
: >"$D/file"
refused "what is no socket" 'not-a-socket' connect="$D/file"
rm "$D/file"
claim "another end for a port that is there" says 'needs-reattach' \
	ctl port set b connect=127.0.0.1:4445
claim "none of this is a port" ports_are a b

# ---- frames ------------------------------------------------------------------

end_start a "$D/a" 1 2
end_start b $TCP 2 1
claim "when somebody listens it is connected" said a listening connected
claim "over TCP, too" said b listening connected
claim "that is an event" wait_until 5 event_seen port.link \
	'.name == "a" and .condition == "running" and .carrier'
claim "and a state" state_is a up
claim "of both" state_is b up
claim "port show says so, too" ctl_is '.guest ==
	{condition: "running"}' port show b
end a send 100
claim "frames go from one to the other" wait_until 10 got_is b 100
end b send 1000 1514
claim "and back" wait_until 10 got_is a 1000
end a send 1 1519
claim "one longer than the MTU is dropped" wait_until 10 has_dropped b mtu
claim "a longer MTU can be set" ctl port set a mtu=65535
claim "on both" ctl port set b mtu=65535
end a send 20 65549
claim "frames of 64 KB arrive" wait_until 10 got_is b 120
claim "of one that doesn't fit only that is lost" value_is 1 dropped b mtu

# ---- the other end -----------------------------------------------------------

claim "a third one" attach c connect="$D/c"
end_start c "$D/c" 3 1
claim "is dialled again until it is there" said c listening connected
end c send 1
claim "and heard" wait_until 10 got_is a 1001
end b stall
end a flood
claim "one that doesn't read loses frames" wait_until 10 has_dropped b \
	queue-full
before=$(got a)
end c send 1000
claim "and nobody else does" wait_until 10 got_is a $((before + 1000))
end a calm
before=$(got b)
end b read
claim "it reads again" wait_until 10 got_more b "$before"
claim "ledgers close to the frame" wait_until 5 ledgers_close
claim "on the same connection" said b listening connected sent
end c junk
claim "who talks nonsense is hung up on, and gets another chance" said c \
	listening connected sent sent gone connected
claim "that is an event with a reason" wait_until 5 event_seen port.link \
	'.name == "c" and .condition == "waiting" and
	(.reason | test("impossible length"))'
claim_equal "and one warning in the log" 1 \
	"$(grep -c 'c is waiting: ' "$T/switchd.log")"
end c close
claim "who hangs up is dialled again" said c listening connected sent sent \
	gone connected connected
end c leave
end c close
claim "nobody is there any more" wait_until 10 state_is c no-carrier
end c come
claim "until somebody comes" said c listening connected sent sent gone \
	connected connected listening connected
claim "others haven't noticed" said b listening connected sent

# ---- the switch process dies -------------------------------------------------

a_said=$(grep -v '^got' "$T/a.out" | tr '\n' ' ')

# both_go_on WHEN: frames arrive, whole and in order, on the same connections
both_go_on() {
	claim "$1 frames reach b" goes_on b
	claim "$1 frames reach a" goes_on a
	claim_equal "$1 on the same connections" "$a_said" \
		"$(grep -v '^got' "$T/a.out" | tr '\n' ' ')"
}

end a flood
end b flood
claim "traffic runs both ways" goes_on a
for i in 1 2 3; do
	pid=$(switch_pid)
	kill -KILL "$pid"
	claim "the switch process is killed, and another one comes ($i)" \
		wait_until 10 answers_other_than "$pid"
	claim "ports are there" ports_are a b c
	claim "after death $i frames arrive" goes_on b
	claim "and go back" goes_on a
done
for i in 1 2; do
	claim "the switch is upgraded ($i)" ctl switch upgrade
	both_go_on "after upgrade $i"
done
end a calm
end b calm
claim_not "all that came was whole and in order" grep -q wrong "$T"/?.out
claim "ports are remembered" ctl_is '.parameters.connect ==
	"127.0.0.1:'$TCP'" and .mtu == 65535' port show b
claim "the configuration is saved" ctl config save
claim "with what they were given" jq -e '.ports | map(select(.name == "b")) ==
	[{name: "b", type: "stream", connect: "127.0.0.1:4444", mtu: 65535}]' \
	"$T/switchd.conf"
claim "detached" ctl port detach b
claim "the other end hears of it" wait_until 10 grep -q gone "$T/b.out"
claim "the switch ends" switchd_stop
claim "the others hear of that" wait_until 10 grep -q gone "$T/a.out"

# ---- without root ------------------------------------------------------------

user_dir
mkdir "$USER_DIR/run"
chown 65534 "$USER_DIR/run"
as_user sw
"${AS_USER[@]}" "$USER_DIR/switchd" -f -s "$USER_DIR/run/s" \
	</dev/null >>"$T/switchd.log" 2>&1 &
lib_pids+=("$!")
SOCKET=$USER_DIR/run/s
claim "an ordinary user's switch starts" wait_until 10 switchd_answers
end_start d 5555 4 5
end_start e 5556 5 4
claim "it dials" attach d connect=127.0.0.1:5555
claim "it dials another one" attach e connect=127.0.0.1:5556
claim "one is there" said d listening connected
claim "so is the other" said e listening connected
end d send 100
claim "frames cross" wait_until 10 got_is e 100
end e close
claim "it dials again" said e listening connected connected
end d send 100
claim "and frames cross again" wait_until 10 got_is e 200
finish
