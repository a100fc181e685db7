#!/bin/bash
# etc/quickstart shows a switch at work, and leaves nothing behind however it
# ends. With `full` it also builds one from a copy of the tree.
#
#	its own topology, drawn there
. "$(dirname "$0")/lib.sh"

# Its folder for state: what is in here afterwards was left behind.
state=$T/state
mkdir "$state"

# Starts it in the background as from a terminal, where Ctrl-C isn't ignored;
# sets PID, which is also in the names of what it makes.
launch() { # OUTPUT [ARGUMENT...]
	local out=$1
	shift
	env --default-signal=INT,TERM TMPDIR="$state" SWITCHD="$SWITCHD" \
		SWITCHCTL="$SWITCHCTL" "$SRC/etc/quickstart" "$@" \
		</dev/null >"$out" 2>&1 &
	PID=$!
	lib_pids+=("$PID")
}

# Its exit status, or 124 where it doesn't end.
status_of() { # PID
	local status=0
	wait_until 60 lib_gone "$1" || return 124
	wait "$1" || status=$?
	return "$status"
}

has_ended_well() { # PID OUTPUT
	status_of "$1" && return
	echo "it says:" >&2
	cat "$2" >&2
	return 1
}

nothing_left_of() { # PID
	local left
	left=$(ls -A "$state"
		compgen -G "/run/netns/swq$1-*"
		grep -alF "$state" /proc/[0-9]*/cmdline 2>/dev/null) || true
	[[ -z $left ]] || {
		echo "left behind: $left" >&2
		return 1
	}
}

count() { # WANT EXTENDED-REGULAR-EXPRESSION FILE
	local got
	got=$(grep -cE "$2" "$3" || true)
	[[ $got == "$1" ]] || {
		echo "$got lines with $2, not $1, in:" >&2
		cat "$3" >&2
		return 1
	}
}

# ---- to the end ------------------------------------------------------------

launch "$T/out"
first=$PID
launch "$T/out2"
second=$PID
claim "quickstart runs to its end" has_ended_well "$first" "$T/out"
claim "a second one at the same time does, too" \
	has_ended_well "$second" "$T/out2"
claim "guests and the uplink reach each other" count 9 ' ttl=64 ' "$T/out"
claim "it lists two guests and an uplink that are up" \
	count 3 '^(vm1 +tap|vm2 +tap|uplink +netdev) .* up ' "$T/out"
claim "it lists their addresses" \
	count 3 '^[0-9a-f:]{17} +1 +(vm1|vm2|uplink) ' "$T/out"
claim "it shows the counters" count 1 '^  learned: 3$' "$T/out"
claim "it leaves nothing behind" nothing_left_of "$first"
claim "the second one leaves nothing behind" nothing_left_of "$second"

# ---- interrupted -----------------------------------------------------------

for heading in "A switch" "Two guests" "They talk" "What was captured"; do
	launch "$T/out"
	wait_until 30 grep -q "^$heading" "$T/out" || true
	kill -INT "$PID"
	status=0
	status_of "$PID" || status=$?
	claim_equal "Ctrl-C at \"$heading\" ends it" 130 "$status"
	claim "Ctrl-C at \"$heading\" leaves nothing behind" \
		nothing_left_of "$PID"
done
launch "$T/out"
wait_until 30 grep -q "^They talk" "$T/out" || true
kill -TERM "$PID"
status=0
status_of "$PID" || status=$?
claim_equal "TERM ends it" 143 "$status"
claim "TERM leaves nothing behind" nothing_left_of "$PID"

# ---- a failure -------------------------------------------------------------

echo 'echo "switchd: not today" >&2; exit 1' >"$T/broken"
sed -i '1i #!/bin/sh' "$T/broken"
chmod +x "$T/broken"
SWITCHD=$T/broken launch "$T/out"
status=0
status_of "$PID" || status=$?
claim_equal "a daemon that doesn't start is a failure" 1 "$status"
claim "what the daemon said is shown" count 1 '^switchd: not today$' "$T/out"
claim "a failure leaves nothing behind" nothing_left_of "$PID"

# As on a machine without network that lacks a package.
without_a_package() {
	mkdir "$T/fakes"
	cat >"$T/fakes/dpkg-query" <<-END
		#!/bin/sh
		case \$* in *libmnl-dev*) exit 1 ;; esac
		exec $(command -v dpkg-query) "\$@"
	END
	printf '#!/bin/sh\nexit 100\n' >"$T/fakes/apt-get"
	chmod +x "$T/fakes"/*
	env -u SWITCHD -u SWITCHCTL BUILD="$T/never" TMPDIR="$state" \
		PATH="$T/fakes:$PATH" "$SRC/etc/quickstart" >"$T/out" 2>&1
}

claim_not "a package that can't be had is a failure" without_a_package
claim "it is named" count 1 '^missing packages: libmnl-dev$' "$T/out"

# ---- kept ------------------------------------------------------------------

kept_answers() {
	"$SWITCHCTL" -s "$state/switchd-quickstart.$kept/switchd.sock" \
		port show vm2 &&
		nsenter --net="/run/netns/swq$kept-vm1" ping -c1 -W5 10.9.0.2
}

stop() {
	TMPDIR=$state "$SRC/etc/quickstart" --stop
}

launch "$T/out" --keep
kept=$PID
claim "quickstart --keep runs to its end" has_ended_well "$kept" "$T/out"
claim "it says how to stop it" count 1 '^  etc/quickstart --stop$' "$T/out"
claim "it is up afterwards" kept_answers
launch "$T/out2"
claim "another run doesn't mind" has_ended_well "$PID" "$T/out2"
claim "the kept one is still up" kept_answers
claim "quickstart --stop succeeds" stop
claim "what was stopped leaves nothing behind" nothing_left_of "$kept"
claim "where there is none --stop succeeds as well" stop
claim_not "an unknown option is refused" "$SRC/etc/quickstart" --foo

# ---- from nothing ----------------------------------------------------------

builds_from_a_copy() {
	mkdir "$T/copy"
	tar -C "$SRC" -c --exclude=.git --exclude='.build*' \
		--exclude=autom4te.cache . | tar -C "$T/copy" -x
	rm -f "$T/copy/configure"
	env -u BUILD -u SWITCHD -u SWITCHCTL TMPDIR="$state" \
		"$T/copy/etc/quickstart"
}

if [[ $TEST_FULL == yes ]]; then
	claim "it builds from a fresh copy and runs" builds_from_a_copy
fi
finish
