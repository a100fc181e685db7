#!/usr/bin/python3 -B
"""A QEMU guest reaches the outside by a port of type slirp.

    guest --- t1 [port t1]  switchd  [port nat] switchd-slirp --- 192.0.2.1, lo

It gets its lease there and fetches a file from a web server of the namespace
that the switch is in, while the switch process dies.
"""

import os
import signal

import guest
import lab
import outside

MEGABYTES = 8


def switch_process(switch):
    """The monitor's child that isn't a NAT."""
    pid = switch.process.pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(child) for child in file.read().split()]
    for child in children:
        with open(f"/proc/{child}/cmdline", "rb") as file:
            if not file.read().startswith(b"switchd-slirp\0"):
                return child
    raise AssertionError(f"no switch process among {children}")


def test(place):
    switch = place.switch({"ports": []})
    if not os.path.exists(os.environ["SWITCHD_SLIRP"]):
        with place.claim("a_switchd_without_libslirp_says_so"):
            answer = switch.ctl("port", "attach", "nat", "type=slirp")
            assert "not-built" in answer.stderr, answer.stderr
        return
    sent = outside.serve(MEGABYTES)

    a = guest.qemu("a", lab.BOOT, f"tap,ifname=t1,script={lab.IFUP},"
                   f"downscript={lab.IFDOWN}", "52:54:00:77:00:01")
    switch.result("port", "attach", "nat", "type=slirp")
    a.ready()

    with place.claim("a_qemu_guest_gets_its_lease_by_slirp"):
        a.check(outside.LEASE)
        address = a.check("ip -4 -o addr show dev eth0").split()[3]
        assert address == "10.0.2.15/24", address

    with place.claim("it_pings_the_gateway"):
        a.ping("10.0.2.2")

    with place.claim("it_has_an_ipv6_address_by_advertisement"):
        lab.until(lambda: "inet6 fd00:" in a.check("ip -6 addr show dev eth0"),
                  "an address in fd00::/64")

    with place.claim("a_file_from_outside_arrives_unchanged"):
        a.check(guest.FETCH.format(outside.ADDRESS))
        got = a.check("sha256sum /tmp/got").split()[0]
        assert got == sent, f"{sent} became {got}"

    with place.claim("one_arrives_unchanged_while_the_switch_process_dies"):
        a.check("rm /tmp/got; { " + guest.FETCH.format(outside.ADDRESS) + "; } &")
        lab.until(lambda: a.run("test -s /tmp/got")[0] == 0, "it comes")
        os.kill(switch_process(switch), signal.SIGKILL)
        came = int(a.check("stat -c %s /tmp/got"))
        assert came < MEGABYTES << 20, "it died too late"
        lab.until(lambda: a.check("sha256sum /tmp/got").split()[0] == sent,
                  "the file is whole", 20)
    a.stop()


lab.run(test, "slirp", ["qemu-system-x86_64"])
