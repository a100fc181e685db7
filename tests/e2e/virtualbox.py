"""A VirtualBox guest's network card as the host sees it: a stand-in.

virtualbox.py CARD tunnel SPORT DEST DPORT
virtualbox.py CARD vde NETWORK
virtualbox.py CARD bridged DEVICE

VirtualBox isn't in Debian. This does with frames what VirtualBox 7.0 does in
src/VBox, and no more; CARD is a TAP that it makes, at whose network side the
test has the guest's system.

tunnel (Devices/Network/DrvUDPTunnel.cpp, Runtime/r3/udp.cpp)
    One IPv4 socket with SO_REUSEADDR, bound to SPORT of any address and not
    connected; a frame a datagram to DEST:DPORT, as long as it is, super-frames
    cut before. Whoever sends is heard. What is longer than 16384 bytes is cut
    short. A paused guest has no socket.

vde (Devices/Network/DrvVDE.cpp)
    What libvdeplug makes of NETWORK, FOLDER or FOLDER[PORT]; the same limit.

bridged (HostDrivers/VBoxNetFlt/linux/VBoxNetFlt-linux.c)
    A handler of all frames of DEVICE, which becomes promiscuous. TCP
    super-frames go to the guest's card as such, which cuts them with their
    checksums. A partial checksum is completed in frames that the host sends,
    and only there: others go on as they are. The guest's frames are whole, and
    not longer than the device's MTU says. (Those for the host itself go
    straight to its stack, past the device's other side: not here.)

Prints "ready", then obeys a word a line on standard input: pause, resume
(tunnel); report, which prints as JSON what came since the last one: "sources",
"partial" frames (that went on so), "super" frames, "longest" of the others.
"""
import ctypes
import errno
import fcntl
import json
import os
import select
import socket
import struct
import sys

import frames

VNET = 10  # bytes of header, struct virtio_net_hdr
PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, PACKET_VNET_HDR = 1, 1, 15
PACKET_OUTGOING, NEEDS_CSUM = 4, 1
GSO_TCPV4, GSO_TCPV6 = 1, 4
SIOCGIFMTU = 0x8921
SO_RCVBUFFORCE = 33
BUFFER = 16384  # bytes that the drivers have for a frame
VDE_INTERFACE = 1  # LIBVDEPLUG_INTERFACE_VERSION


class Link:
    """What the card's cable leads to."""

    def __init__(self):
        self.socket = None
        self.clear()

    def clear(self):
        self.seen = {"sources": set(), "partial": 0, "super": 0, "longest": 0}

    def report(self):
        print(json.dumps(dict(self.seen, sources=sorted(
            self.seen["sources"]))), flush=True)
        self.clear()

    def came(self, frame):
        self.seen["longest"] = max(self.seen["longest"], len(frame))
        return bytes(VNET) + frame


class Tunnel(Link):
    def __init__(self, sport, dest, dport):
        super().__init__()
        self.sport, self.dest = int(sport), (dest, int(dport))
        self.resume()

    def pause(self):
        self.socket.close()
        self.socket = None

    def resume(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("", self.sport))

    def send(self, frame):
        if self.socket:
            self.socket.sendto(frame, self.dest)

    def receive(self):
        data, source = self.socket.recvfrom(BUFFER)
        self.seen["sources"].add("%s:%d" % source)
        return self.came(data)


class Vde(Link):
    def __init__(self, network):
        super().__init__()
        self.plug = ctypes.CDLL("libvdeplug.so.2")
        connect = self.plug.vde_open_real
        connect.restype = ctypes.c_void_p
        self.connection = ctypes.c_void_p(connect(
            network.encode(), b"VirtualBOX", VDE_INTERFACE, None))
        if not self.connection:
            sys.exit(f"no connection to {network}")
        self.socket = self.plug.vde_datafd(self.connection)

    def send(self, frame):
        self.plug.vde_send(self.connection, frame, len(frame), 0)

    def receive(self):
        buffer = ctypes.create_string_buffer(BUFFER)
        got = self.plug.vde_recv(self.connection, buffer, BUFFER, 0)
        return self.came(buffer.raw[:got])


class Bridged(Link):
    def __init__(self, device):
        super().__init__()
        self.device = device
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        for name in (PACKET_VNET_HDR, frames.PACKET_AUXDATA):
            s.setsockopt(frames.SOL_PACKET, name, 1)
        s.setsockopt(frames.SOL_PACKET, PACKET_ADD_MEMBERSHIP,
                     struct.pack("iHH8x", socket.if_nametoindex(device),
                                 PACKET_MR_PROMISC, 0))
        # Nothing is lost on the way to a handler in the kernel.
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        s.bind((device, 3))  # ETH_P_ALL
        self.socket = s

    def mtu(self):
        request = struct.pack("16si", self.device.encode(), 0)
        return struct.unpack("16si", fcntl.ioctl(self.socket, SIOCGIFMTU,
                                                 request))[1]

    def send(self, frame):
        tag = 4 if frame[12:14] == b"\x81\x00" else 0
        if len(frame) - tag <= self.mtu() + 14:
            self.socket.send(bytes(VNET) + frame)

    def receive(self):
        data, control, _, source = self.socket.recvmsg(VNET + 70000, 256)
        head, data = data[:VNET], data[VNET:]
        flags, gso, _, _, start, offset = struct.unpack("=BBHHHH", head)
        frame = frames.with_tag(data, control)
        if gso in (GSO_TCPV4, GSO_TCPV6):
            self.seen["super"] += 1
            start += len(frame) - len(data)
            return head[:6] + struct.pack("=HH", start, offset) + frame
        if flags & NEEDS_CSUM and source[2] == PACKET_OUTGOING:
            return head + frame
        self.seen["partial"] += flags & NEEDS_CSUM
        return self.came(frame)


def deliver(card, frame):
    """To the guest, unless its device is down."""
    try:
        os.write(card, frame)
    except OSError as error:
        if error.errno != errno.EIO:
            raise


def obey(link):
    word = sys.stdin.readline().strip()
    if not word:
        return False
    {"pause": getattr(link, "pause", None), "report": link.report,
     "resume": getattr(link, "resume", None)}[word]()
    if word != "report":
        print(word, flush=True)
    return True


def main(name, kind, *where):
    card = frames.open_tap(name, VNET)
    link = {"tunnel": Tunnel, "vde": Vde, "bridged": Bridged}[kind](*where)
    print("ready", flush=True)
    while True:
        fds = [card, sys.stdin] + ([link.socket] if link.socket else [])
        for fd in select.select(fds, [], [])[0]:
            if fd is sys.stdin:
                if not obey(link):
                    return
            elif fd == card:
                link.send(os.read(card, 70000)[VNET:])
            elif fd is link.socket:
                deliver(card, link.receive())


if __name__ == "__main__":
    main(*sys.argv[1:])
