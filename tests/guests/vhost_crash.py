#!/usr/bin/python3 -B
"""Front ends whose switch dies, and a switch whose front ends die.

    guest a --- v1, the switch listens   [port v1]  switchd  [port host] sw0
    guest b --- v2, QEMU listens,        [port v2]           this namespace
                packed rings at first

A guest that had to connect anew would see its carrier go: none may, but where
its own process or all of the switch ended. TCP runs from a to b meanwhile, and
this namespace pings.
"""

import guest
import lab

HOST = "10.77.0.254"
MB = 1_000_000
KILLS = 2


def carrier(each):
    """How often a guest's carrier has come and gone."""
    return int(each.check("cat /sys/class/net/eth0/carrier_changes"))


def start_a():
    """Guest a, with split rings, connects."""
    return guest.qemu_vhost("a", lab.BOOT, f"{lab.VHOST}/v1,reconnect=1",
                            "52:54:00:77:00:01")


def start_b(device=",packed=on"):
    """Guest b listens."""
    return guest.qemu_vhost("b", lab.BOOT, f"{lab.VHOST}/v2,server=on,"
                            "wait=off", "52:54:00:77:00:02",
                            device=device)


def up(each, number):
    """Waits for a guest and gives it its address."""
    each.ready().address(f"10.77.0.{number}/24")


class Untouched:
    """The guests' carriers must be as they were."""

    def __init__(self, *guests):
        self.guests = guests
        self.was = [carrier(each) for each in guests]

    def check(self):
        """Are they?"""
        now = [carrier(each) for each in self.guests]
        assert now == self.was, f"carrier changes: {self.was}, now {now}"


def the_switch_dies(place, switch, a, b):
    """Again and again, with a stream from a to b."""
    untouched = Untouched(a, b)
    stream = guest.Stream(a, b, "10.77.0.1")
    pings = [lab.Ping("10.77.0.1"), lab.Ping("10.77.0.2")]
    for kill in range(1, KILLS + 1):
        with place.claim(f"after_kill_{kill}_the_stream_and_pings_go_on"):
            switch.grows("v1", "rx-bytes", 2 * MB)
            switch.kill()
            switch.grows("v1", "rx-bytes", 2 * MB)
            switch.grows("v2", "tx-bytes", 2 * MB)
            switch.grows("host", "tx-frames", 20)
    with place.claim("a_killed_switch_costs_only_pings_of_that_moment"):
        for ping in pings:
            got, lost = ping.finish()
            # A second each: it's some milliseconds where nobody is in a hurry.
            assert lost <= 100 * KILLS and got > lost, (got, lost)
    with place.claim("the_stream_arrived_unchanged_over_all_kills"):
        sent, got = stream.finish()
        assert sent == got, f"{sent} became {got}"
    with place.claim("no_front_end_had_to_connect_again"):
        untouched.check()


def the_switch_is_upgraded(place, switch, a, b):
    """A stream, and pings of which none may be lost."""
    untouched = Untouched(a, b)
    stream = guest.Stream(a, b, "10.77.0.1")
    pings = [lab.Ping("10.77.0.1"), lab.Ping("10.77.0.2")]
    with place.claim("after_an_upgrade_the_stream_goes_on"):
        for _ in range(2):
            switch.grows("v1", "rx-bytes", 2 * MB)
            switch.upgrade()
            switch.grows("v2", "tx-bytes", 2 * MB)
            switch.grows("host", "tx-frames", 20)
    with place.claim("an_upgrade_loses_no_ping"):
        for ping in pings:
            got, lost = ping.finish()
            assert lost == 0 and got > 20, f"{lost} lost, {got} came"
    with place.claim("the_stream_arrived_unchanged_over_the_upgrades"):
        sent, got = stream.finish()
        assert sent == got, f"{sent} became {got}"
    with place.claim("no_front_end_notices_an_upgrade"):
        untouched.check()


def a_front_end_dies(place, switch, a, b):
    """QEMU goes with a stream under way; the other guest isn't touched."""
    untouched = Untouched(a)
    guest.Stream(a, b, "10.77.0.1")
    ping = lab.Ping("10.77.0.1")
    with place.claim("a_killed_front_end_leaves_a_port_that_waits"):
        switch.grows("v2", "tx-bytes", 2 * MB)
        b.kill()
        switch.vhost("v2", "waiting")
    with place.claim("the_other_guest_goes_on_and_loses_no_ping"):
        switch.grows("host", "tx-frames", 20)
        got, lost = ping.finish()
        assert lost == 0 and got > 20, f"{lost} lost, {got} came"
        untouched.check()
    a.check("touch /tmp/stop; killall source tee nc 2>/dev/null; true")
    with place.claim("a_qemu_started_anew_on_the_same_socket_works"):
        # Not packed: QEMU doesn't know how far those are when the other end is
        # gone for good, as it will be (all_of_it_ends).
        b = start_b("")
        up(b, 2)
        b.ping("10.77.0.1")
        b.ping(HOST)
    with place.claim("one_that_connects_as_well"):
        a.kill()
        switch.vhost("v1", "waiting")
        a = start_a()
        up(a, 1)
        a.ping("10.77.0.2")
        guest.same_file(a, b, "10.77.0.1", 2)
    return a, b


def all_of_it_ends(place, config, a, b):
    """Monitor and switch are gone, and come anew."""
    with place.claim("the_switch_ends_with_front_ends_connected"):
        status = place.switches[-1].stop()
        assert status == 0, f"exit status {status}"
    switch = place.switch(config)
    with place.claim("a_new_switch_finds_both_front_ends_again"):
        switch.vhost("v1", "running")
        switch.vhost("v2", "running")
        a.ping("10.77.0.2")
        b.ping(HOST)


def test(place):
    lab.quiet()
    config = {"ports": [
        {"name": "v1", "type": "vhost-user", "path": f"{lab.VHOST}/v1"},
        {"name": "v2", "type": "vhost-user", "path": f"{lab.VHOST}/v2",
         "role": "client"},
        {"name": "host", "type": "tap", "ifname": "sw0",
         "address": f"{HOST}/24"}]}
    switch = place.switch(config)
    a, b = start_a(), start_b()
    up(a, 1)
    up(b, 2)
    the_switch_dies(place, switch, a, b)
    the_switch_is_upgraded(place, switch, a, b)
    a, b = a_front_end_dies(place, switch, a, b)
    all_of_it_ends(place, config, a, b)
    a.stop()
    b.stop()


lab.run(test, "vhost_crash", ["qemu-system-x86_64", "ping"])
