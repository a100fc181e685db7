#!/usr/bin/python3 -B
"""QEMU guests of every kind as front ends of vhost-user, two by two.

    guest e --- p1, the switch listens   [port p1]  switchd  [port host] sw0
    guest f --- p2, QEMU listens         [port p2]           this namespace
    10.77.0.5, 10.77.0.6                                     10.77.0.254
"""

import guest
import lab

HOST = "10.77.0.254"

ALL_OFF = "".join(f",{each}=off" for each in (
    "csum", "guest_csum", "gso", "host_tso4", "host_tso6", "host_ecn",
    "host_ufo", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo"))
# Pairs of guests that talk to each other: what each is, its device's
# properties, other options of qemu_vhost(). A microvm's rings are of 1024,
# which takes too much memory where buffers aren't mergeable; a q35's of 256.
Q35 = {"q35": True}
BANKS = 4
KINDS = (
    (("without_mergeable_buffers", ",mrg_rxbuf=off", Q35),
     ("without_offloads", ALL_OFF, {})),
    (("with_packed_rings", ",packed=on", {}),
     ("with_rings_of_512", ",rx_queue_size=512,tx_queue_size=512", Q35)),
    (("with_packed_rings_not_mergeable", ",packed=on,mrg_rxbuf=off", Q35),
     ("without_event_index_nor_indirect_descriptors",
      ",event_idx=off,indirect_desc=off", {})),
    (("with_banks_of_memory", "", {"q35": True, "banks": BANKS}),
     ("with_two_queue_pairs", "", {"queues": 2, "more": ("-smp", "2")})),
)


def vhost(name, path, number, device="", **options):
    """A guest on a vhost-user port, not waited for."""
    return guest.qemu_vhost(name, lab.BOOT, f"{lab.VHOST}/{path}",
                            f"52:54:00:77:00:{number:02x}", device=device,
                            **options)


def every_kind(place, switch):
    """All of KINDS."""
    for (kind1, device1, options1), (kind2, device2, options2) in KINDS:
        e = vhost("e", "p1,reconnect=1", 5, device1, **options1)
        f = vhost("f", "p2,server=on,wait=off", 6, device2, **options2)
        with place.claim(f"guests_{kind1}_and_{kind2}_talk"):
            e.ready().address("10.77.0.5/24")
            f.ready().address("10.77.0.6/24")
            e.ping("10.77.0.6", "-s", "1472")
            guest.same_file(e, f, "10.77.0.5", 2)
            guest.same_file(f, e, "10.77.0.6", 2)
            e.ping(HOST)
            f.ping(HOST)
        if "banks" in options1:
            with place.claim("the_switch_has_all_banks_of_its_memory"):
                known = switch.port("p1")["guest"]
                assert known["regions"] >= BANKS, known
        if "queues" in options2:
            with place.claim("both_queue_pairs_carry_frames_both_ways"):
                both_pairs(switch, e, f)
        e.stop()
        f.stop()
        for name in ("p1", "p2"):
            switch.vhost(name, "waiting")


def both_pairs(switch, e, f):
    """Flows of many ports reach f, and either of its processors sends."""
    for _ in range(16):
        e.check("nc 10.77.0.6 80")
    for processor in (1, 2):
        f.check(f"taskset {processor} ping -c 1 10.77.0.5")
    rings = switch.port("p2")["guest"]["rings"]
    assert len(rings) == 4, rings
    assert all(ring["frames"] for ring in rings), rings


def too_old(place, switch):
    """A guest of before VIRTIO 1.0: its rings could be of another byte order,
    and it has no way to be told no but that nothing happens."""
    port = switch.port("p1")
    before = port["rx"]["frames"], port["tx"]["frames"]
    e = vhost("e", "p1", 5, legacy=True)
    with place.claim("a_guest_without_version_1_is_refused_with_a_reason"):
        e.ready().address("10.77.0.5/24")
        lab.until(lambda: "VERSION_1" in
                  switch.port("p1")["guest"].get("reason", ""), "a reason")
        e.run("ping -c 1 -W 1 10.77.0.254")
        port = switch.port("p1")
        assert port["state"] != "up", port
        assert (port["rx"]["frames"], port["tx"]["frames"]) == before, port
    e.kill()
    with place.claim("its_port_is_well_when_it_is_gone"):
        known = switch.vhost("p1", "waiting")
        assert "reason" not in known, known


def test(place):
    lab.quiet()
    switch = place.switch({"ports": [
        {"name": "p1", "type": "vhost-user", "path": f"{lab.VHOST}/p1"},
        {"name": "p2", "type": "vhost-user", "path": f"{lab.VHOST}/p2",
         "role": "client", "queues": 2},
        {"name": "host", "type": "tap", "ifname": "sw0",
         "address": f"{HOST}/24"}]})
    every_kind(place, switch)
    too_old(place, switch)


lab.run(test, "vhost_kinds", ["qemu-system-x86_64"])
