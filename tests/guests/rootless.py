#!/usr/bin/python3 -B
"""A user's own switch: nobody in here has any privilege.

    QEMU a --- stream ------ lab.1 \\
    QEMU b --- stream ------ lab.2  switchd  [port nat] --- 192.0.2.1, lo
    QEMU c --- vhost-user -- [port c] /
    10.77.0.1, .2, .3

switchd, switchd-slirp and QEMU are an ordinary user's. The guests reach each
other, and a web server of the namespace that all of this is in, which is not on
the switch.
"""

import os
import shutil
import subprocess

import guest
import lab
import outside

RUN = "/run/user"
SOCKET = f"{RUN}/switchd/switchd.sock"
CONFIG = {
    "ports": [{"name": "nat", "type": "slirp"},
              {"name": "c", "type": "vhost-user", "path": f"{RUN}/c.sock"}],
    "listeners": [{"name": "lab", "type": "stream",
                   "listen": f"{RUN}/lab.sock"}],
}
AS_USER = {"user": lab.NOBODY, "group": lab.NOBODY, "extra_groups": []}


def install(variable):
    """The build may be where an ordinary user can't go."""
    return shutil.copy(os.environ[variable], lab.FOLDER)


def without(config):
    """What this build's switch can do: it may be one without libslirp."""
    if not os.path.exists(os.environ["SWITCHD_SLIRP"]):
        config = dict(config, ports=config["ports"][1:])
    return config


def start(place):
    """The user's switch, at the place where the user's are."""
    os.mkdir(RUN, 0o700)
    os.chown(RUN, lab.NOBODY, lab.NOBODY)
    environment = {name: value for name, value in os.environ.items()
                   if name != "SWITCHD_SOCKET"}
    environment["XDG_RUNTIME_DIR"] = RUN
    config = without(CONFIG)
    if config is CONFIG:
        environment["SWITCHD_SLIRP"] = install("SWITCHD_SLIRP")
    switch = place.switch(config, argv=[install("SWITCHD"), "-f"], at=SOCKET,
                          env=environment, **AS_USER)
    with place.claim("the_users_switchctl_finds_it"):
        subprocess.run([install("SWITCHCTL"), "switch", "show"],
                       env=environment, check=True, capture_output=True,
                       **AS_USER)
    return switch


def children(pid):
    """The processes that one has started."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return file.read().split()


def test(place):
    switch = start(place)
    sent = outside.serve(4)
    events = switch.events()
    netdev = f"stream,server=off,addr.type=unix,addr.path={RUN}/lab.sock"
    a = guest.qemu("a", lab.BOOT, netdev, "52:54:00:77:00:01",
                   prefix=lab.AS_NOBODY)
    events.wait("port.attached", "lab.1")
    b = guest.qemu("b", lab.BOOT, netdev, "52:54:00:77:00:02",
                   prefix=lab.AS_NOBODY)
    c = guest.qemu_vhost("c", lab.BOOT, f"{RUN}/c.sock", "52:54:00:77:00:03",
                         prefix=lab.AS_NOBODY)
    for number, each in enumerate((a, b, c), 1):
        each.ready().address(f"10.77.0.{number}/24")

    with place.claim("nobody_has_any_privilege"):
        for pid in (switch.process.pid, *children(switch.process.pid),
                    a.process.pid, b.process.pid, c.process.pid):
            users, caps = lab.privileges(pid)
            assert users == [str(lab.NOBODY)] * 4 and caps == 0, (users, caps)

    with place.claim("each_guest_is_a_port"):
        assert {"lab.1", "lab.2", "c"} <= set(switch.ports()), switch.ports()

    with place.claim("stream_guests_ping_each_other"):
        a.ping("10.77.0.2")
        b.ping("10.77.0.1")

    with place.claim("a_file_arrives_unchanged_between_them"):
        guest.same_file(a, b, "10.77.0.1")

    with place.claim("one_arrives_unchanged_by_shared_memory"):
        guest.same_file(b, c, "10.77.0.2")

    if "nat" in switch.ports():
        with place.claim("a_guest_gets_a_lease"):
            b.check(outside.LEASE)
            assert "inet 10.0.2.15/24" in b.check("ip addr show dev eth0")

        with place.claim("it_reaches_a_web_server_outside"):
            b.check(guest.FETCH.format(outside.ADDRESS))
            got = b.check("sha256sum /tmp/got").split()[0]
            assert got == sent, f"{sent} became {got}"

    with place.claim("a_guest_that_ends_takes_its_port_along"):
        a.stop()
        lab.until(lambda: "lab.1" not in switch.ports(), "lab.1 is gone")
    b.stop()
    c.stop()


lab.run(test, "rootless", ["qemu-system-x86_64", "setpriv"])
