#!/bin/bash
# Not one frame is lost, comes twice or overtakes another one of its flow, while
# the way that it goes changes: addresses forgotten, mirrors, VLANs, ports that
# come and go, and the kernel fast path itself.
#
#	program [fpa, fpb, fpc, their descriptors] --+-- switchd --+-- [fpm] program,
#	                                                               mirror's target
. "$(dirname "$0")/tools.sh"
ns_add sw
switchd_start -w 2 # who send to one device at once
ports=(fpa fpb fpc)
taps_attach "${ports[@]}" fpm -- mtu=1500
PHASE_US=400000
ROUNDS_MIN=3 # of changes, however slow the machine is
[[ $TEST_FULL != yes ]] || PHASE_US=5000000

order_start() { # [-b]
	rm -f "$T/go" "$T/order"
	mkfifo "$T/go"
	ns_exec sw "$BUILD/tests/e2e/fastpath_order" "$@" "${ports[@]}" \
		-- fpm <"$T/go" >"$T/order" &
	ORDER=$!
	lib_pids+=("$ORDER")
	exec 9>"$T/go"
	wait_until 15 grep -q '^ready' "$T/order"
}

# Leaves its exit status in STATUS, its counts on stderr and in $T/order.
order_stop() {
	STATUS=0
	exec 9>&-
	wait "$ORDER" || STATUS=$?
	cat "$T/order" >&2
}

# phase NAME COMMAND...: the command, which makes changes, again and again
phase() {
	local name=$1 count=0 mode=() deadline
	shift
	if [[ $1 == -b ]]; then
		mode=(-b)
		shift
	fi
	order_start "${mode[@]}" || {
		fail "$name" "the frames don't flow"
		order_stop
		return
	}
	fastpath_use "$setting" "${ports[@]}"
	name="$WAY: $name"
	deadline=$((${EPOCHREALTIME/./} + PHASE_US))
	while ((${EPOCHREALTIME/./} < deadline || count < ROUNDS_MIN)); do
		"$@" >&2
		count=$((count + 1))
	done
	order_stop
	claim_equal "$name" "0 lost, 0 twice, 0 reordered" "$(tail -n 1 \
		"$T/order" | jq -r 'select(.sent > 1000) |
		"\(.lost) lost, \(.twice) twice, \(.reordered) reordered"')"
	((STATUS == 0)) || show_losses
}

# Where frames may have gone that were lost.
show_losses() {
	local dev
	ctl -j stats show | jq -c '{rx: .rx.drops, tx: .tx.drops} |
		map_values(with_entries(select(.value > 0)))' >&2
	for dev in "${ports[@]}"; do
		ctl -j port show "$dev" |
			jq -c '[.name, .rx.missed, .rx.drops, .tx.drops,
				.["fast-path"]]' >&2
		sw_ip -s link show dev "$dev" >&2
	done
}

nothing() {
	ctl switch show
}

flush() {
	ctl fdb flush
}

mirror() {
	ctl mirror add m to=fpm from=fpa,fpb
	ctl mirror remove m
}

# In VLAN 1 they are all the time, but a port that knows of VLANs is another one.
vlan() {
	ctl port set fpa mode=access vlan=1
	ctl port set fpb mode=trunk vlan=1
	ctl port set fpa mode= vlan=
	ctl port set fpb mode= vlan=
}

isolation() { # an uplink may talk to all
	ctl port set fpc uplink=yes
	ctl port set fpc uplink=no
}

static() {
	ctl fdb add 02:00:00:5e:00:02 port=fpb
	ctl fdb remove 02:00:00:5e:00:02
}

newcomer() {
	ctl port attach other type=dummy
	ctl port detach other
}

toggle() {
	ctl switch set fast-path=no
	ctl switch set fast-path=yes
}

toggle_port() {
	ctl port set fpb fast-path=no
	ctl port set fpb fast-path=yes
}

changes=(flush mirror vlan isolation static newcomer)

everything() {
	local change
	for change in "${changes[@]}"; do
		"$change"
	done
}

fastpath_settings fpa
for setting in "${SETTINGS[@]}"; do
	phase "nothing changes" nothing
	phase "addresses are forgotten" flush
	phase "a mirror comes and goes" mirror
	phase "ports get a VLAN mode and lose it" vlan
	if [[ $setting == yes ]]; then
		phase "the fast path is turned off and on" toggle
		phase "the fast path of a port is turned off and on" toggle_port
		changes+=(toggle toggle_port)
	fi
	phase "all of this, and more" everything
	phase "all of this, and writers that may sleep" -b everything
done
claim "the ledgers close" wait_until 5 ledgers_close
for dev in "${ports[@]}" fpm; do
	ctl port detach "$dev" >&2
	sw_ip link del "$dev"
done
finish
