#!/usr/bin/python3 -B
"""Guests that need no privilege connect to listeners of one switch.

    QEMU a --- stream --- lab.1 \\
    QEMU b --- stream --- lab.2  switchd  uml.1 --- seqpacket --- UML
    10.77.0.1, .2                                             10.77.0.3
"""

import guest
import lab

STREAM = "/run/switchd/lab.sock"
RECORDS = "/run/switchd/uml.sock"


def test(place):
    switch = place.switch({"listeners": [
        {"name": "lab", "type": "stream", "listen": STREAM},
        {"name": "uml", "type": "seqpacket", "listen": RECORDS}]})
    netdev = f"stream,server=off,addr.type=unix,addr.path={STREAM}"
    a = guest.qemu("a", lab.BOOT, netdev, "52:54:00:77:00:01")
    b = guest.qemu("b", lab.BOOT, netdev, "52:54:00:77:00:02")
    u = guest.uml("u", lab.BOOT, f"vec0:transport=bess,dst={RECORDS},"
                  "mac=52:54:00:77:00:03")
    for number, each in enumerate((a, b, u), 1):
        each.ready().address(f"10.77.0.{number}/24")

    with place.claim("each_guest_is_a_port_of_its_listener"):
        assert set(switch.ports()) == {"lab.1", "lab.2", "uml.1"}, \
            switch.ports()

    with place.claim("guests_of_one_listener_ping_each_other"):
        a.ping("10.77.0.2")

    with place.claim("guests_of_two_listeners_ping_each_other"):
        u.ping("10.77.0.1")
        b.ping("10.77.0.3")

    with place.claim("a_file_arrives_unchanged_between_streams"):
        sent, got = guest.transfer(a, b, "10.77.0.1", 2)
        assert sent == got, f"{sent} became {got}"

    with place.claim("a_file_arrives_unchanged_from_stream_to_records"):
        sent, got = guest.transfer(b, u, "10.77.0.2", 2)
        assert sent == got, f"{sent} became {got}"

    with place.claim("a_guest_that_ends_takes_its_port_along"):
        u.kill()
        lab.until(lambda: set(switch.ports()) == {"lab.1", "lab.2"},
                  "uml.1 is gone")

    a.stop()
    b.stop()


lab.run(test, "listeners", ["qemu-system-x86_64", "linux.uml"])
