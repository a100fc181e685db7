#!/usr/bin/python3 -B
"""A User-Mode Linux guest and a QEMU guest on one switch.

    UML       --- t1 [port uml]  switchd  [port t2] t2 --- QEMU
    10.77.0.1                                              10.77.0.2

UML's vector driver opens a TAP device that is there already and attached;
QEMU makes its own.
"""

import guest
import lab


def test(place):
    switch = place.switch({})
    lab.command("ip", "tuntap", "add", "t1", "mode", "tap")
    with place.claim("a_tap_without_a_guest_attaches_as_netdev"):
        switch.result("port", "attach", "uml", "type=netdev", "ifname=t1")

    a = guest.uml("a", lab.BOOT, "vec0:transport=tap,ifname=t1,depth=128,"
                  "gro=1,mac=52:54:00:77:00:01")
    b = guest.qemu(
        "b", lab.BOOT,
        f"tap,ifname=t2,script={lab.IFUP},downscript={lab.IFDOWN}",
        "52:54:00:77:00:02")
    a.ready().address("10.77.0.1/24")
    b.ready().address("10.77.0.2/24")

    with place.claim("uml_and_qemu_ping_each_other"):
        a.ping("10.77.0.2")
        b.ping("10.77.0.1")

    with place.claim("a_file_from_uml_arrives_unchanged_in_qemu"):
        sent, got = guest.transfer(a, b, "10.77.0.1")
        assert sent == got, f"{sent} became {got}"

    with place.claim("a_file_from_qemu_arrives_unchanged_in_uml"):
        sent, got = guest.transfer(b, a, "10.77.0.2")
        assert sent == got, f"{sent} became {got}"

    with place.claim("a_port_on_a_persistent_tap_outlives_its_guest"):
        a.kill()
        a = guest.uml("a2", lab.BOOT, "vec0:transport=tap,ifname=t1,"
                      "depth=128,gro=1,mac=52:54:00:77:00:01")
        a.ready().address("10.77.0.1/24")
        assert set(switch.ports()) == {"uml", "t2"}, switch.ports()
        a.ping("10.77.0.2")

    a.stop()
    b.stop()


lab.run(test, "uml_and_qemu", ["qemu-system-x86_64", "linux.uml"])
