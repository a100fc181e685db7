#!/usr/bin/python3 -B
"""Two QEMU guests without a device, by datagrams: Unix sockets and UDP.

    guest a --- Unix sockets --- [port a]  switchd  [port b] --- UDP --- guest b
    10.77.0.1                                                        10.77.0.2

QEMU's -netdev dgram knows nothing of a switch: a frame a datagram.
"""

import guest
import lab

SWITCH, QEMU = "/run/lab/a.switch", "/run/lab/a.qemu"
PORTS = [
    {"name": "a", "type": "dgram", "local": SWITCH, "remote": QEMU},
    {"name": "b", "type": "udp", "local": "127.0.0.1:4444",
     "remote": "127.0.0.1:4445"},
]


def start_a():
    """The guest with Unix sockets, not waited for."""
    return guest.qemu(
        "a", lab.BOOT,
        f"dgram,local.type=unix,local.path={QEMU},"
        f"remote.type=unix,remote.path={SWITCH}", "52:54:00:77:00:01")


def start_b():
    """The guest with UDP, not waited for."""
    return guest.qemu(
        "b", lab.BOOT,
        "dgram,local.type=inet,local.host=127.0.0.1,local.port=4445,"
        "remote.type=inet,remote.host=127.0.0.1,remote.port=4444",
        "52:54:00:77:00:02")


def test(place):
    switch = place.switch({"daemon": {"allow": {"sockets": ["/run/lab/*"]}},
                           "ports": PORTS})
    events = switch.events()

    with place.claim("a_port_waits_for_its_guest"):
        assert switch.ports()["a"]["state"] == "no-carrier", switch.ports()
    a, b = start_a(), start_b()
    with place.claim("the_guest_is_found_when_it_starts"):
        event = events.wait("port.link", "a")
        assert event["condition"] == "running", event
    a.ready().address("10.77.0.1/24")
    b.ready().address("10.77.0.2/24")

    with place.claim("guests_ping_each_other"):
        a.ping("10.77.0.2")
        b.ping("10.77.0.1")

    with place.claim("guests_ping_each_other_with_full_size_frames"):
        a.ping("10.77.0.2", "-s", "1472")

    with place.claim("a_file_arrives_unchanged_by_unix_sockets"):
        sent, got = guest.transfer(b, a, "10.77.0.2", 2)
        assert sent == got, f"{sent} became {got}"

    with place.claim("a_file_arrives_unchanged_by_udp"):
        sent, got = guest.transfer(a, b, "10.77.0.1", 2)
        assert sent == got, f"{sent} became {got}"

    with place.claim("a_killed_guest_comes_back_to_its_port"):
        a.kill()
        a = start_a().ready()
        a.address("10.77.0.1/24")
        a.ping("10.77.0.2")

    with place.claim("both_ledgers_close"):
        stats = switch.result("stats", "show")
        rx, tx = stats["rx"], stats["tx"]
        assert rx["frames"] == rx["forwarded"] + rx["dropped"], rx
        assert tx["copies"] == tx["frames"] + tx["dropped"], tx

    for each in (a, b):
        each.stop()


lab.run(test, "socket_guests", ["qemu-system-x86_64"])
