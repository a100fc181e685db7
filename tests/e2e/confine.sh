#!/bin/bash
# What the switch process can't do, and what the monitor doesn't do for it.
#
#	root ─ monitor ─ switch (nobody or switchd, confined); TAPs in `sw`
. "$(dirname "$0")/tools.sh"
ns_add sw far

conf() { # JQ-EXPRESSION: makes the configuration from {}
	jq -n "{} | $1" >"$T/switchd.conf"
}

proc() { # FIELD: of the switch process's status
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$(switch_pid)/status"
}

# By worker, hexadecimal.
workers_block() {
	grep -l '^Name:[[:space:]]*worker' "/proc/$(switch_pid)/task/"*/status |
		xargs sed -n 's/^SigBlk:[[:space:]]*//p'
}

# All but SIGBUS: memory that a guest takes away faults, and the kernel kills
# whoever blocks that.
workers_block_all_but_sigbus() {
	local mask n=0
	for mask in $(workers_block); do
		n=$((n + 1))
		((!(0x$mask & 1 << ($(kill -l BUS) - 1)))) || return 1
		((0x$mask & 1 << ($(kill -l TERM) - 1))) || return 1
	done
	((n > 0))
}

attach() { # NAME [key=value...]
	ctl port attach "$@"
}

refused() { # WHAT ARGUMENT...: by daemon.allow.WHAT
	local what=$1
	shift
	says "daemon.allow.$what.*not-allowed" ctl port attach "$@"
}

# ---- the process -------------------------------------------------------------

conf '.daemon = {user: "daemon"}'
switchd_start -c "$T/switchd.conf"
uid=$(id -u daemon)
claim "switch show says what holds it" ctl_is ".confinement == {
	user: \"$uid\", capabilities: \"none\", \"no-new-privs\": true,
	seccomp: true, \"file-system\": \"empty\" } and .monitor == \"connected\"" \
	switch show
read -r -a uids <<<"$(proc Uid)"
claim_equal "the kernel says so, too: its user" \
	"$uid $uid $uid $uid" "${uids[*]}"
claim "no group beside its own" test -z "$(proc Groups | tr -d ' ')"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
	claim_equal "its capabilities, $set" 0000000000000000 "$(proc $set)"
done
claim_equal "no_new_privs" 1 "$(proc NoNewPrivs)"
claim_equal "seccomp" 2 "$(proc Seccomp)"
root=/proc/$(switch_pid)/root
claim "its file system is a read-only tmpfs" grep -qE \
	'^[0-9]+ [0-9]+ [0-9:]+ / / ro,.* - tmpfs ' \
	"/proc/$(switch_pid)/mountinfo"
claim_not "without the host's files" test -e "$root/etc/passwd"
claim_not "or programs" test -e "$root/bin/sh"
directories=$(find "/proc/$(switch_pid)/fd" -lname '/*' \
	-exec test -d {} \; -print)
claim "no descriptor of a folder leads out" test -z "$directories"
claim "workers take no signals but what a guest's memory may cause" \
	workers_block_all_but_sigbus
read -r -a uids <<<"$(sed -n 's/^Uid:[[:space:]]*//p' \
	"/proc/$SWITCHD_PID/status")"
claim_equal "the monitor is root" 0 "${uids[1]}"
switchd_stop

# ---- the file that says so ---------------------------------------------------

conf '.daemon = {user: "root"}'
claim "root is no user for it" says 'daemon.user' \
	ns_exec sw "$SWITCHD" -f -s "$SOCKET" -c "$T/switchd.conf"
conf '.daemon = {user: "nobody-of-that-name"}'
claim "nor is who doesn't exist" says 'no-such-user' \
	ns_exec sw "$SWITCHD" -f -s "$SOCKET" -c "$T/switchd.conf"
conf '.'
chmod g+w "$T/switchd.conf"
claim "a file that others may write to isn't believed" says \
	'switchd.conf says what may be opened.*config-writable' \
	ns_exec sw "$SWITCHD" -f -s "$SOCKET" -c "$T/switchd.conf"
chmod g-w "$T/switchd.conf"
conf '.daemon = {allow: {tap: ["a"], taps: ["b"]}}'
claim "a list that there isn't is said" says 'at daemon.allow.taps' \
	ns_exec sw "$SWITCHD" -f -s "$SOCKET" -c "$T/switchd.conf"
conf '.daemon = {allow: {addresses: ["10.0.0.0/33"]}}'
claim "so is a network that is none" says 'at daemon.allow.addresses\[0\]' \
	ns_exec sw "$SWITCHD" -f -s "$SOCKET" -c "$T/switchd.conf"

# ---- what is allowed by default ----------------------------------------------

conf '.'
switchd_start -c "$T/switchd.conf"
far=$(ns_name far)
claim "a TAP of any name" attach t1 type=tap ifname=t1
claim "one in a namespace by its name" attach t2 type=tap ifname=t2 netns="$far"
claim "not by a path" refused netns t3 type=tap ifname=t3 \
	netns=/proc/self/ns/net
claim "a private address" attach t4 type=tap ifname=t4 address=10.7.0.1/24
claim "no public one" refused addresses t5 type=tap ifname=t5 \
	address=8.8.8.8/32
claim "nor one whose network is wider than the private one" \
	refused addresses t5 type=tap ifname=t5 address=10.0.0.1/1
claim "in another namespace any" attach t6 type=tap ifname=t6 netns="$far" \
	address=8.8.8.8/32
claim "a capture in /tmp" attach c1 type=pcap file="$T/a.pcapng"
claim "none in /etc" refused files c2 type=pcap file=/etc/a.pcapng
claim "not by way of .." refused files c2 type=pcap file="$T/../../etc/a.pcapng"
ln -s /etc "$T/out"
claim "nor of a link" refused files c2 type=pcap file="$T/out/a.pcapng"
claim_not "which leaves nothing there" test -e /etc/a.pcapng
claim_equal "what was refused isn't attached" "c1 t1 t2 t4 t6" \
	"$(ctl -j port list | jq -r '[.ports[].name] | sort | join(" ")')"
claim "not a second device of the name" says 'device-attached|device-busy' \
	attach t7 type=netdev ifname=t1

# ---- what root says ----------------------------------------------------------

conf '.daemon = {allow: {tap: ["vm?", "t*"], netdev: [], netns: [],
	files: ["/srv/none/*"]}}'
claim "a reload brings other lists" ctl config apply
claim "a name that matches" attach vm1 type=tap ifname=vm1
claim "one that doesn't" refused tap vm22 type=tap ifname=vm22
claim "none given is the kernel's choice of tap0 and the like" \
	attach any type=tap
claim "a list that is empty allows nothing" \
	refused netdev n1 type=netdev ifname=lo
claim "no namespace" refused netns t8 type=tap ifname=t8 netns="$far"
claim "no capture where there was one" \
	refused files c3 type=pcap file="$T/b.pcapng"
claim "what is attached stays" ctl port show c1

claim "a client can't change the lists" ctl config apply \
	config="$(jq -c '.daemon.allow.netdev = ["*"]' "$T/switchd.conf")"
claim "so that they'd hold" refused netdev n1 type=netdev ifname=lo
before=$(stat -c '%u %g %a' "$T/switchd.conf")
ctl config save >&2
claim "or be saved" jq -e '.daemon.allow.netdev == []' "$T/switchd.conf"
claim_equal "the file keeps its owner and mode" "$before" \
	"$(stat -c '%u %g %a' "$T/switchd.conf")"
claim "and another one isn't written where captures may not be" says \
	'not-allowed' ctl config save file="$T/c.conf"
finish
