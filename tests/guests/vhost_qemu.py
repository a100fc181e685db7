#!/usr/bin/python3 -B
"""QEMU as a front end of vhost-user.

    guest a --- v1, the switch listens   [port v1]  switchd  [port t3] guest c
    guest b --- v2, QEMU listens         [port v2]  |        its TAP
                                                    +--- [port host] sw0
                                                         this namespace

Each has the address 10.77.0.N; this namespace is 10.77.0.254.
"""

import contextlib
import subprocess

import guest
import lab

HOST = "10.77.0.254"
IDLE_SECONDS = 2
IDLE_SLEEPS = 40        # of all threads: their clocks, a housekeeping
IDLE_CPU = 0.05         # seconds: some ticks of an accounting by ticks


def vhost(name, path, number, device="", **options):
    """A guest on a vhost-user port, not waited for."""
    return guest.qemu_vhost(name, lab.BOOT, f"{lab.VHOST}/{path}",
                            f"52:54:00:77:00:{number:02x}", device=device,
                            **options)


def three_guests(place, switch):
    """Guests a, b and c, and what they have to do with each other."""
    a = vhost("a", "v1,reconnect=1", 1)
    b = vhost("b", "v2,server=on,wait=off", 2)
    c = guest.qemu("c", lab.BOOT, "tap,ifname=t3,script=" +
                   f"{lab.IFUP},downscript={lab.IFDOWN}", "52:54:00:77:00:03")
    with place.claim("qemu_connects_to_a_port_that_listens"):
        a.ready()
        switch.vhost("v1", "running")
    with place.claim("a_port_connects_to_a_qemu_that_listens"):
        b.ready()
        switch.vhost("v2", "running")
    c.ready()
    for number, each in enumerate((a, b, c), 1):
        each.address(f"10.77.0.{number}/24")

    with place.claim("guests_on_vhost_user_ping_each_other"):
        a.ping("10.77.0.2")
        b.ping("10.77.0.1")
        a.ping("10.77.0.2", "-s", "1472")
    with place.claim("they_ping_a_guest_on_a_tap_and_a_namespace"):
        for each in (a, b):
            each.ping("10.77.0.3")
            each.ping(HOST)
            each.ping(HOST, "-s", "4000")
    with place.claim("a_file_arrives_unchanged_both_ways"):
        guest.same_file(a, b, "10.77.0.1")
        guest.same_file(b, a, "10.77.0.2")
    with place.claim("a_file_arrives_unchanged_to_and_from_a_tap"):
        guest.same_file(a, c, "10.77.0.1")
        guest.same_file(c, b, "10.77.0.3")
    with place.claim("a_file_arrives_unchanged_from_a_namespace"):
        source = lab.Source(HOST)
        sink = guest.Sink(a, HOST)
        lab.until(lambda: source.bytes > 4_000_000, "4 MB are sent")
        sent, got = source.finish(), sink.sum()
        assert sent == got, f"{sent} became {got}"
    with place.claim("tcp_leaves_and_reaches_a_guest_in_super_frames"):
        for name in ("v1", "v2"):
            port = switch.port(name)
            for way in ("rx", "tx"):
                assert port[way]["segments"] > 2 * port[way]["frames"], port
    with place.claim("a_tagged_frame_keeps_its_tag"):
        for number, each in enumerate((a, b, c), 1):
            each.check("ip link add link eth0 name eth0.9 type vlan id 9 && "
                       f"ip addr add 10.78.0.{number}/24 dev eth0.9 && "
                       "ip link set eth0.9 up")
        a.ping("10.78.0.2")
        c.ping("10.78.0.1")
        assert switch.result("fdb", "list", "vlan=9")["entries"]
    return a, b, c


def idle(place, switch, guests):
    """Who has nothing to do costs nothing."""
    for each in guests:
        each.check("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
    with place.claim("an_idle_guest_costs_no_cpu_and_few_wake_ups"):
        cpu, sleeps = switch.cost()
        with contextlib.suppress(subprocess.TimeoutExpired):
            switch.process.wait(IDLE_SECONDS)
        after, more = switch.cost()
        assert after - cpu <= IDLE_CPU, f"{after - cpu} s of CPU"
        assert more - sleeps <= IDLE_SLEEPS, f"{more - sleeps} wake-ups"


def ledgers(place, switch):
    """Not a frame is unaccounted for."""
    with place.claim("both_ledgers_close"):
        stats = switch.result("stats", "show")
        rx, tx = stats["rx"], stats["tx"]
        assert rx["frames"] == rx["forwarded"] + rx["dropped"], rx
        assert tx["copies"] == tx["frames"] + tx["dropped"], tx


def test(place):
    lab.quiet()
    switch = place.switch({"ports": [
        {"name": "v1", "type": "vhost-user", "path": f"{lab.VHOST}/v1"},
        {"name": "v2", "type": "vhost-user", "path": f"{lab.VHOST}/v2",
         "role": "client"},
        {"name": "host", "type": "tap", "ifname": "sw0",
         "address": f"{HOST}/24"}]})
    with place.claim("ports_without_a_front_end_are_waiting"):
        for name in ("v1", "v2"):
            assert switch.port(name)["guest"]["condition"] == "waiting"
    guests = three_guests(place, switch)
    idle(place, switch, guests)
    ledgers(place, switch)


lab.run(test, "vhost_qemu", ["qemu-system-x86_64"])
