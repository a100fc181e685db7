#!/bin/bash
# `make install` puts everything where an admin looks for it, below DESTDIR, and
# `make uninstall` takes it away again, except what the admin has changed.
#
#	no network here
. "$(dirname "$0")/lib.sh"

root=$T/root
make_quietly() {
	# The tests may themselves run under make: its jobs aren't ours.
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$BUILD" DESTDIR="$root" "$@" \
		>"$T/make.log" 2>&1 || {
		cat "$T/make.log" >&2
		return 1
	}
}

var() {
	make -s -C "$BUILD" print-"$1"
}

is_installed() {
	[[ -s $root/$1 ]] || {
		echo "not there: $1" >&2
		return 1
	}
}

all_installed() {
	local f
	for f in "$@"; do
		is_installed "$f" || return
	done
}

claim "make install succeeds" make_quietly install
etc=$(var sysconfdir)
claim "daemon and client are installed and run" \
	"$root$(var sbindir)/switchd" -V
claim "QEMU's hooks are executable" \
	test -x "$root$etc/switchd/qemu-ifup" -a \
	-x "$root$etc/switchd/qemu-ifdown"
claim "a first configuration and a sample are there" \
	all_installed "$etc/switchd/switchd.conf" \
	"$(var docdir)/examples/switchd.conf"
claim "the unit names the installed daemon" \
	grep -q "^ExecStart=$(var sbindir)/switchd " \
	"$root$(var systemdsystemunitdir)/switchd.service"
unit=$(var systemduserunitdir)/switchd.service
claim "the users' unit, too" \
	grep -q "^ExecStart=$(var sbindir)/switchd " "$root$unit"
mkdir "$T/run"
sed "s|^ExecStart=|&$root|" "$root$unit" >"$T/switchd.service"
claim "systemd has nothing against it" \
	env XDG_RUNTIME_DIR="$T/run" systemd-analyze --user --man=no verify \
	"$T/switchd.service"
first=$(sed -n "s|^ExecStartPre=/bin/sh -c '\(.*\)' %E/.*|\1|p" "$root$unit")
sh -c "${first//\$\$/\$}" "$T/first.conf"
claim_equal "it makes a first configuration" "{}" "$(cat "$T/first.conf")"
echo '{ "mine": true }' >"$T/first.conf"
sh -c "${first//\$\$/\$}" "$T/first.conf"
claim "and leaves the user's alone" grep -q mine "$T/first.conf"
claim "NetworkManager and networkd are told to keep off" \
	all_installed "$(var prefix)/lib/systemd/network/05-switchd.network" \
	"$(var prefix)/lib/NetworkManager/conf.d/90-switchd.conf"

# What systemd would read and start, where it is installed here.
mkdir "$T/units"
for unit in "$root$(var systemdsystemunitdir)"/*.service; do
	name=${unit##*/}
	sed "s|^ExecStart=|&$root|" "$unit" >"$T/units/$name"
	claim "systemd has nothing against $name" \
		systemd-analyze --man=no verify "$T/units/$name"
done
claim "there are units of all programs that were built" [ \
	"$(cd "$T/units" && echo ./*)" = \
	"$(cd "$root$(var sbindir)" && for f in switchd switchd-libvirt; do
		[[ ! -e $f ]] || echo "./$f.service"
	done | sort | xargs)" ]
SWITCHD=$root$(var sbindir)/switchd
read -ra arguments < <(sed -n 's|^ExecStart=[^ ]*/switchd ||p' \
	"$T/units/switchd.service")
switchd_start "${arguments[@]/#"$etc"/"$root$etc"}"
claim "the unit's command is ready, with the first configuration" \
	ctl_is '.ports == []' port list
switchd_stop

echo '{ "ports": [], "mine": true }' >"$root$etc/switchd/switchd.conf"
claim "a second install succeeds" make_quietly install
claim "a second install leaves the admin's configuration alone" \
	grep -q mine "$root$etc/switchd/switchd.conf"
claim "make uninstall succeeds" make_quietly uninstall
claim_equal "make uninstall leaves the admin's configuration only" \
	"$etc/switchd/switchd.conf" "$(cd "$root" && find . -type f | cut -c2-)"
finish
