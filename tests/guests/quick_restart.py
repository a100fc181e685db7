#!/usr/bin/python3 -B
"""A guest that is killed and back at once, under the same name, many times.

    [port t1] t1 --- a process that holds the TAP device and dies

The daemon hears of the old device's end by netlink, while the new guest's
script already asks for the new device. Whichever comes first, the new device
is the one that is attached. No guest runs here: what opens the device is a
descriptor of the test.
"""

import fcntl
import os
import struct
import subprocess

import lab

ROUNDS = 100

# <linux/if_tun.h>
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 2, 0x1000, 0x4000


def device(ifname):
    """Makes a TAP device that is gone when the descriptor is closed."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack(
        "16sH22x", ifname.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    return fd


def ifindex(ifname):
    """The kernel's number of a device."""
    with open(f"/sys/class/net/{ifname}/ifindex", encoding="ascii") as file:
        return int(file.read())


def test(place):
    switch = place.switch({})
    events = switch.events()

    with place.claim("every_restart_attaches_the_new_device"):
        for number in range(ROUNDS):
            fd = device("t1")
            done = subprocess.run([lab.IFUP, "t1"], capture_output=True,
                                  text=True, check=False)
            assert done.returncode == 0, f"round {number}: {done.stderr}"
            event = events.wait("port.attached", "t1")
            if "ifindex" in event:
                assert event["ifindex"] == ifindex("t1"), event
            assert switch.ports()["t1"]["state"] == "up", number
            os.close(fd)

    with place.claim("every_killed_guest_was_detached_with_an_event"):
        for _ in range(ROUNDS):
            event = events.wait("port.detached", "t1")
            assert event["reason"] == "device-gone", event
        assert not switch.ports(), switch.ports()


lab.run(test, "quick_restart", ["ip"], boots=False)
