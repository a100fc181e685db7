#!/bin/bash
# The monitor's half of the kernel fast path, call by call, with this kernel's
# maps, programs and devices. The program writes the claims.
B=${BUILD:-$(dirname "$0")/../../.build/plain}
if "$B/switchd/switchd" -V | grep -q 'without the kernel fast path'; then
	echo "ok - the kernel fast path # SKIP built without it"
	echo "1..1"
	exit
fi
CMOCKA_MESSAGE_OUTPUT=TAP exec "$B/tests/e2e/fastpath_calls"
