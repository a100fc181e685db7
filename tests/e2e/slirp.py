"""Clients and servers of the outside, for slirp.sh.

slirp.py serve PORT           streams numbers to whoever connects, for ever
slirp.py stream ADDRESS PORT [N]  reads them, checks that none is missing, and
                              says how many megabytes there were; N at most
slirp.py take PORT            checks the numbers of whoever connects, and says
                              how many megabytes were right
slirp.py give ADDRESS PORT N  sends it N megabytes, and prints what it says
slirp.py fetch URL            prints what is there; DEVICE binds it to one
slirp.py dns SERVER NAME      prints the address that the server knows
slirp.py echo ADDRESS PORT    sends back each UDP datagram
slirp.py ask ADDRESS PORT     sends one, and prints what comes back
slirp.py long ADDRESS PORT N  sends one of N bytes, which come back
slirp.py last DEVICE          sends the last fragment of nothing, ten times
slirp.py accepts ADDRESS PORT ends with 0 if somebody answers a TCP call
slirp.py crowd ADDRESS PORT   calls until nobody answers any more, and stays on
                              the line
"""
import os
import signal
import socket
import socketserver
import struct
import sys
import urllib.request

SECONDS = 5
CHUNK = 1 << 20
DEVICE = os.environ.get("DEVICE")


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def numbers(first):
    """A chunk's worth of them, eight bytes each."""
    return struct.pack(f"!{CHUNK // 8}Q", *range(first, first + CHUNK // 8))


class Stream(socketserver.BaseRequestHandler):
    def handle(self):
        first = 0
        try:
            while True:
                self.request.sendall(numbers(first))
                first += CHUNK // 8
        except OSError:
            pass


def in_order(f):
    """Chunks of numbers that come by f, until one isn't right."""
    first = 0
    while f.read(CHUNK) == numbers(first):
        first += CHUNK // 8
        yield first * 8 // CHUNK


class Take(socketserver.StreamRequestHandler):
    def handle(self):
        right = 0
        for right in in_order(self.rfile):
            pass
        self.wfile.write(b"%d" % right)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    address_family = socket.AF_INET6


def serve(port):
    Server(("::", int(port)), Stream).serve_forever()


def stream(address, port, much=None):
    with socket.create_connection((address, int(port)), 30) as s, \
            s.makefile("rb") as f:
        for there in in_order(f):
            print(there, flush=True)
            if str(there) == much:
                return 0
    return 1


def take(port):
    Server(("::", int(port)), Take).serve_forever()


def give(address, port, much):
    with socket.create_connection((address, int(port)), 30) as s:
        for i in range(int(much)):
            s.sendall(numbers(i * CHUNK // 8))
        s.shutdown(socket.SHUT_WR)
        print(s.recv(100).decode())


class Bound(socket.socket):
    """One that goes by DEVICE whatever the routes are."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE,
                        DEVICE.encode())


def fetch(url):
    if DEVICE:
        socket.socket = Bound
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        sys.stdout.buffer.write(answer.read())


def dns(server, name):
    query = struct.pack("!6H", 4711, 0x100, 1, 0, 0, 0)
    for label in name.split("."):
        query += bytes([len(label)]) + label.encode()
    query += struct.pack("!BHH", 0, 1, 1)  # A, IN
    with socket.socket(family(server), socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect((server, 53))
        s.send(query)
        answer = s.recv(2000)
    # One answer, whose four bytes are the last.
    if answer[:2] != query[:2] or answer[6:8] != b"\0\1":
        return 1
    print(socket.inet_ntoa(answer[-4:]))
    return 0


def echo(address, port):
    with socket.socket(family(address), socket.SOCK_DGRAM) as s:
        s.bind((address, int(port)))
        while True:
            data, who = s.recvfrom(65536)
            s.sendto(data, who)


def ask(address, port):
    with socket.socket(family(address), socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect((address, int(port)))
        s.send(b"is anybody there?")
        print(s.recv(65536).decode())


def long(address, port, size):
    sent = os.urandom(int(size))
    with socket.socket(family(address), socket.SOCK_DGRAM) as s:
        s.settimeout(SECONDS)
        s.connect((address, int(port)))
        s.send(sent)
        return int(s.recv(65536) != sent)


def last(device):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + 64, 7, 185, 64, 17, 0,
                         socket.inet_aton("10.0.2.15"),
                         socket.inet_aton("10.0.2.2"))
    total = sum(struct.unpack("!10H", header))
    total = ~(total + (total >> 16)) & 0xffff
    packet = header[:10] + struct.pack("!H", total) + header[12:] + bytes(64)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((device, 0))
        for _ in range(10):
            s.send(b"\xff" * 6 + b"\2\0\0\0\0\1\x08\0" + packet)


def accepts(address, port):
    socket.create_connection((address, int(port)), 2).close()


def crowd(address, port):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    calls, missed = [], 0
    while missed < 10:
        try:
            calls.append(socket.create_connection((address, int(port)), 0.1))
            missed = 0
        except TimeoutError:
            missed += 1  # too many at once, or for good
    signal.pause()


if __name__ == "__main__":
    try:
        sys.exit({"serve": serve, "stream": stream, "fetch": fetch,
                  "take": take, "give": give,
                  "dns": dns, "echo": echo, "ask": ask, "long": long,
                  "last": last, "accepts": accepts,
                  "crowd": crowd}[sys.argv[1]](*sys.argv[2:]))
    except OSError as e:
        print(f"{' '.join(sys.argv[1:])}: {e}", file=sys.stderr)
        sys.exit(2)
