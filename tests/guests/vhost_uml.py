#!/usr/bin/python3 -B
"""User-Mode Linux as a vhost-user front end.

    UML    --- v1    [port v1]  switchd  [port v2]  v2 --- QEMU b
    10.77.0.1                   |  [port t3]  t3, a TAP --- QEMU c
                                [port host]  sw0, this namespace

UML's driver connects when it starts, and never again: what goes on after the
switch was killed goes on by the connection that was there.
"""

import guest
import lab

HOST = "10.77.0.254"
MB = 1_000_000


def test(place):
    lab.quiet()
    switch = place.switch({"ports": [
        {"name": "v1", "type": "vhost-user", "path": f"{lab.VHOST}/v1"},
        {"name": "v2", "type": "vhost-user", "path": f"{lab.VHOST}/v2"},
        {"name": "host", "type": "tap", "ifname": "sw0",
         "address": f"{HOST}/24"}]})
    uml = guest.uml("uml", lab.BOOT,
                    f"virtio_uml.device={lab.VHOST}/v1:1")
    b = guest.qemu_vhost("b", lab.BOOT, f"{lab.VHOST}/v2,reconnect=1",
                         "52:54:00:77:00:02")
    c = guest.qemu("c", lab.BOOT, "tap,ifname=t3,script=" +
                   f"{lab.IFUP},downscript={lab.IFDOWN}", "52:54:00:77:00:03")
    with place.claim("uml_is_a_front_end"):
        uml.ready().address("10.77.0.1/24")
        switch.vhost("v1", "running")
    b.ready().address("10.77.0.2/24")
    c.ready().address("10.77.0.3/24")

    with place.claim("uml_pings_qemu_on_vhost_user_and_on_a_tap"):
        for address in ("10.77.0.2", "10.77.0.3", HOST):
            uml.ping(address)
            uml.ping(address, "-s", "1472")
        b.ping("10.77.0.1")
        c.ping("10.77.0.1")
    with place.claim("a_file_arrives_unchanged_from_and_to_uml"):
        for other, address in ((b, "10.77.0.2"), (c, "10.77.0.3")):
            guest.same_file(uml, other, "10.77.0.1", 4)
            guest.same_file(other, uml, address, 4)

    stream = guest.Stream(uml, b, "10.77.0.1")
    with place.claim("umls_stream_goes_on_when_the_switch_is_killed"):
        for _ in range(2):
            switch.grows("v1", "rx-bytes", 2 * MB)
            switch.kill()
            switch.grows("v1", "rx-bytes", 2 * MB)
            switch.grows("v2", "tx-bytes", 2 * MB)
    with place.claim("umls_stream_goes_on_over_an_upgrade_with_no_ping_lost"):
        ping = lab.Ping("10.77.0.1")
        switch.grows("host", "tx-frames", 20)
        switch.upgrade()
        switch.grows("host", "tx-frames", 20)
        switch.grows("v2", "tx-bytes", 2 * MB)
        got, lost = ping.finish()
        assert lost == 0 and got > 20, f"{lost} lost, {got} came"
    with place.claim("the_stream_arrived_unchanged"):
        sent, got = stream.finish()
        assert sent == got, f"{sent} became {got}"

    with place.claim("when_uml_is_killed_its_port_waits_for_the_next"):
        uml.kill()
        switch.vhost("v1", "waiting")
        uml = guest.uml("uml2", lab.BOOT,
                        f"virtio_uml.device={lab.VHOST}/v1:1")
        uml.ready().address("10.77.0.1/24")
        uml.ping("10.77.0.2")
    for each in (uml, b, c):
        each.stop()


lab.run(test, "vhost_uml", ["qemu-system-x86_64", "linux.uml", "ping"])
