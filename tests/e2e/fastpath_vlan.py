"""Guests on TAPs, for fastpath_vlan.sh: who gets which frame, with which tags.

fastpath_vlan.py SOCKET MARKER WITNESS TAP...

Holds the TAPs as QEMU does. Obeys lines, and answers each with one line or
more, the last of which is `.`:

case NAME FROM DST SRC TAGS LEN   a frame to be sent, LEN bytes without tags; an
                   address is a TAP's name, `all` or hex digits, TAGS are joined
                   by `+`, or `-`. LEN gSIZE: a super-frame of three segments
round              sends all cases, each as several kinds of frame, waits until
                   the switch (at SOCKET) has received them, sends a frame from
                   MARKER that WITNESS gets, reads till then, and answers NAME
                   RESULT for each case: who got it
drops              answers REASON and COUNT, of all ports
clear              forgets the cases
learn TAP TAGS     says hello to all
busy TAP DST TAGS  BUSY small frames to an address that is known
detached TAP, attached TAP        the port is gone, or new: counts from 0
counts             answers TAP, frames sent, frames read, of attached ports
"""
import fcntl
import json
import os
import select
import socket
import struct
import sys
import time

TUNSETIFF, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 2, 0x1000, 0x4000
VNET_LEN = 12
DEADLINE = 5
SEGMENTS = 3
BUSY, BUSY_BURST = 1500, 250  # a TAP's queue holds 1000


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ipv4(proto, length):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 1, 0x4000, 64,
                       proto, 0, b"\xc0\0\2\1", b"\xc0\0\2\2")
    value = checksum(head) ^ 0xFFFF
    pseudo = head[12:20] + struct.pack("!BBH", 0, proto, length)
    return head[:10] + struct.pack("!H", value) + head[12:], pseudo


def lab(number, length):
    return b"\x88\xb5" + number.ljust(length - 14, b"\x5a")


def udp(number, length):
    data = number.ljust(length - 42, b"\xa5")
    head, pseudo = ipv4(17, 8 + len(data))
    datagram = struct.pack("!HHHH", 40000, 9, 8 + len(data), 0) + data
    value = checksum(pseudo + datagram) ^ 0xFFFF
    return (b"\x08\0" + head + datagram[:6] + struct.pack("!H", value or 0xFFFF)
            + data)


def arp(number, length):
    return (b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 2) + bytes(20)
            + number.ljust(length - 42, b"\0"))


def super_frame(number, size):
    """TCP whose payload is the number, again and again."""
    data = number * (SEGMENTS * size // len(number))
    head, pseudo = ipv4(6, 20 + len(data))
    return (b"\x08\0" + head
            + struct.pack("!HHIIBBHHH", 40000, 9, 1, 1, 0x50, 0x10, 500,
                          checksum(pseudo), 0) + data)


def tags_of(text):
    """`000a+88a8:0014`, as bytes; 8100 needn't be said."""
    if text == "-":
        return b""
    return b"".join(bytes.fromhex(t.replace(":", "") if ":" in t
                                  else "8100" + t) for t in text.split("+"))


def split_tags(frame):
    """The tags, as text, and what is behind them."""
    at, tags = 12, []
    while frame[at:at + 2] in (b"\x81\0", b"\x88\xa8"):
        text = frame[at + 2:at + 4].hex()
        tags.append(text if frame[at] == 0x81 else "88a8:" + text)
        at += 4
    return "+".join(tags) or "-", frame[at:]


class Switch:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")

    def stats(self):
        self.file.write('{"jsonrpc": "2.0", "id": 1, "method": "stats.show"}\n')
        self.file.flush()
        return json.loads(self.file.readline())["result"]


class Tap:
    def __init__(self, name, index):
        self.name, self.sent, self.read, self.attached = name, 0, 0, True
        self.mac = bytes((2, 0, 0, 0, 0x77, index))
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(),
                                                    flags))
        fcntl.ioctl(self.fd, TUNSETVNETHDRSZ, struct.pack("i", VNET_LEN))

    def write(self, frame, vnet=bytes(VNET_LEN)):
        os.write(self.fd, vnet + frame)
        if self.attached:
            self.sent += 1


class Guests:
    def __init__(self, path, marker, witness, *names):
        self.switch = Switch(path)
        self.taps = {name: Tap(name, i + 1) for i, name in
                     enumerate([marker, witness, *names])}
        self.marker, self.witness = self.taps[marker], self.taps[witness]
        self.names = names
        self.gone = 0  # frames sent to ports that are no more
        self.numbers = 0
        self.cases, self.frames, self.seen = {}, {}, {}
        self.by_fd = {tap.fd: tap for tap in self.taps.values()}
        self.poll = select.poll()
        for fd in self.by_fd:
            self.poll.register(fd, select.POLLIN)

    def number(self):
        self.numbers += 1
        return struct.pack("!I", 0x10000000 + self.numbers)

    def address(self, text):
        if text == "all":
            return b"\xff" * 6
        return (self.taps[text].mac if text in self.taps
                else bytes.fromhex(text))

    def case(self, name, *what):
        self.cases[name] = what

    def send_one(self, name, tap, dst, src, tags, length):
        head = self.address(dst) + self.address(src)
        tap, tags = self.taps[tap], tags_of(tags)
        if length.startswith("g"):
            size, number = int(length[1:]), self.number()
            at = 14 + len(tags)
            vnet = struct.pack("=BBHHHHH", 1, 1, at + 40, size, at + 20, 16, 0)
            self.frames["tcp", head, number] = name
            self.seen[name, "tcp"] = []
            tap.write(head + tags + super_frame(number, size), vnet)
            return
        for make in (lab, udp, arp):
            body = make(self.number(), int(length))
            self.frames["", head, body] = name, make.__name__
            self.seen[name, make.__name__] = []
            tap.write(head + tags + body)

    def send(self):
        self.frames, self.seen = {}, {}
        for name, what in self.cases.items():
            self.send_one(name, *what)

    def counted(self):
        """Has the switch received all that was sent?"""
        sent = self.gone + sum(t.sent for t in self.taps.values())
        deadline = time.monotonic() + DEADLINE
        while self.switch.stats()["rx"]["frames"] != sent:
            if time.monotonic() > deadline:
                return False
        return True

    def drops(self):
        stats = self.switch.stats()
        for reason, count in stats["rx"]["drops"].items():
            yield f"{reason} {count + stats['tx']['drops'][reason]}"

    def take(self, tap, frame):
        """Keep who got it; returns what is behind the addresses and tags."""
        tags, body = split_tags(frame)
        key = self.frames.get(("", frame[:12], body))
        if not key and body[:2] == b"\x08\0":
            name = self.frames.get(("tcp", frame[:12], body[-4:]))
            key = name and (name, "tcp")
        if key and tap.name in self.names:
            self.seen[key].append(f"{tap.name}:{tags}")
        return body

    def read_all(self, ms=0, mark=None):
        """What has come by now; was it this, at the witness? None: nothing."""
        found = None
        for fd, event in self.poll.poll(ms):
            if not event & select.POLLIN:
                continue
            found = found or False
            try:
                while True:
                    frame = os.read(fd, 70000)[VNET_LEN:]
                    self.by_fd[fd].read += 1
                    if self.take(self.by_fd[fd], frame) == mark:
                        found |= self.by_fd[fd] == self.witness
            except BlockingIOError:
                pass
        return found

    def read_until(self, mark):
        """Everything that came before the witness got this."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if self.read_all(100, mark):
                while self.read_all() is not None:
                    pass
                return True
        return False

    def round(self):
        self.send()
        if not self.counted():
            yield "not all frames arrive at the switch"
            return
        mark = lab(self.number(), 60)
        self.marker.write(b"\xff" * 6 + self.marker.mac + mark)
        if not self.read_until(mark):
            yield "the mark doesn't come"
            return
        for name in self.cases:
            kinds = {kind: " ".join(sorted(who, key=self.order)) or "nobody"
                     for (case, kind), who in self.seen.items() if case == name}
            results = set(kinds.values())
            if len(results) == 1:
                yield f"{name} {results.pop()}"
            else:
                text = ", ".join(f"{k} {who}" for k, who in kinds.items())
                yield f"{name} it depends: {text}"

    def order(self, who):
        name = who.split(":")[0]
        return self.names.index(name)

    def clear(self):
        self.cases = {}
        return ()

    def learn(self, name, tags):
        tap = self.taps[name]
        tap.write(b"\xff" * 6 + tap.mac + tags_of(tags)
                  + lab(self.number(), 60))
        return ()

    def busy(self, name, dst, tags):
        tap = self.taps[name]
        frame = (self.address(dst) + tap.mac + tags_of(tags)
                 + udp(b"busy", 60))
        for _ in range(BUSY // BUSY_BURST):
            for _ in range(BUSY_BURST):
                tap.write(frame)
            self.read_all()
        return ()

    def detached(self, name):
        tap = self.taps[name]
        self.gone += tap.sent
        tap.sent, tap.read, tap.attached = 0, 0, False
        return ()

    def attached(self, name):
        self.taps[name].attached, self.taps[name].read = True, 0
        return ()

    def counts(self):
        for tap in self.taps.values():
            if tap.attached:
                yield f"{tap.name} {tap.sent} {tap.read}"


def main():
    guests = Guests(*sys.argv[1:])
    print("ready", flush=True)
    for line in sys.stdin:
        word, *args = line.split()
        for answer in getattr(guests, word)(*args) or ():
            print(answer)
        print(".", flush=True)


if __name__ == "__main__":
    main()
