#!/bin/bash
# A switch that may have few descriptors: what is too much is refused, and
# nothing else is lost by it.
#
#	f0, f1, .. TAPs in sw, as many as go
. "$(dirname "$0")/tools.sh"

printf '#!/bin/sh\nexec prlimit --nofile=96:96 "%s" "$@"\n' "$SWITCHD" \
	>"$T/limited"
chmod +x "$T/limited"
SWITCHD=$T/limited
switchd_start

fill() { # sets `n`, the ports that went
	for ((n = 0; n < 96; n++)); do
		ctl port attach "f$n" type=tap ifname="f$n" \
			>"$T/attach" 2>&1 || return 0
	done
}
n=0
fill
claim "some ports go" test "$n" -gt 10
claim "one too many is refused, and says what to raise" grep -q \
	'LimitNOFILE.*no-descriptor' "$T/attach"
claim "its device isn't left" link_gone sw "f$n"
claim "the monitor isn't taken for gone" ctl_is '.monitor == "connected"' \
	switch show
claim "one may go" ctl port detach f0
one_more() {
	ctl port attach again type=tap ifname=again
}
claim "and another one come" wait_until 5 one_more

was=$(switch_pid)
kill -KILL "$was"
claim "killed, it comes back" wait_until 10 answers_other_than "$was"
claim "with all of them" ctl_is ".ports | length == $n" port list
claim "an upgrade is done" ctl switch upgrade
claim "and has all of them, too" ctl_is ".ports | length == $n" port list

# More clients than it can let in.
mkfifo "$T/go"
"$PYTHON" - "$SOCKET" "$T/go" <<'PY' &
import socket
import sys
held = []
for _ in range(96):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    held.append(s)
open(sys.argv[2] + ".ready", "w").close()
with open(sys.argv[2]) as f:
    f.read()
PY
lib_pids+=("$!")
wait_until 10 test -e "$T/go.ready"
: >"$T/go"
claim "a crowd of clients goes, and it answers" wait_until 10 switchd_answers
claim "with its monitor" ctl_is '.monitor == "connected"' switch show
claim "and all ports" ctl_is ".ports | length == $n" port list
claim "it ends cleanly" switchd_stop
finish
