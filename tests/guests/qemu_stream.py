#!/usr/bin/python3 -B
"""Two QEMU guests whose network device is a stream that the switch dials.

    guest a --- Unix socket --- [port a]  switchd  [port b] --- TCP --- guest b
    10.77.0.1                                                      10.77.0.2

QEMU listens (server=on), for its clients up to 7.2 never connect again. One
guest is killed and started anew, and the switch process is killed, both without
the guests' help.
"""

import os
import signal

import guest
import lab

PATH = f"{lab.FOLDER}/a.sock"
CONFIG = {
    "daemon": {"allow": {"sockets": [f"{lab.FOLDER}/*"]}},
    "ports": [
        {"name": "a", "type": "stream", "connect": PATH},
        {"name": "b", "type": "stream", "connect": "127.0.0.1:5555"},
    ],
}


def start_a():
    return guest.qemu("a", lab.BOOT, "stream,server=on,addr.type=unix,"
                      f"addr.path={PATH}", "52:54:00:77:00:01")


def start_b():
    return guest.qemu("b", lab.BOOT, "stream,server=on,addr.type=inet,"
                      "addr.host=127.0.0.1,addr.port=5555,addr.ipv4=on",
                      "52:54:00:77:00:02")


def switch_process(switch):
    """The child of the monitor that forwards; 0 where there is none."""
    path = f"/proc/{switch.process.pid}/task/{switch.process.pid}/children"
    with open(path, encoding="ascii") as file:
        return int((file.read().split() or [0])[0])


def test(place):
    switch = place.switch(CONFIG)
    events = switch.events()

    with place.claim("ports_wait_for_guests_that_are_not_there"):
        for port in switch.ports().values():
            assert port["state"] == "no-carrier", port

    a, b = start_a(), start_b()
    with place.claim("the_switch_dials_both_guests"):
        for name in "a", "b":
            event = events.wait("port.link", name)
            assert event["condition"] == "running", event
    a.ready().address("10.77.0.1/24")
    b.ready().address("10.77.0.2/24")

    with place.claim("guests_ping_each_other"):
        a.ping("10.77.0.2")
        b.ping("10.77.0.1", "-s", "1472")

    with place.claim("a_file_arrives_unchanged_over_both_kinds_of_socket"):
        sent, got = guest.transfer(a, b, "10.77.0.1")
        assert sent == got, f"{sent} became {got}"

    with place.claim("a_killed_guest_that_starts_again_is_dialled_again"):
        b.kill()
        event = events.wait("port.link", "b")
        assert event["condition"] == "waiting", event
        assert "reason" not in event, event
        b = start_b().ready()
        event = events.wait("port.link", "b")
        assert event["condition"] == "running", event
        b.address("10.77.0.2/24")
        a.ping("10.77.0.2")

    with place.claim("guests_do_not_notice_that_the_switch_process_dies"):
        old = switch_process(switch)
        os.kill(old, signal.SIGKILL)
        lab.until(lambda: switch_process(switch) not in (0, old) and
                  switch.ctl("switch", "show").returncode == 0,
                  "another switch process answers")
        a.ping("10.77.0.2")
        sent, got = guest.transfer(b, a, "10.77.0.2", megabytes=2)
        assert sent == got, f"{sent} became {got}"

    with place.claim("ledgers_close"):
        stats = switch.result("stats", "show")
        rx, tx = stats["rx"], stats["tx"]
        assert rx["frames"] == rx["forwarded"] + rx["dropped"], rx
        assert tx["copies"] == tx["frames"] + tx["dropped"], tx

    a.kill()
    b.kill()


lab.run(test, "qemu_stream", ["qemu-system-x86_64"])
