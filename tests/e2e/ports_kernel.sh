#!/bin/bash
# The port types tap and netdev, and the link monitor, against this kernel's
# devices. The program makes namespaces of its own and writes the claims.
exec "${BUILD:-$(dirname "$0")/../../.build/plain}/tests/e2e/ports_kernel"
