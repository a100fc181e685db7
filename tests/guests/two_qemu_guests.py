#!/usr/bin/python3 -B
"""Two QEMU guests, attached by QEMU's own script hooks.

    guest a --- t1 [port t1]  switchd  [port t2] t2 --- guest b
    10.77.0.1                                           10.77.0.2

QEMU makes the devices and runs etc/qemu-ifup, which attaches them. Guests
then end in all the ways they do: killed, restarted at once, powered off.
"""

import guest
import lab


def start(name, ifname, number):
    """A guest on the TAP device `ifname`, not waited for."""
    return guest.qemu(
        name, lab.BOOT,
        f"tap,ifname={ifname},script={lab.IFUP},downscript={lab.IFDOWN}",
        f"52:54:00:77:00:{number:02x}")


def test(place):
    switch = place.switch({})
    events = switch.events()

    a, b = start("a", "t1", 1), start("b", "t2", 2)
    with place.claim("qemu_ifup_attaches_both_guests"):
        events.wait("port.attached", "t1")
        events.wait("port.attached", "t2")
    a.ready().address("10.77.0.1/24")
    b.ready().address("10.77.0.2/24")

    with place.claim("port_list_shows_both_guests"):
        ports = switch.ports()
        assert set(ports) == {"t1", "t2"}, ports
        for name, port in ports.items():
            assert port["type"] == "netdev", port
            assert port["ifname"] == name, port

    with place.claim("a_guests_port_is_not_part_of_the_configuration"):
        config = switch.result("config", "show")
        assert config["ports"] == [], config

    with place.claim("guests_ping_each_other"):
        a.ping("10.77.0.2")
        b.ping("10.77.0.1")

    with place.claim("guests_ping_each_other_with_full_size_frames"):
        a.ping("10.77.0.2", "-s", "1472")

    with place.claim("a_file_arrives_unchanged"):
        sent, got = guest.transfer(a, b, "10.77.0.1")
        assert sent == got, f"{sent} became {got}"

    with place.claim("tcp_crosses_the_switch_in_super_frames"):
        stats = switch.result("stats", "show")["rx"]
        assert stats["segments"] > 2 * stats["frames"], stats

    with place.claim("both_ledgers_close"):
        stats = switch.result("stats", "show")
        rx, tx = stats["rx"], stats["tx"]
        assert rx["frames"] == rx["forwarded"] + rx["dropped"], rx
        assert tx["copies"] == tx["frames"] + tx["dropped"], tx

    with place.claim("a_tagged_frame_keeps_its_tag_between_guests"):
        for each, address in ((a, "10.78.0.1/24"), (b, "10.78.0.2/24")):
            each.check("ip link add link eth0 name eth0.9 type vlan id 9 && "
                       f"ip addr add {address} dev eth0.9 && "
                       "ip link set eth0.9 up")
        a.ping("10.78.0.2")

    a.kill()
    with place.claim("a_killed_guest_is_detached_with_an_event"):
        event = events.wait("port.detached", "t1")
        assert event["reason"] == "device-gone", event
        assert set(switch.ports()) == {"t2"}, switch.ports()

    with place.claim("a_guest_attaches_again_under_the_same_ifname"):
        a = start("a", "t1", 1).ready()
        a.address("10.77.0.1/24")
        a.ping("10.77.0.2")

    with place.claim("a_killed_guest_that_restarts_at_once_attaches_again"):
        b.kill()
        b = start("b", "t2", 2).ready()
        b.address("10.77.0.2/24")
        a.ping("10.77.0.2")
        assert set(switch.ports()) == {"t1", "t2"}, switch.ports()
        events.wait("port.detached", "t2")

    with place.claim("qemu_ifdown_detaches_a_guest_that_powers_off"):
        b.stop()
        assert b.process.returncode == 0, b.process.returncode
        event = events.wait("port.detached", "t2")
        # Before the device went: by the script, not by its going.
        assert event["reason"] == "request", event
        assert set(switch.ports()) == {"t1"}, switch.ports()

    with place.claim("without_a_switch_qemu_ifup_fails_with_a_message"):
        a.stop()
        assert switch.stop() == 0
        status, output = start("c", "t3", 3).wait(20)
        assert status == 1, status
        assert "qemu-ifup: can't attach t3 to the switch" in output, output


lab.run(test, "two_qemu_guests", ["qemu-system-x86_64"])
