#!/bin/bash
# Known unicast goes where it must and never where it mustn't, whichever way the
# switch takes; every frame is sent as an unknown type, UDP and ARP, and twice.
#
#	a, c [VLAN 10] --+              +-- [trunk 10,20] t
#	b [VLAN 20] -----+              +-- [trunk 10,30, native 10] r
#	i, j [isolated, 10] - switchd --+-- [plain] p, q; x with MTU 1400
#	u [uplink, 10] --+              +-- s, the mirrors' target
#	m, n [plain]: marks from m to n tell when there is nothing to wait for
. "$(dirname "$0")/tools.sh"
ns_add sw
switchd_start -w 1 # or a mark would overtake

all_taps=(a b c t r p q i j u x s)
mkfifo "$T/to" "$T/from"
taps_attach a c -- mode=access vlan=10
taps_attach b -- mode=access vlan=20
taps_attach t -- trunk=10,20
taps_attach r -- trunk=10,30 vlan=10
taps_attach p q s m n --
taps_attach i j -- mode=access vlan=10 isolated=yes
taps_attach u -- mode=access vlan=10 uplink=yes
taps_attach x -- mtu=1400
sw_ip tuntap add dev y mode tap vnet_hdr # see forgetting()
# shellcheck disable=SC2086 # no more than a name
ns_exec sw "$PYTHON" "$SRC/tests/e2e/fastpath_vlan.py" "$SOCKET" m n \
	"${all_taps[@]}" \
	<"$T/to" >"$T/from" &
lib_pids+=("$!")
exec 9>"$T/to" 8<"$T/from"

# ask WORD...: its answers are in ANSWERS
ask() {
	local line
	echo "$*" >&9
	ANSWERS=()
	while read -r -t 20 line <&8; do
		[[ $line != . ]] || return 0
		ANSWERS+=("$line")
	done
	echo "no answer to $*" >&2
	return 1
}

# ---- cases -------------------------------------------------------------------

KINDS=3 # of a frame that is no super-frame
claims=()
wants=()
declare -A reasons=() # why frames will be dropped in a round: how many

# gets CLAIM WANT FROM DESTINATION [TAGS [SOURCE [LENGTH]]]: WANT is who gets
# it, with which tag, or nobody, and if it's dropped ` !REASON`
gets() {
	local reason=${2#* !} frames=$KINDS
	ask case "${#claims[@]}" "$3" "$4" "${6:-$3}" "${5:--}" "${7:-60}"
	claims+=("$1")
	wants+=("${2% !*}")
	[[ ${7-} != g* ]] || frames=1
	[[ $reason == "$2" ]] ||
		reasons[$reason]=$((${reasons[$reason]-0} + frames))
}

# dropped_as_expected BEFORE...: by what two rounds of the cases say
dropped_as_expected() {
	local reason count line=0 status=0
	local before=("$@")
	ask drops
	for ((line = 0; line < ${#ANSWERS[@]}; line++)); do
		reason=${ANSWERS[line]% *}
		count=$((${before[line]##* } + 2 * ${reasons[$reason]-0}))
		[[ ${ANSWERS[line]} == "$reason $count" ]] || {
			echo "want $reason $count, got ${ANSWERS[line]}" >&2
			status=1
		}
	done
	((line > 10)) && return "$status"
}

# check: all cases, twice: what was punted the first time is known the second
check() {
	local i round got
	local -a first=() before=()
	ask drops
	before=("${ANSWERS[@]}")
	for round in 1 2; do
		ask round
		for ((i = 0; i < ${#claims[@]}; i++)); do
			got=${ANSWERS[i]-}
			got=${got#"$i "}
			if ((round == 1)); then
				first[i]=$got
			elif [[ ${first[i]} == "$got" ]]; then
				claim_equal "$WAY: ${claims[i]}" "${wants[i]}" \
					"$got"
			else
				fail "$WAY: ${claims[i]}" \
					"want ${wants[i]}, got ${first[i]}, then $got"
			fi
		done
	done
	claim "$WAY: what is dropped is dropped for its reason" \
		dropped_as_expected "${before[@]}"
	cases_clear
}

cases_clear() {
	claims=()
	wants=()
	reasons=()
	ask clear
}

device_is_down() { # NAME
	value_is false link_value sw "$1" '.flags | contains(["UP"])'
}

# forgetting OBJECT VERB ARGUMENT...: a change that has the switch forget
# addresses, and again when no worker can have the old configuration any more. A
# port that is detached is put back no sooner.
forgetting() {
	ctl "$@" >&2
	ctl port attach y type=netdev ifname=y >&2
	ctl port detach y >&2
	wait_until 5 device_is_down y
}

# Everybody's address is known, in each VLAN that the port carries.
learn() {
	local name
	for name in a b c i j u; do
		ask learn $name -
	done
	for name in p q x s; do
		ask learn $name -
		ask learn $name 000a
		ask learn $name 0014
	done
	ask learn t 000a
	ask learn t 0014
	ask learn r -
	ask learn r 001e
	ask round
}

# Who gets what a floods, without c and with it.
others10="t:000a r:- p:000a q:000a u:- x:000a s:000a"
flooded10="c:- $others10"

vlans() {
	gets "a frame of its VLAN is sent untagged" "c:-" a c
	gets "and tagged by a trunk" "t:000a" a t
	gets "or not, if it's the native VLAN" "r:-" a r
	gets "a plain port gets a tag" "p:000a" a p
	gets "an address of another VLAN isn't known" "$flooded10" a b
	gets "an access port takes tags of its VLAN" "c:-" a c 000a
	gets "and their priority" "t:e00a" a t e00a
	gets "but of no other VLAN" "nobody !vlan-ingress" a b 0014
	gets "not even to a port of its own" "nobody !vlan-ingress" a c 0014
	gets "nor the reserved one" "nobody !vlan-ingress" a c 0fff
	gets "a priority tag is no VLAN" "c:-" a c 6000
	gets "and is a tag on a trunk, priority kept" "t:600a" a t 6000
	gets "a trunk's tag is its VLAN" "a:-" t a 000a
	gets "as is another one" "b:-" t b 0014
	gets "one that it doesn't carry isn't" "nobody !vlan-ingress" t p 001e
	gets "nor is none, without a native VLAN" "nobody !vlan-ingress" t a
	gets "nor a priority tag" "nobody !vlan-ingress" t a 6000
	gets "a native VLAN takes untagged frames" "a:-" r a
	gets "and tagged ones" "a:-" r a 000a
	gets "a trunk doesn't take another one's VLAN" "nobody !vlan-ingress" r b 0014
	gets "trunk to trunk: untagged to tagged" "t:000a" r t
	gets "and tagged to untagged" "r:-" t r 600a
	check
}

plain() {
	gets "plain to plain" "q:-" p q
	gets "keeps a tag" "q:600a" p q 600a
	gets "a priority tag" "q:6000" p q 6000
	gets "VLAN 1's" "q:0001" p q 0001
	gets "to a trunk with its priority" "t:c00a" p t c00a
	gets "to a trunk's native VLAN without" "r:-" p r c00a
	gets "to an access port without" "b:-" p b 6014
	gets "not to a VLAN that is another one" "nobody !vlan-ingress" t q 0001
	gets "nor the reserved one" "nobody !vlan-ingress" p q 0fff
	gets "nobody's VLAN" "q:- x:- s:-" p a
	check
}

double_tags() {
	gets "a tag behind the port's own is dropped, of another VLAN" "nobody !vlan-ingress" \
		a c 000a+0014
	gets "on a trunk, too" "nobody !vlan-ingress" t r 000a+001e
	gets "even to a port that keeps tags" "nobody !vlan-ingress" t p 000a+001e
	gets "behind a priority tag" "nobody !vlan-ingress" a r 0000+0014
	gets "one that the port carries passes" "r:0014" t r 000a+0014
	gets "and with its outer tag" "p:000a+0014" t p 000a+0014
	gets "plain to plain it is kept" "q:000a+0014" p q 000a+0014
	gets "a service tag is payload" "c:88a8:0014" a c 88a8:0014
	gets "and tagged on a trunk" "t:000a+88a8:0014" a t 88a8:0014
	gets "and no tag of a trunk's" "nobody !vlan-ingress" t a 88a8:000a
	gets "a tag behind it, too" "c:88a8:0014+0014" a c 88a8:0014+0014
	gets "plain to plain it's kept" "q:88a8:0014" p q 88a8:0014
	gets "and of VLAN 1" "q:- x:- s:-" p a
	check
}

service_tags() {
	forgetting switch set vlan-protocol=802.1ad
	learn # it has forgotten all
	for name in p q; do
		ask learn "$name" 88a8:000a
	done
	ask learn t 88a8:000a
	gets "with 802.1ad 802.1Q tags are payload" "c:0014" a c 0014
	gets "and tagged on a trunk" "t:88a8:000a+0014" a t 0014
	gets "a tag is a service tag" "nobody !vlan-ingress" a c 88a8:0014
	gets "of its VLAN" "c:-" a c 88a8:000a
	gets "trunk to access port" "a:-" t a 88a8:000a
	gets "plain to plain it's kept" "q:88a8:600a" p q 88a8:600a
	check
	forgetting switch set vlan-protocol=802.1Q
	learn
}

isolation() {
	gets "isolated ports don't talk to each other" "nobody !isolated" i j
	gets "nor to others" "nobody !isolated" i a
	gets "nor others to them" "nobody !isolated" a i
	gets "nor a trunk" "nobody !isolated" t j 000a
	gets "an isolated port talks to an uplink" "u:-" i u
	gets "and an uplink to it" "i:-" u i
	gets "others talk to an uplink" "u:-" a u
	check
}

addresses() {
	local last group
	gets "what is known on the port it came by stays there" "nobody !hairpin" p p - \
		0200000000aa
	gets "in a VLAN, too" "nobody !hairpin" t t 000a 0200000000ab
	gets "no source" "nobody !zero-source" a c - 000000000000
	gets "no source, plain" "nobody !zero-source" p q - 000000000000
	gets "a group's source is nobody's" "q:-" p q - 010000000001
	for last in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do
		group=0180c200000$last
		gets "link-local $last" "nobody !reserved" p "$group"
		gets "link-local $last, tagged" "nobody !reserved" p "$group" 000a
	done
	gets "the next group is none of these" "q:- x:- s:-" p 0180c2000010
	check
	ctl switch set forward-reserved=lldp >&2
	gets "forwarded where that was asked for" "q:- x:- s:-" p 0180c200000e
	gets "and no other" "nobody !reserved" p 0180c2000001
	check
	ctl switch set forward-reserved=none >&2
}

mtu() {
	gets "as long as the MTU" "x:-" p x - p 1414
	gets "and one tag" "x:000a" p x 000a p 1414
	gets "longer than it and a tag" "nobody !mtu" p x - p 1419
	gets "longer, tagged" "nobody !mtu" p x 000a p 1415
	gets "a tag that is added counts, too" "nobody !mtu" a x - a 1415
	gets "twice tagged" "nobody !mtu" p x 000a+000a p 1414
	gets "much longer" "nobody !mtu" p x - p 1514
	gets "others have another MTU" "q:-" p q - p 1514
	gets "and tagged" "q:000a" p q 000a p 1514
	gets "not more than that" "nobody !mtu" p q - p 1519
	gets "segments that fit" "x:- x:- x:-" p x - p g1360
	gets "and tagged" "x:000a x:000a x:000a" a x - a g1360
	gets "segments that don't" "nobody !mtu" p x - p g1400
	gets "with nothing but their tag behind it" "nobody !mtu" a x - a g1400
	gets "and that do elsewhere" "q:- q:- q:-" p q - p g1400
	check
}

static_addresses() {
	ctl fdb add 02:00:00:00:99:01 port=q >&2
	forgetting port set c vlan=20
	ctl fdb add 02:00:00:00:99:03 port=c vlan=20 >&2
	forgetting port set c vlan=10
	ctl fdb add 02:00:00:00:99:02 port=c vlan=10 >&2
	gets "a static address" "q:-" p 020000009901
	gets "isn't taken away by who uses it" "q:-" p q - 020000009901
	gets "a static address in a VLAN" "c:-" t 020000009902 000a
	gets "is of that VLAN only" "b:- p:0014 q:0014 x:0014 s:0014" \
		t 020000009902 0014
	gets "of a VLAN that its port isn't in it's out of reach" \
		"nobody !vlan-egress" b 020000009903
	gets "from a trunk, too" "nobody !vlan-egress" t 020000009903 0014
	check
	gets "it is still where it was" "q:-" x 020000009901
	check
	ctl fdb remove 02:00:00:00:99:01 >&2
	ctl fdb remove 02:00:00:00:99:02 vlan=10 >&2
	ctl fdb remove 02:00:00:00:99:03 vlan=20 >&2
}

learning() {
	ctl port set q learn=no >&2
	ctl fdb flush port=q >&2
	gets "learn=no: its address isn't known" "q:- x:- s:-" p q
	gets "but it knows others" "p:-" q p
	check
	ctl port set q learn=yes flood=no >&2
	gets "flood=no: an unknown address" "x:- s:-" p 020000009903
	check
	ask learn q -
	gets "known, it gets its frames" "q:-" p q
	check
	ctl port set q flood=yes >&2
	ask learn p - && ask learn q - && ask learn q 000a && ask learn q 0014
	# q's address from p: it has moved, until q says something again.
	gets "a guest that moves" "x:-" p x - q
	check
	gets "gets its frames where it is" "p:-" x q
	gets "and not where it was" "p:-" x q - x 100
	check
	ask learn q -
	gets "and back" "q:-" x q
	check
}

states() {
	forgetting port set c enabled=no
	gets "a disabled port gets nothing" "$others10" a c
	gets "and sends nothing" "nobody !disabled" c a
	check
	ctl port set c enabled=yes >&2
	wait_until 5 value_is up port_value c .state
	ask learn c -
	gets "enabled again it does" "c:-" a c
	gets "both" "a:-" c a
	check
	forgetting port set c vlan=20
	gets "moved to another VLAN it's out of reach" "$others10" a c
	gets "and out of its old neighbours'" \
		"b:- t:0014 p:0014 q:0014 x:0014 s:0014" c a
	gets "but in the new one" "b:-" c b
	check
	forgetting port set c vlan=10
	ask learn c -
	forgetting port set t trunk=20
	gets "a trunk that has lost a VLAN" "c:- r:- p:000a q:000a u:- x:000a s:000a" a t
	gets "takes it no more" "nobody !vlan-ingress" t a 000a
	check
	forgetting port set t trunk=10,20
	ask learn t 000a
	ctl port set i isolated=no >&2
	gets "not isolated any more" "i:-" a i
	check
	ctl port set i isolated=yes >&2
	gets "and isolated again" "nobody !isolated" a i
	check
	detached
}

detached() {
	ctl port detach c >&2
	ask detached c
	# Put back to what it was; then its guest may send, to nobody.
	wait_until 5 device_is_down c
	sw_ip link set dev c up
	gets "a port that is gone gets nothing" "$others10" a c
	gets "and sends nothing" nobody c a
	check
	sw_ip link set dev c down
	ctl port attach c type=netdev ifname=c mode=access vlan=10 >&2
	wait_until 5 value_is up port_value c .state
	ask attached c
	ask learn c -
	gets "back it does" "c:-" a c
	gets "both ways" "a:-" c a
	check
}

mirrors() {
	ctl mirror add one to=s from=a >&2
	gets "a mirror has a copy of what comes" "c:- s:-" a c
	gets "as it came" "c:- s:000a" a c 000a
	gets "of what goes" "a:- s:-" t a 000a
	gets "and of nothing else" "q:-" p q
	gets "its target has no traffic" "nobody !mirror-target" s p
	gets "of its own" "p:- x:-" q s
	check
	ctl mirror add two to=s from=c dir=out >&2
	gets "two mirrors, two copies" "c:- s:- s:-" a c
	gets "what is dropped was seen, too" "s:- !isolated" a i
	check
	ctl mirror remove one >&2
	ctl mirror remove two >&2
	ask learn s -
	gets "without them" "c:-" a c
	gets "the target is a port again" "s:-" q s
	check
}

# Each port got what its guest has sent, and sent what its guest has read: of
# a super-frame its segments.
counts_agree() {
	local name sent read
	ask counts
	for line in "${ANSWERS[@]}"; do
		read -r name sent read <<<"$line"
		ctl_is ".rx.frames == $sent and .tx.segments == $read" \
			port show "$name" || {
			echo "$name has sent $sent and read $read" >&2
			return 1
		}
	done
	((${#ANSWERS[@]} == ${#all_taps[@]} + 2))
}

read -r -t 20 line <&8
[[ $line == ready ]]
# As much as has the switch try XDP, from everybody to somebody it may reach.
busy() {
	ask busy a c - && ask busy c a - && ask busy b t - &&
		ask busy t a 000a && ask busy r a - && ask busy p q - &&
		ask busy q p - && ask busy i u - && ask busy j u - &&
		ask busy u a - && ask busy x p - && ask busy s p - && ask round
}

busy_until_xdp() {
	busy && fastpath_is xdp "${all_taps[@]}"
}

fastpath_settings a
[[ ${SETTINGS[*]} == none ]] || SETTINGS+=(xdp)
for setting in "${SETTINGS[@]}"; do
	fastpath_use "${setting/xdp/yes}" "${all_taps[@]}"
	learn
	if [[ $setting == xdp ]]; then
		claim "busy ports get XDP" wait_until 20 busy_until_xdp
		WAY=$(fastpath_way a)
	fi
	for what in vlans plain double_tags service_tags isolation addresses \
		mtu static_addresses learning states mirrors; do
		"$what"
	done
	claim "$WAY: the ledgers close" wait_until 5 ledgers_close
	claim "$WAY: the ledgers have what the guests have sent and read" \
		counts_agree
done
exec 9>&- 8<&-
for dev in "${all_taps[@]}" m n; do
	ctl port detach "$dev" >&2
	sw_ip link del dev "$dev"
done
sw_ip link del dev y
finish
