#!/bin/bash
# What of the kernel fast path outlives what: maps, CPU port and programs are the
# monitor's; the switch process gets what it needs and no more.
#
#	monitor ─ maps, swcpu0, programs ─ switch ─── v1 [veth] g1
#	                                          └── v2 [veth] g2
. "$(dirname "$0")/tools.sh"

if "$SWITCHD" -V | grep -q 'without the kernel fast path'; then
	skip "the kernel fast path" "built without it"
	finish
fi
export PATH=$PATH:/usr/sbin # bpftool's
ns_add sw g1 g2
# Not the build's: an upgrade replaces it.
cp "$SWITCHD" "$T/switchd"
SWITCHD=$T/switchd

# bpf_of PID map|prog: the ids of those that the process has, sorted
bpf_of() {
	sed -n "s/^$2_id:[[:space:]]*//p" "/proc/$1/fdinfo"/* 2>/dev/null |
		sort -n | xargs
}

# names map|prog IDS: what they are called, sorted
names() {
	local id
	for id in $2; do
		bpftool -j "$1" show id "$id" | jq -r .name
	done | sort | xargs
}

cpu_port() { # its ifindex
	sw_ip -j link show swcpu0 | jq '.[0].ifindex'
}

has_tun() { # PID
	find "/proc/$1/fd" -lname /dev/net/tun | grep -q .
}

# The program on a port's device: its id.
program_on() { # DEVICE
	ns_exec sw tc -j filter show dev "$1" ingress |
		jq '.[] | .options | select(.bpf_name == "switchd_guard") |
			.prog.id'
}

no_program_on() { # DEVICE
	[[ -z $(program_on "$1") ]]
}

# ---- who has what ------------------------------------------------------------

switchd_start
monitor=$SWITCHD_PID
maps=$(bpf_of "$monitor" map)
cpu=$(cpu_port)
claim_equal "the monitor has all maps" \
	"counters devices fdb floods global members ports source target vlans" \
	"$(names map "$maps")"
claim_equal "and the programs" "switchd_tc switchd_xdp" \
	"$(names prog "$(bpf_of "$monitor" prog)")"
mapped() {
	grep -c 'bpf-map' "/proc/$(switch_pid)/maps"
}
claim_equal "the switch has mapped those that it may write" 7 "$(mapped)"
claim "and holds none" test -z "$(bpf_of "$(switch_pid)" map)"
claim "and no program" test -z "$(bpf_of "$(switch_pid)" prog)"
claim "both have the CPU port" has_tun "$(switch_pid)"
claim "which is up, and has no address" sw_ip link show up swcpu0
claim "nor answers for the host" test -z "$(sw_ip -o addr show swcpu0)"
claim "nothing is pinned" test -z \
	"$(find /sys/fs/bpf -type f ! -name '*.debug')"

# ---- what dies ---------------------------------------------------------------

same_kernel() {
	[[ $(bpf_of "$monitor" map) == "$maps" && $(cpu_port) == "$cpu" ]]
}

was=$(switch_pid)
kill -KILL "$was"
wait_until 10 answers_other_than "$was"
claim "a switch that is killed leaves all of it" same_kernel
claim_equal "its successor has mapped them" 7 "$(mapped)"

carries_on() { # TIMES
	[[ $(grep -c 'carries on' "$T/switchd.log") == "$1" ]]
}

old=$(bpf_of "$monitor" prog)
for n in 1 2; do
	claim "upgrade $n is done" ctl switch upgrade
	claim "and the monitor is the new program" wait_until 10 carries_on $n
	claim "on the same maps and CPU port" same_kernel
	claim_equal "which the new switch has mapped" 7 "$(mapped)"
done
claim_not "programs are the new version's" \
	test "$(bpf_of "$monitor" prog)" = "$old"
claim_equal "and as many as before" "$(wc -w <<<"$old")" \
	"$(bpf_of "$monitor" prog | wc -w)"
claim "and switchd says nothing of a failure" test -z \
	"$(grep -E "can.t|fast path" "$T/switchd.log" || :)"
claim "the end is one" switchd_stop
claim "and nothing is left" link_gone sw swcpu0

switchd_start
switchd_kill
claim "both killed leave nothing" wait_until 5 link_gone sw swcpu0

# systemd's part of the sandbox that could be in the way.
caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$SRC/etc/switchd.service.in" |
	tr '[:upper:] ' '[:lower:],' | sed 's/cap_/+/g')
cat >"$T/as_unit" <<E
#!/bin/sh
exec setpriv --bounding-set=-all,$caps --no-new-privs -- "$T/switchd" "\$@"
E
chmod 755 "$T/as_unit"
SWITCHD=$T/as_unit
switchd_start
claim_equal "the capabilities of etc/switchd.service are enough" "$(wc -w <<<"$old")" \
	"$(bpf_of "$SWITCHD_PID" prog | wc -w)"
claim_equal "which have none of BPF in their names" 0 "$((0x$(sed -n \
	's/^CapEff:[[:space:]]*//p' "/proc/$SWITCHD_PID/status") >> 32))"
switchd_stop
SWITCHD=$T/switchd

# ---- where there is none -----------------------------------------------------

# works_without: by packet sockets, as ever
works_without() {
	link_gone sw swcpu0 && [[ -z $(bpf_of "$SWITCHD_PID" map) ]] || return
	veth_add v1 g1 10.0.0.1/24
	veth_add v2 g2 10.0.0.2/24
	ctl port attach g1 type=netdev ifname=v1 &&
		ctl port attach g2 type=netdev ifname=v2 &&
		pings g1 10.0.0.2
	# Bound to a protocol, so it listens.
	ns_exec sw ss -Hl0 | grep -q '\*:v1 '
}

# notices: how often it was said that there is none
notices() {
	grep -c 'no kernel fast path' "$T/switchd.log"
}

end_without() {
	switchd_stop
	sw_ip link del v1
	sw_ip link del v2
	: >"$T/switchd.log"
}

: >"$T/switchd.log"
echo '{"daemon": {"fast-path": false}}' >"$T/switchd.conf"
switchd_start -c "$T/switchd.conf"
claim "fast-path=false: there is none, and ports work" works_without
claim_not "which needs no notice" notices
end_without

# A container that has no TAPs, so no CPU port.
cat >"$T/without_tun" <<E
#!/bin/sh
exec unshare --mount -- sh -c \
	'mount -t tmpfs tmpfs /dev/net && exec "\$0" "\$@"' "$T/switchd" "\$@"
E
chmod 755 "$T/without_tun"
SWITCHD=$T/without_tun
switchd_start
claim_equal "what the kernel hasn't is said once" 1 "$(notices)"
claim "with its cause" grep -q 'no kernel fast path: .*CPU port' \
	"$T/switchd.log"
claim "and ports work" works_without
was=$(switch_pid)
kill -KILL "$was"
wait_until 10 answers_other_than "$was"
claim_equal "also the next one says no more of it" 1 "$(notices)"
end_without
SWITCHD=$T/switchd

# ---- a port's device ---------------------------------------------------------

switchd_start
monitor=$SWITCHD_PID
veth_add v1 g1 10.0.0.1/24
ctl port attach g1 type=netdev ifname=v1 >&2
program=$(program_on v1)
claim_equal "a port's device has the program" switchd_tc \
	"$(names prog "${program:-0}")"
claim "which is the monitor's" grep -qw "$program" <<<"$(bpf_of "$monitor" prog)"
claim_not "and nobody listens there" ns_exec sw sh -c \
	"ss -Hl0 | grep -q '[*]:v1 '"
was=$(switch_pid)
kill -KILL "$was"
wait_until 10 answers_other_than "$was"
claim_equal "a switch that is killed leaves it there" "$program" \
	"$(program_on v1)"
times=$(grep -c 'carries on' "$T/switchd.log" || :)
claim "after an upgrade" ctl switch upgrade
wait_until 10 carries_on $((times + 1))
replaced() {
	program=$(program_on v1)
	[[ $program != "$1" ]] &&
		grep -qw "$program" <<<"$(bpf_of "$monitor" prog)"
}
claim "it is the new version's" wait_until 5 replaced "$program"
claim_equal "and just one" 1 "$(wc -w <<<"$program")"
ctl port detach g1 >&2
claim "it goes with the port" wait_until 5 no_program_on v1

ctl port attach g1 type=netdev ifname=v1 >&2
program=$(program_on v1)
orphan=$(switch_pid)
kill -KILL "$SWITCHD_PID"
wait "$SWITCHD_PID" 2>/dev/null || true
SWITCHD_PID=
claim "a monitor that is killed takes no switch along" switchd_answers
claim_equal "and the kernel goes on" "$program" "$(program_on v1)"
claim "with the CPU port" cpu_port
kill "$orphan"
wait_until 10 lib_gone "$orphan"
claim_equal "the program stays there when both are gone" "$program" \
	"$(program_on v1)"
switchd_start
ctl port attach g1 type=netdev ifname=v1 >&2
claim_not "until there is a new one" test "$program" = "$(program_on v1)"
claim_equal "in its place" 1 "$(program_on v1 | wc -w)"
ctl port detach g1 >&2
claim "which goes with the port" wait_until 5 no_program_on v1
finish
