#!/usr/bin/python3 -B
"""Guests get their addresses from a DHCP server behind a host TAP port.

    dnsmasq on sw0 [port host]  switchd  [port t1] t1 --- QEMU, virtio
    10.77.0.254                          [port t2] t2 --- QEMU, no offloads
                                         [port t3] t3 --- UML

The host leaves the checksums of dnsmasq's replies to its device: the switch
gets them partial. A guest whose device takes no offload must see complete
ones, because its client checks them.
"""

import socket
import struct

import guest
import lab

# <linux/if_packet.h>
SOL_PACKET, PACKET_AUXDATA = 263, 8
TP_STATUS_CSUMNOTREADY = 1 << 3
ETH_P_ALL = 3

UDP_FROM_SERVER = b"\x00\x43\x00\x44"   # ports 67 and 68
IPV4_UDP = 20                           # header without options


class Replies:
    """What the server sends on the host's device: are checksums partial?"""

    def __init__(self, ifname):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                                    socket.htons(ETH_P_ALL))
        self.socket.bind((ifname, ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setblocking(False)

    def states(self):
        """For each reply that was sent: whether its checksum was partial."""
        states = []
        while True:
            try:
                data, extra, _, sender = self.socket.recvmsg(2048, 256)
            except BlockingIOError:
                return states
            if (sender[2] != socket.PACKET_OUTGOING or
                    data[IPV4_UDP:IPV4_UDP + 4] != UDP_FROM_SERVER):
                continue
            status = struct.unpack_from("=I", extra[0][2])[0]
            states.append(bool(status & TP_STATUS_CSUMNOTREADY))


def lease(client):
    """Asks for a lease; returns the address that the guest then has."""
    client.check("ip link set eth0 up")
    client.check("udhcpc -i eth0 -n -q -t 10 -T 1 -s /etc/udhcpc.script")
    return client.check("ip -4 -o addr show dev eth0").split()[3]


def test(place):
    switch = place.switch({"ports": [
        {"name": "host", "type": "tap", "ifname": "sw0",
         "address": "10.77.0.254/24"}]})
    replies = Replies("sw0")
    lab.dnsmasq("sw0")
    lab.command("ip", "tuntap", "add", "t3", "mode", "tap")
    switch.result("port", "attach", "t3", "type=netdev", "ifname=t3")

    hooks = f"script={lab.IFUP},downscript={lab.IFDOWN}"
    guests = {
        "a_qemu_guest": guest.qemu(
            "q1", lab.BOOT, f"tap,ifname=t1,{hooks}", "52:54:00:77:00:01"),
        "a_qemu_guest_without_offloads": guest.qemu(
            "q2", lab.BOOT, f"tap,ifname=t2,{hooks}", "52:54:00:77:00:02",
            ",csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,"
            "guest_ecn=off,guest_ufo=off,host_tso4=off,host_tso6=off,"
            "host_ecn=off,host_ufo=off"),
        "a_uml_guest": guest.uml(
            "u", lab.BOOT,
            "vec0:transport=tap,ifname=t3,depth=128,mac=52:54:00:77:00:03")}

    for who, client in guests.items():
        with place.claim(f"{who}_gets_a_lease"):
            address = lease(client.ready())
            assert address.startswith("10.77.0.1"), address

        with place.claim(f"{who}_reaches_the_host"):
            client.ping("10.77.0.254")

    with place.claim("the_replies_left_the_host_with_partial_checksums"):
        states = replies.states()
        # An offer and an acknowledgement for each guest.
        assert len(states) >= 2 * len(guests), states
        assert all(states), states

    for client in guests.values():
        client.stop()


lab.run(test, "dhcp", ["qemu-system-x86_64", "linux.uml", "dnsmasq"])
