"""Raw Ethernet frames, for the tests: tags as they are on the wire.

frames.py send IFACE HEX...      sends each
frames.py sniff IFACE SECONDS COUNT [PREFIX]
                                 prints up to COUNT frames that come in, as
                                 hex; only those that begin with PREFIX
frames.py hold IFACE SECONDS HEX...
                                 opens the TAP as QEMU does, with a vnet_hdr,
                                 sends the frames, prints what comes
frames.py hold-plain ...         the same without offloads, as old guests do
frames.py udp-checksum HEX       ends with 0 if it's that of a UDP frame
"""
import fcntl
import os
import select
import socket
import struct
import sys
import time

PACKET_AUXDATA, SOL_PACKET, PACKET_IGNORE_OUTGOING = 8, 263, 23
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
TUNSETIFF, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 2, 0x1000, 0x4000


def packet_socket(iface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.bind((iface, 3))  # ETH_P_ALL
    return s


def with_tag(data, control):
    """A frame with the tag put back that the kernel took out of it."""
    for level, kind, value in control:
        if level != SOL_PACKET or kind != PACKET_AUXDATA:
            continue
        status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
        if status & TP_STATUS_VLAN_VALID:
            if not status & TP_STATUS_VLAN_TPID_VALID:
                tpid = 0x8100
            data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


def receive(s):
    data, control, _, _ = s.recvmsg(65536, 256)
    return with_tag(data, control)


def frames_until(s, deadline, prefix):
    while (left := deadline - time.monotonic()) > 0:
        if select.select([s], [], [], left)[0]:
            data = receive(s)
            if data.startswith(prefix):
                yield data


def send(iface, *frames):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.bind((iface, 0))
    for frame in frames:
        s.send(bytes.fromhex(frame).ljust(60, b"\0"))


def sniff(iface, seconds, count, prefix=""):
    s = packet_socket(iface)
    print("ready", flush=True)
    deadline = time.monotonic() + float(seconds)
    seen = 0
    for data in frames_until(s, deadline, bytes.fromhex(prefix)):
        print(data.hex(), flush=True)
        seen += 1
        if seen == int(count):
            return 0
    return 1


def open_tap(iface, vnet):
    """A TAP's descriptor, as QEMU has one, with so many bytes of header."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    flags = IFF_TAP | IFF_NO_PI | (IFF_VNET_HDR if vnet else 0)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", iface.encode(), flags))
    if vnet:
        fcntl.ioctl(tap, TUNSETVNETHDRSZ, struct.pack("i", vnet))
    return tap


def hold(iface, seconds, *frames, vnet=12):
    tap = open_tap(iface, vnet)
    print("ready", flush=True)
    deadline = time.monotonic() + float(seconds)
    sys.stdin.readline()  # the port is attached
    for frame in frames:
        os.write(tap, bytes(vnet) + bytes.fromhex(frame).ljust(60, b"\0"))
    print("sent", flush=True)
    while (left := deadline - time.monotonic()) > 0:
        if select.select([tap], [], [], left)[0]:
            print(os.read(tap, 70000)[vnet:].hex(), flush=True)
    return 0


def hold_plain(*args):
    return hold(*args, vnet=0)


def udp_checksum(text):
    """RFC 768: pseudo-header and datagram sum up to all ones."""
    ip = bytes.fromhex(text)[14:]
    udp = ip[(ip[0] & 15) * 4:struct.unpack("!H", ip[2:4])[0]]
    data = ip[12:20] + struct.pack("!BBH", 0, ip[9], len(udp)) + udp
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(total != 0xFFFF or ip[9] != 17)


if __name__ == "__main__":
    sys.exit({"send": send, "sniff": sniff, "hold": hold,
              "hold-plain": hold_plain, "udp-checksum": udp_checksum}
             [sys.argv[1]](*sys.argv[2:]))
