#!/bin/bash
# VLANs, isolation and reserved addresses on real TAPs: who gets a frame, and
# with which tag.
#
#	a [VLAN 10] --+              +-- [trunk 10,20] t
#	b [VLAN 20] --+-- switchd ---+-- [plain] p
#	i, j [isolated, VLAN 10] ----+-- [uplink, VLAN 10] u
#	                             +-- [uplink, plain] m, sends the marks
. "$(dirname "$0")/tools.sh"
switchd_start
guest_add a 10.0.0.1/24 mode=access vlan=10
guest_add b 10.0.0.2/24 mode=access vlan=20
guest_add t 10.0.0.3/24 trunk=10,20
guest_add p 10.0.0.4/24
guest_add i 10.0.0.5/24 mode=access vlan=10 isolated=yes
guest_add j 10.0.0.6/24 mode=access vlan=10 isolated=yes
guest_add u 10.0.0.7/24 mode=access vlan=10 uplink=yes
guest_add m 10.0.0.8/24 uplink=yes

names=(a b t p i j u)
payload=$(printf 'ee%.0s' {1..46})
all=ffffffffffff
me=020000000001
marks=0

for name in "${names[@]}"; do
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec "$name" $FRAMES sniff eth0 60 1000 </dev/null \
		>"$T/in.$name" 2>&1 &
	lib_pids+=("$!")
done
for name in "${names[@]}"; do
	wait_until 5 grep -q ready "$T/in.$name"
done

send() { # NAME FRAME...
	local name=$1
	shift
	# shellcheck disable=SC2086 # $FRAMES is a command and its argument
	ns_exec "$name" $FRAMES send eth0 "$@"
}

marked() {
	local name
	for name in "${names[@]}"; do
		grep -q "91$1$payload" "$T/in.$name" || return
	done
}

# Who got the frame of this type, in what order they're listed, with its tag.
got() {
	local name line seen=
	for name in "${names[@]}"; do
		while read -r line; do
			[[ ${line:12:12} == "$me" ]] || continue
			if [[ ${line:24:4} == 8100 && ${line:32:4} == "$1" ]]; then
				seen+="$name:${line:28:4} "
			elif [[ ${line:24:4} == "$1" ]]; then
				seen+="$name:- "
			fi
		done <"$T/in.$name"
	done
	seen=${seen:-nobody}
	echo "${seen% }"
}

# claim_gets CLAIM WANT FROM DESTINATION TAG TYPE: the frame has a type of its
# own; a mark to all behind it tells when there's nothing more to wait for.
claim_gets() {
	local mark
	marks=$((marks + 1))
	mark=$(printf '%02x' "$marks")
	send "$3" "$4$me$5$6$payload"
	wait_until 5 handled "$3" $((${sent[$3]:-0} + 1))
	sent[$3]=$((${sent[$3]:-0} + 1))
	send m "${all}0200000000028100000a91$mark$payload" \
		"${all}0200000000028100001491$mark$payload"
	if wait_until 5 marked "$mark"; then
		claim_equal "$1" "$2" "$(got "$6")"
	else
		fail "$1" "the mark didn't come"
	fi
}
declare -A sent=()

handled() { # NAME COUNT
	(($(port_value "$1" .rx.frames) >= $2))
}

claim_gets "an access port's frame: its VLAN, tagged on trunks" \
	"t:000a p:000a u:-" a $all "" 9001
claim_gets "a trunk's tagged frame is in its VLAN" "b:- p:0014" \
	t $all 81000014 9002
claim_gets "in one that the trunk hasn't it goes nowhere" nobody \
	t $all 8100001e 9003
claim_gets "a trunk without a native VLAN takes no untagged frame" nobody \
	t $all "" 9004
claim "for a reason" ctl_is '.rx.drops == {"vlan-ingress": 2}' port show t
claim_gets "the priority survives" "a:- t:600a u:-" p $all 8100600a 9005
claim_gets "a priority tag is no VLAN" nobody p $all 81006000 9006
claim_gets "an access port takes tags of its VLAN" "t:000a p:000a u:-" \
	a $all 8100000a 9007
claim_gets "and of no other" nobody a $all 81000014 9008
claim_gets "an isolated port reaches uplinks only" "u:-" i $all "" 9009
claim_gets "and an uplink reaches it" "a:- t:000a p:000a i:- j:-" \
	u $all "" 900a
claim_gets "LLDP isn't forwarded" nobody a 0180c200000e "" 88cc
claim "for a reason" ctl_is '.rx.drops.reserved == 1' port show a
ctl switch set forward-reserved=lldp >&2
claim_gets "but for labs that say so" "t:000a p:000a u:-" \
	a 0180c200000e "" 88ce
claim_gets "and PAUSE still isn't" nobody a 0180c2000001 "" 8808
claim "the ledgers close" ledgers_close
finish
