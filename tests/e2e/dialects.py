"""A guest of every dialect, for dialects.sh: whole frames, long ones, segments.

dialects.py FOLDER

The guests udp, dgram, stream, seqpacket, vde and uml connect to the switch at
their places in FOLDER. A command a line on standard input, an answer a line:
"ok", or "no" and why.

    connect                  all of them
    frame FROM LENGTH WHO    broadcast by FROM: WHO (a,b.. or -) get it as it was,
                             the others don't
    super DEVICE             a super-frame by that device: all get its segments,
                             with whole checksums
"""
import os
import socket
import struct
import sys

from fastpath_vlan import SEGMENTS, checksum, super_frame
from listener_peers import Peer, obey
from vde_client import ADDRESS, data_socket, request

FOLDER = sys.argv[1]
SECONDS = 10
SIZE = 1000  # of a segment's payload
MAC = b"\x02\0\0\0\0\x07"
SOL_PACKET, PACKET_VNET_HDR = 263, 15
guests = {}
number = 0


class Datagrams:
    """A frame a datagram, to who is connected."""

    def __init__(self, s, to):
        self.socket = s
        self.socket.connect(to)
        self.socket.settimeout(SECONDS)

    def send(self, frame):
        self.socket.sendall(frame)

    def get(self):
        return self.socket.recv(70000)


def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 5001))
    return Datagrams(s, ("127.0.0.1", 5000))


def dgram():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(f"{FOLDER}/guest")
    return Datagrams(s, f"{FOLDER}/switch")


def asked(name, ctl):
    """A client of a VDE switch's, or of uml_switch's."""
    data = data_socket(name)
    control = socket.socket(socket.AF_UNIX)
    control.settimeout(SECONDS)
    control.connect(ctl)
    control.sendall(request(name).ljust(124, b"\xa5"))
    answer = control.recv(110, socket.MSG_WAITALL)[2:]
    to = answer if answer[:1] == b"\0" else answer.rstrip(b"\0")
    guest = Datagrams(data, to)
    guest.control = control  # the port lives as long as that
    return guest


def vde():
    name = f"/tmp/vde.{os.getpid():05}-00000"
    guest = asked(name.encode(), f"{FOLDER}/vde/ctl")
    os.unlink(name)
    return guest


def uml():
    """All bytes of its abstract name count, and two follow."""
    name = b"\0" + struct.pack("I", os.getpid())
    return asked(name.ljust(ADDRESS - 2, b"\xa5"), f"{FOLDER}/uml")


def connect():
    guests.update(
        udp=udp(), dgram=dgram(), stream=Peer("stream", f"{FOLDER}/stream"),
        seqpacket=Peer("seqpacket", f"{FOLDER}/seqpacket"), vde=vde(),
        uml=uml())


def made(length):
    """A broadcast of that many bytes, all its own."""
    global number  # pylint: disable=global-statement
    number += 1
    return (b"\xff" * 6 + MAC + b"\x88\xb5" +
            bytes((number + i * 7) % 251 for i in range(251)) *
            (length // 251 + 1))[:length]


def frame(sender, length, receivers):
    """A short one behind it comes to all, so who has it next missed the
    other one."""
    sent, mark = made(int(length)), made(60)
    guests[sender].send(sent)
    guests[sender].send(mark)
    for name in guests:
        for what in [sent, mark] if name in receivers.split(",") else [mark]:
            if name == sender:
                continue
            got = guests[name].get()
            if got != what:
                return f"no {name} got {len(got)} bytes: {got[:64].hex()}"
    return "ok"


def segment_problem(got, i, whole):
    """What is wrong with segment i of a frame; None: nothing."""
    ip, tcp, data = got[14:34], got[34:54], got[54:]
    part = whole[54 + i * SIZE:][:SIZE]
    if got[:12] != whole[:12] or data != part:
        return f"{len(data)} bytes of data"
    if struct.unpack("!H", ip[2:4])[0] != 40 + len(part):
        return "IP's length"
    if struct.unpack("!I", tcp[4:8])[0] != 1 + i * SIZE:
        return "TCP's sequence number"
    if checksum(ip) != 0xFFFF:
        return "IP's checksum"
    pseudo = ip[12:20] + struct.pack("!BBH", 0, 6, 20 + len(part))
    if checksum(pseudo + tcp + data) != 0xFFFF:
        return "TCP's checksum"
    return None


def super_(device):
    whole = b"\xff" * 6 + MAC + super_frame(struct.pack("!Q", number), SIZE)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.bind((device, 0))
    s.send(struct.pack("=BBHHHH", 1, 1, 54, SIZE, 34, 16) + whole)
    for name, guest in guests.items():
        for i in range(SEGMENTS):
            why = segment_problem(guest.get(), i, whole)
            if why:
                return f"no {name}'s segment {i}: {why}"
    return "ok"


obey({"connect": connect, "frame": frame, "super": super_})
