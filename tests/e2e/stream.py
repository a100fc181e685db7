"""stream.py PLACE SELF PEER: the other end of a stream port.

Listens at PLACE (a path, or a TCP port of 127.0.0.1) and takes one connection
at a time, the next one when that has ended. Frames are numbered, their bytes
follow from the number, and they go from the address of number SELF to that of
PEER (255: to all). Each that comes must be whole, and its number higher than
the one before from the same sender, or "wrong" is printed.

Lines of stdin are what to do: "send N [LENGTH]", "flood" and "calm", "stall"
(read no more) and "read", "junk" (an impossible length), "close", "leave"
(don't listen any more) and "come", "count". Prints "listening", "connected",
"gone", "sent", and for each count "got N". Ends with stdin.
"""
import os
import select
import socket
import struct
import sys

TYPE = 0x88b5  # for experiments (IEEE 802)
HEADER = 14
BURST = 64
LONGEST = 69632


def say(*words):
    print(*words, flush=True)


def address(number):
    return b"\xff" * 6 if number == 255 else bytes([2, 0, 0, 0, 0, number])


PATTERN = bytes(i * 7 & 255 for i in range(256)) * (LONGEST // 256 + 2)


def payload(number, length):
    """The number, then what follows from it."""
    return struct.pack(">I", number) + PATTERN[number % 256:][:length - 4]


class End:
    def __init__(self, place, number, peer):
        self.place = place
        self.number = int(number)
        self.peer = int(peer)
        self.listener = self.conn = None
        self.flooding = False
        self.reading = True
        self.sent = 0
        self.got = 0
        self.last = {}
        self.come()

    # ---- The connection

    def come(self):
        if self.place.isdigit():
            self.listener = socket.socket(socket.AF_INET)
            self.listener.setsockopt(socket.SOL_SOCKET,
                                     socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", int(self.place)))
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            if os.path.lexists(self.place):
                os.unlink(self.place)
            self.listener.bind(self.place)
        self.listener.listen(1)
        say("listening")

    def leave(self):
        self.listener.close()
        self.listener = None

    def accept(self):
        self.conn = self.listener.accept()[0]
        self.conn.setblocking(False)
        self.read_rest = b""
        self.write_rest = b""
        say("connected")

    def close(self):
        self.conn.close()
        self.conn = None

    def gone(self):
        self.close()
        say("gone")

    # ---- Frames

    def frame(self, length):
        self.sent += 1
        data = (address(self.peer) + address(self.number) +
                struct.pack(">H", TYPE) +
                payload(self.sent, length - HEADER))
        return struct.pack(">I", len(data)) + data

    def write(self):
        """What there is to write. A frame that was begun is finished."""
        try:
            n = self.conn.send(self.write_rest)
            self.write_rest = self.write_rest[n:]
        except BlockingIOError:
            pass
        except OSError:
            self.gone()

    def receive(self):
        try:
            data = self.conn.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.gone()
            return
        data = self.read_rest + data
        at = 0
        while len(data) - at >= 4:
            length, = struct.unpack_from(">I", data, at)
            if not HEADER + 4 <= length <= LONGEST:
                say("wrong length", length)
                sys.exit(1)
            if len(data) - at - 4 < length:
                break
            self.check(data[at + 4:at + 4 + length])
            at += 4 + length
        self.read_rest = data[at:]

    def check(self, frame):
        sender, kind = frame[6:12], struct.unpack_from(">H", frame, 12)[0]
        number, = struct.unpack_from(">I", frame, HEADER)
        if (kind != TYPE or number <= self.last.get(sender, 0) or
                frame[HEADER:] != payload(number, len(frame) - HEADER)):
            say("wrong frame", frame[:32].hex())
            sys.exit(1)
        self.last[sender] = number
        self.got += 1

    # ---- What to do

    def send(self, n, length="60"):
        for _ in range(int(n)):
            self.write_rest += self.frame(int(length))
        while self.conn and self.write_rest:
            select.select([], [self.conn], [])
            self.write()
        say("sent")

    def flood(self):
        self.flooding = True

    def calm(self):
        self.flooding = False

    def stall(self):
        self.reading = False

    def read(self):
        self.reading = True

    def junk(self):
        self.conn.sendall(struct.pack(">I", LONGEST + 1))

    def count(self):
        say("got", self.got)

    def run(self):
        # Unbuffered, as select() knows nothing of Python's buffers.
        lines = open(0, "rb", buffering=0)
        while True:
            reads = [lines]
            writes = []
            if self.conn and self.reading:
                reads.append(self.conn)
            if self.listener and not self.conn:
                reads.append(self.listener)
            if self.conn and (self.flooding or self.write_rest):
                writes.append(self.conn)
            reads, writes, _ = select.select(reads, writes, [])
            if lines in reads:
                line = lines.readline().decode().split()
                if not line:
                    return
                getattr(self, line[0])(*line[1:])
            elif self.listener in reads:
                self.accept()
            else:
                if self.conn in reads:
                    self.receive()
                if self.conn and self.conn in writes:
                    if not self.write_rest:
                        self.write_rest = b"".join(
                            self.frame(60 + (self.sent + i) * 37 % 1400)
                            for i in range(BURST))
                    self.write()


End(*sys.argv[1:]).run()
