#!/bin/bash
# Listeners: guests that connect become ports with the listener's settings, and
# go with their connections, which outlive the switch process. Who asks for too
# much is hung up on.
#
#	peers (connections) ═══ /PATH, 127.0.0.1:4444, [::1]:4445 ═══ switchd
. "$(dirname "$0")/peers.sh"

D=$T/sockets # not in what is allowed: $T/other
mkdir "$D" "$T/other"

listen() { # NAME [key=value...]
	ctl listener add "$@"
}

# refused NAME TEXT ARGUMENT...: no such listener, and TEXT says why
refused() {
	claim "$1" says "$2" listen bad "${@:3}"
}

listener_is() { # NAME JQ-EXPRESSION
	ctl_is "$2" listener show "$1"
}

ports_of() { # NAME NUMBER: it comes to have so many
	wait_until 10 listener_is "$1" "(.ports | length) == $2"
}

config() { # JQ-EXPRESSION: the file, changed by that
	jq "$1" "$T/switchd.conf" >"$T/new"
	cat "$T/new" >"$T/switchd.conf"
}

jq -n --arg d "$D" '{
	daemon: {allow: {sockets: [$d + "/*"]}},
	profiles: {lab: {mode: "access", vlan: 30}},
	listeners: [{name: "cfg", type: "seqpacket", listen: ($d + "/cfg"),
		profile: "lab"}]
}' >"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"
events_start port listener
peers_start ns_exec sw "$PYTHON" -B "$(dirname "$0")/listener_peers.py"

# ---- what they are -----------------------------------------------------------

claim "the configuration's listener is there" listener_is cfg '.ports == [] and
	.origin == "config" and .type == "seqpacket" and .max == 64'
claim "one for streams at a path" listen uni type=stream listen="$D/uni" \
	mode=access vlan=1
claim "one at an address" listen tcp type=stream listen=127.0.0.1:4444 \
	mode=access vlan=1
claim "one at an IPv6 address" listen six type=stream listen="[::1]:4445" \
	mode=access vlan=1
claim "one for records" listen rec type=seqpacket listen="$D/rec" \
	mode=access vlan=20 max=3 rate=100 description=lab
claim "all are listed, by name" ctl_is '[.listeners[] | .name] ==
	["cfg", "rec", "six", "tcp", "uni"]' listener list
claim_equal "a socket is for root" "socket root 600" \
	"$(stat -c '%F %U %a' "$D/uni")"
claim "one for a group" listen grp type=stream listen="$D/grp" group=daemon
claim_equal "is for that, too" "root daemon 660" \
	"$(stat -c '%U %G %a' "$D/grp")"
claim "one for all" listen all type=seqpacket listen="$D/all" socket-mode=666
claim_equal "is that" "root 666" "$(stat -c '%U %a' "$D/all")"
claim "with that as parameter" listener_is all \
	'.parameters."socket-mode" == "666"'
claim "and goes" ctl listener remove all
claim "and goes again" ctl listener remove grp
claim "with its socket" test ! -e "$D/grp"
claim "both are events" wait_until 5 event_seen listener.removed \
	'.name == "grp" and .reason == "request"'
claim "with what it was" wait_until 5 event_seen listener.added \
	'.name == "tcp" and .type == "stream" and .listen == "127.0.0.1:4444"'

# ---- what is refused ---------------------------------------------------------

before=$(ls "$D" "$T/other")
refused "without an address" 'missing-parameter' type=stream
refused "without a kind" 'missing-parameter' listen="$D/bad"
refused "of another kind" 'bad-value' type=tap listen="$D/bad"
refused "a mode that is none" 'bad-value.*socket-mode' type=stream \
	listen="$D/bad" socket-mode=rw
refused "a mode of an address" 'not-for-type.*socket-mode' type=stream \
	listen=127.0.0.1:4446 socket-mode=666
refused "a relative path" 'bad-value' type=seqpacket listen=bad
refused "records by TCP" 'bad-value' type=seqpacket listen=127.0.0.1:4446
refused "an address without a port" 'bad-value' type=stream listen=127.0.0.1
refused "a folder that isn't there" 'no-folder' type=stream listen="$D/no/bad"
refused "a folder that isn't allowed" 'daemon.allow.sockets.*not-allowed' \
	type=stream listen="$T/other/bad"
refused "all addresses" 'daemon.allow.listen.*not-allowed' \
	type=stream listen=0.0.0.0:4446
refused "a port of the host's services" 'daemon.allow.listen.*not-allowed' \
	type=stream listen=127.0.0.1:80
refused "an owner of an address" 'not-for-type' \
	type=stream listen=127.0.0.1:4446 owner=daemon
refused "the place of another one" 'address-taken' type=stream listen="$D/uni"
refused "a port that is in use" 'in-use' type=stream listen=127.0.0.1:04444
refused "what only a port has" 'unknown-parameter' \
	type=stream listen="$D/bad" ifname=tap0
refused "settings that contradict each other" 'mode-missing' \
	type=stream listen="$D/bad" vlan=5
refused "a profile that there isn't" 'no-such-profile' \
	type=stream listen="$D/bad" profile=none
refused "a worker that there isn't" 'no-such-worker' \
	type=stream listen="$D/bad" worker=7
refused "no ports at all" 'out-of-range' type=stream listen="$D/bad" max=0
claim "a name twice" says 'listener-exists' \
	listen uni type=stream listen="$D/bad"
claim "a name that leaves no room for its ports" says 'bad-name' \
	listen "$(printf 'n%.0s' {1..60})" type=stream listen="$D/bad"
claim "attaching what only a listener can make" says 'bad-value' \
	ctl port attach bad type=seqpacket
claim "removing what isn't there" says 'no-such-listener' \
	ctl listener remove bad
claim_equal "nothing of this leaves anything behind" "$before" \
	"$(ls "$D" "$T/other")"

# ---- guests ------------------------------------------------------------------

claim "a guest connects" peer connect a stream "$D/uni"
claim "and is port uni.1" ports_of uni 1
claim "another one by TCP" peer connect b stream 127.0.0.1:4444
claim "and by IPv6" peer connect c stream "[::1]:4445"
claim "each is a port" wait_until 10 ports_are six.1 tcp.1 uni.1
claim "their frames reach each other" peer frame a b,c
claim "both ways" peer frame c a,b
claim "a port says whose it is" ctl_is '.listener == "uni" and
	.origin == "transient" and .type == "stream"' port show uni.1
peer pid
claim "and who is at the other end" ctl_is ".peer == {pid: ${ANSWER#ok },
	uid: 0, gid: 0}" port show uni.1
claim "which TCP doesn't know" ctl_is 'has("peer") | not' port show tcp.1
claim "that is in the event" wait_until 5 event_seen port.attached \
	".name == \"uni.1\" and .listener == \"uni\" and
	.peer.pid == ${ANSWER#ok }"

claim "records have a VLAN of their own" peer many r 3 seqpacket "$D/rec"
claim "by the listener's settings" wait_until 10 ctl_is \
	'.mode == "access" and .vlan == 20 and .description == "lab"' \
	port show rec.3
claim "their frames stay in it" peer frame r1 r2,r3
claim "nothing of that is elsewhere" peer nothing a
claim "and nothing of theirs there" peer frame a b,c
claim "so it is" peer nothing r1
claim "the fourth is one too many" peer connect r4 seqpacket "$D/rec"
claim "and is hung up on" peer closed r4
claim "which is counted" listener_is rec '.accepted == 3 and
	.refused == {limit: 1}'
claim "and told" wait_until 5 event_seen listener.refused \
	'.name == "rec" and .reason == "limit" and .peer.uid == 0'
claim "a guest leaves" peer close r2
claim "and its port with it" wait_until 10 ports_are \
	rec.1 rec.3 six.1 tcp.1 uni.1
claim "for that reason" wait_until 5 event_seen port.detached \
	'.name == "rec.2" and .reason == "connection-closed"'
claim "the next one has its name" peer connect r2 seqpacket "$D/rec"
claim "again" wait_until 10 ports_are rec.1 rec.2 rec.3 six.1 tcp.1 uni.1
claim "a port of it can be set" ctl port set rec.2 vlan=21
claim "by itself" peer frame r1 r3
claim "alone" peer nothing r2
claim "what is the listener's can't" says 'needs-reattach' \
	ctl port set rec.2 type=tap
claim "nor what isn't its type's" says 'not-for-type' \
	ctl port set rec.2 ifname=tap0
claim "it is detached by hand" ctl port detach rec.2
claim "its guest hears of it" peer closed r2
claim "a guest that speaks nonsense" peer connect bad stream "$D/uni"
ports_of uni 2
claim "says an impossible length" peer raw bad ffffffff
claim "and is hung up on" peer closed bad
claim "alone" ports_of uni 1
claim "the others go on" peer frame a b,c

# ---- many --------------------------------------------------------------------

claim "one that takes many" listen big type=stream listen="$D/big" max=100 \
	rate=1000 mode=access vlan=40
claim "a hundred guests" peer many m 100 stream "$D/big"
claim "are a hundred ports" ports_of big 100
claim "the frame of one reaches the others" peer frame m1 \
	"$(printf 'm%d,' {2..99})m100"
claim "all leave" peer closeall m
claim "with all their ports" ports_of big 0
claim "a slow one" listen slow type=stream listen=127.0.0.1:4450 rate=2
from=${EPOCHREALTIME/./}
claim "five come at once" peer many s 5 stream 127.0.0.1:4450
claim "all get in" ports_of slow 5
took=$(((${EPOCHREALTIME/./} - from) / 1000))
claim "three of them after half a second each ($took ms)" \
	test "$took" -ge 1400
claim "removing it" ctl listener remove slow
claim "hangs up on its guests" peer closed s1
claim "all of them" peer closed s5
claim "and detaches their ports" wait_until 5 event_seen port.detached \
	'.name == "slow.5" and .reason == "listener-removed"'

# ---- the configuration -------------------------------------------------------

claim "guests of the configuration's" peer many p 2 seqpacket "$D/cfg"
ports_of cfg 2
claim "have its profile" ctl_is '.vlan == 30 and .profile == "lab"' \
	port show cfg.1
config '.profiles.lab.vlan = 31 | .listeners[0].max = 2'
claim "which changes" ctl config apply
claim "and they with it" ctl_is '.vlan == 31' port show cfg.2
claim "on the same connections" peer frame p1 p2
claim "its limit as well" peer connect p3 seqpacket "$D/cfg"
claim "is kept" peer closed p3
config '.listeners += [{name: "two", type: "stream", listen: "127.0.0.1:80"}]'
claim "one that isn't allowed" says 'not-allowed.*at listeners.1..listen' \
	ctl config apply
claim "changes nothing" peer frame p1 p2
config '.listeners |= .[:1] | .profiles = {} | .listeners[0] |= (del(.profile) +
	{mode: "access", vlan: 1})'
claim "one by hand" listen hand type=stream listen="$D/hand" profile=lab
claim "keeps its profile" says 'profile-in-use' ctl config apply
claim "until it goes" ctl listener remove hand
claim "then it's fine" ctl config apply
claim "the ports follow" ctl_is '.vlan == 1 and .profile == ""' \
	port show cfg.1
config '.listeners[0].listen += "2"'
claim "at another place it's another one" ctl config apply
claim "whose guests have to come again" peer closed p1
claim "there" peer connect p1 seqpacket "$D/cfg2"
ports_of cfg 1
claim "listeners by hand stay" ctl_is '[.listeners[] | .name] ==
	["big", "cfg", "rec", "six", "tcp", "uni"]' listener list
claim "so do their guests" peer frame a b,c,p1
claim "the configuration is saved" ctl config save
claim "with all listeners, and no port of theirs" jq -e \
	'[.listeners[].name] == ["big", "cfg", "rec", "six", "tcp", "uni"] and
	.ports == []' "$T/switchd.conf"
claim "as they were given" jq -e '.listeners[3] == {name: "six",
	type: "stream", listen: "[::1]:4445", mode: "access", vlan: 1}' \
	"$T/switchd.conf"
claim "that is what it is now" ctl config apply
claim "and nobody noticed" peer frame a b,c,p1

# ---- the switch process dies -------------------------------------------------

# goes_on WHEN: all guests are still there, and others can come
goes_on() {
	claim "$1 guests go on" peer frame a b,c,p1
	claim "$1 those of a VLAN, too" peer frame r1 r3
	claim "$1 all ports are there" ports_are "${PORTS[@]}"
	claim "$1 they know their listener" ctl_is '.listener == "uni" and
		.peer.uid == 0' port show uni.1
	claim "$1 others can come" peer connect new seqpacket "$D/rec"
	claim "$1 with the settings" wait_until 10 ctl_is '.vlan == 20' \
		port show rec.2
	claim "$1 and by TCP" peer connect new2 stream 127.0.0.1:4444
	claim "$1 and talk" peer frame new r1,r3
	claim "$1 and go" peer closeall new
	claim "$1 for good" wait_until 10 ports_are "${PORTS[@]}"
}

PORTS=(cfg.1 rec.1 rec.3 six.1 tcp.1 uni.1)
pid=$(switch_pid)
kill -KILL "$pid"
claim "the switch process is killed, and another one comes" wait_until 10 \
	answers_other_than "$pid"
goes_on "after its death"
claim "the switch is upgraded" ctl switch upgrade
goes_on "after the upgrade"

claim "a guest more" peer connect x stream "$D/uni"
ports_of uni 2
pid=$(switch_pid)
kill -STOP "$pid"
claim "that leaves while the switch is dead" peer close x
kill -KILL "$pid"
claim "doesn't keep the next one from coming" wait_until 10 \
	answers_other_than "$pid"
claim "and has no port there for long" ports_of uni 1
claim "the others go on" peer frame a b,c,p1

pid=$(switch_pid)
journal_poison
kill -KILL "$pid"
claim "a switch that has lost its memory comes back" wait_until 10 \
	answers_other_than "$pid"
claim "with the listeners of the configuration" ctl_is '[.listeners[] |
	.name] == ["big", "cfg", "rec", "six", "tcp", "uni"]' listener list
claim "without guests that nobody remembers" peer closed a
claim "new ones can come" peer connect a2 stream "$D/uni"
claim "by all ways" peer connect b2 stream 127.0.0.1:4444
claim "and talk" ports_of uni 1
ports_of tcp 1
claim "to each other" peer frame a2 b2

switchd_stop
claim "the switch ends, and its sockets with it" test -z "$(ls "$D")"

# ---- without root ------------------------------------------------------------

user_dir
chmod 777 "$USER_DIR"
SOCKET=$USER_DIR/switchd.sock
as_user sw "$USER_DIR/switchd" -f -s "$SOCKET"
"${AS_USER[@]}" </dev/null >"$T/user.log" 2>&1 &
lib_pids+=("$!")
claim "a switch of an ordinary user" wait_until 10 switchd_answers
claim "listens at a path" listen uni type=stream listen="$USER_DIR/uni"
claim "for records" listen rec type=seqpacket listen="$USER_DIR/rec"
claim "at an address" listen tcp type=stream listen=127.0.0.1:4444
claim "guests come" peer many u 2 stream "$USER_DIR/uni"
claim "by all ways" peer connect u3 stream 127.0.0.1:4444
claim "and with records" peer connect u4 seqpacket "$USER_DIR/rec"
claim "as ports" wait_until 10 ports_are rec.1 tcp.1 uni.1 uni.2
claim "and talk" peer frame u1 u2,u3,u4
claim "one leaves" peer close u2
claim "with its port" wait_until 10 ports_are rec.1 tcp.1 uni.1
claim "a listener is removed" ctl listener remove uni
claim "with its guest" peer closed u1
claim "and its socket" test ! -e "$USER_DIR/uni"
claim "the others go on" peer frame u3 u4
finish
