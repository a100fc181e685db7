#!/usr/bin/python3 -B
"""Guests that speak VDE's and uml_switch's protocols, and one with a TAP.

    UML, eth0=vde ------------- v.1 ---+
    QEMU, -netdev vde,port=5 -- v.5 ---+
    UML, eth0=daemon -- v's ctl, v.2 --+-- switchd -- [netdev] t1 --- UML
    UML, eth0=daemon ---------- u.1 ---+                         10.77.0.9
"""

import guest
import lab

V = f"{lab.FOLDER}/vde"
U = f"{lab.FOLDER}/uml.ctl"
CONFIG = {
    "daemon": {"allow": {"sockets": [f"{lab.FOLDER}/*"]}},
    "listeners": [{"name": "v", "type": "vde", "listen": V},
                  {"name": "u", "type": "uml", "listen": U}]}


def mac(number):
    return f"52:54:00:77:00:{number:02x}"


def arrives(place, name, source, sink, address):
    """A claim: a file does, unchanged."""
    with place.claim(f"a_file_from_{name}_arrives_unchanged"):
        sent, got = guest.transfer(source, sink, address, 4)
        assert sent == got, f"{sent} became {got}"


def test(place):
    switch = place.switch(CONFIG)
    events = switch.events()
    lab.command("ip", "tuntap", "add", "t1", "mode", "tap")
    switch.result("port", "attach", "tap", "type=netdev", "ifname=t1")

    # A port is there when its guest's device is up: one after the other, or
    # their numbers would be anybody's.
    guests = {"qemu": guest.qemu("qemu", lab.BOOT, f"vde,sock={V},port=5",
                                 mac(5))}
    events.wait("port.attached", "v.5")
    for name, transport, port in (
            ("uml_vde", f"eth0=vde,{V},{mac(1)}", "v.1"),
            ("uml_daemon_vde", f"eth0=daemon,{mac(2)},unix,{V}/ctl", "v.2"),
            ("uml_daemon", f"eth0=daemon,{mac(3)},unix,{U}", "u.1")):
        guests[name] = guest.uml(name, lab.BOOT, transport)
        with place.claim(f"{name}_is_a_port_of_its_listener"):
            each = guests[name].ready()
            each.address(f"10.77.0.{len(guests)}/24")
            events.wait("port.attached", port)
    guests["qemu"].ready().address("10.77.0.1/24")
    peer = guest.uml("tap", lab.BOOT, "vec0:transport=tap,ifname=t1,"
                     f"depth=128,gro=1,mac={mac(9)}")
    peer.ready().address("10.77.0.9/24")

    with place.claim("each_has_the_port_that_it_asked_for"):
        assert set(switch.ports()) == {"tap", "u.1", "v.1", "v.2", "v.5"}, \
            switch.ports()
    for name, each in guests.items():
        with place.claim(f"{name}_pings_the_guest_with_a_tap"):
            each.ping("10.77.0.9")
    with place.claim("all_see_each_other"):
        for number in range(2, len(guests) + 1):
            guests["qemu"].ping(f"10.77.0.{number}")
    arrives(place, "qemu_to_the_tap", guests["qemu"], peer, "10.77.0.1")
    arrives(place, "uml_vde_to_qemu", guests["uml_vde"], guests["qemu"],
            "10.77.0.2")
    arrives(place, "the_tap_to_uml_daemon", peer, guests["uml_daemon"],
            "10.77.0.9")

    with place.claim("a_guest_that_is_killed_has_no_port_any_more"):
        guests["uml_daemon"].kill()
        events.wait("port.detached", "u.1")
        guests["qemu"].kill()
        events.wait("port.detached", "v.5")
    for each in guests.values():
        each.stop()
    peer.stop()


lab.run(test, "vde_guests", ["qemu-system-x86_64", "linux.uml"])
