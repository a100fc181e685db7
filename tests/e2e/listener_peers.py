"""Guests of listeners: connections that send and get frames.

A command a line on standard input, an answer a line: "ok" with what was asked
for, or "no" and why.

    connect NAME stream|seqpacket ADDRESS   /PATH or IP:PORT
    many PREFIX COUNT KIND ADDRESS          PREFIX1 to PREFIXCOUNT
    frame FROM TO[,TO..]                    a broadcast arrives there, alone
    nothing NAME                            nothing waits to be read there
    raw NAME HEX                            these bytes
    closed NAME                             the other end hangs up, in 10 s
    close NAME | closeall PREFIX
    pid                                     of this process
"""
import os
import select
import socket
import struct
import sys
import time

SECONDS = 10
BROADCAST = bytes.fromhex("ffffffffffff")
ETHERTYPE = bytes.fromhex("88b5")
peers = {}
number = 0


class Peer:
    """One connection."""

    def __init__(self, kind, address):
        self.kind = kind
        self.rest = b""
        if address[0] == "/":
            self.socket = socket.socket(socket.AF_UNIX,
                                        socket.SOCK_STREAM if kind == "stream"
                                        else socket.SOCK_SEQPACKET)
            # With a timeout it wouldn't wait where the backlog is full.
            self.socket.connect(address)
            self.socket.settimeout(SECONDS)
        else:
            host, port = address.rsplit(":", 1)
            self.socket = socket.create_connection((host.strip("[]"), port),
                                                   SECONDS)

    def send(self, frame):
        """One frame."""
        if self.kind == "stream":
            frame = struct.pack(">I", len(frame)) + frame
        self.socket.sendall(frame)

    def get(self):
        """The next frame; None when the connection is over."""
        if self.kind != "stream":
            return self.socket.recv(70000) or None
        while True:
            if len(self.rest) >= 4:
                length = struct.unpack(">I", self.rest[:4])[0]
                if len(self.rest) >= 4 + length:
                    frame = self.rest[4:4 + length]
                    self.rest = self.rest[4 + length:]
                    return frame
            data = self.socket.recv(70000)
            if not data:
                return None
            self.rest += data

    def waits(self):
        """Is there anything to read?"""
        return bool(self.rest) or bool(
            select.select([self.socket], [], [], 0)[0])


def connect(name, kind, address):
    peers[name] = Peer(kind, address)


def many(prefix, count, kind, address):
    for i in range(1, int(count) + 1):
        connect(f"{prefix}{i}", kind, address)


def frame(sender, receivers):
    global number  # pylint: disable=global-statement
    number += 1
    sent = (BROADCAST + b"\x02\0\0\0" + struct.pack(">H", number) +
            ETHERTYPE + struct.pack(">I", number) * 12)
    peers[sender].send(sent)
    for name in receivers.split(","):
        got = peers[name].get()
        if got != sent:
            return f"no {name} got {got and got.hex()}"
    return "ok"


def nothing(name):
    return "no something" if peers[name].waits() else "ok"


def raw(name, data):
    peers[name].socket.sendall(bytes.fromhex(data))


def closed(name):
    """Frames that came before don't count."""
    deadline = time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline:
            if peers[name].get() is None:
                return "ok"
    except ConnectionResetError:
        return "ok"
    return "no end"


def close(name):
    peers.pop(name).socket.close()


def closeall(prefix):
    for name in [n for n in peers if n.startswith(prefix)]:
        close(name)


def pid():
    return f"ok {os.getpid()}"


COMMANDS = {f.__name__: f for f in (connect, many, frame, nothing, raw, closed,
                                    close, closeall, pid)}

def obey(commands):
    for line in sys.stdin:
        words = line.split()
        try:
            print(commands[words[0]](*words[1:]) or "ok", flush=True)
        except (OSError, LookupError) as error:
            print("no", repr(error), flush=True)


if __name__ == "__main__":
    obey(COMMANDS)
