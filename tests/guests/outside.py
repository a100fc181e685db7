"""What is outside of a NAT: a web server in the test's own namespace, which
isn't on the switch, and how a guest asks for an address."""

import functools
import hashlib
import http.server
import os
import threading

import lab

ADDRESS = "192.0.2.1"

# Ours sets no route.
LEASE = r"""printf '%s\n' '#!/bin/sh' '[ "$1" = bound ] || exit 0' \
'ip addr add "$ip/$mask" dev "$interface"' \
'ip route add default via "$router"' >/tmp/lease && chmod +x /tmp/lease &&
ip link set eth0 up && udhcpc -i eth0 -n -q -t 10 -T 1 -s /tmp/lease""" \
    .replace("\\\n", "").replace("\n", " ")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Doesn't say who asks."""

    def log_message(self, *_):
        pass


def serve(megabytes):
    """A web server at ADDRESS with a file, "sent"; returns the file's SHA-256
    sum."""
    lab.command("ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo")
    folder = os.path.join(lab.FOLDER, "www")
    os.mkdir(folder)
    data = os.urandom(megabytes << 20)
    with open(os.path.join(folder, "sent"), "wb") as file:
        file.write(data)
    server = http.server.ThreadingHTTPServer(
        (ADDRESS, 80), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return hashlib.sha256(data).hexdigest()
