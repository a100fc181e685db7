"""vhost_user.py connect|listen PATH: a front end that only speaks.

Asks the switch for its features by the vhost-user protocol, once a connection
is there and then for each line "ask" of stdin, and prints "features N" (hex),
"silent" where no answer comes, or "gone" when the connection ends. With "leave"
it hangs up, and with "come" it connects, or listens, anew. connect: "refused"
where nobody listens. listen: makes the socket, prints "listening", and takes
one connection. "junk" says what no front end would. Ends with stdin.
"""
import os
import select
import socket
import struct
import sys

GET_FEATURES, VERSION, REPLY = 1, 1, 4
PATIENCE_S = 10


def say(*words):
    print(*words, flush=True)


class FrontEnd:
    def __init__(self, way, path):
        self.way, self.path = way, path
        self.listener = self.conn = None
        self.come()

    def come(self):
        self.leave()
        if self.way == "connect":
            self.conn = socket.socket(socket.AF_UNIX)
            try:
                self.conn.connect(self.path)
            except OSError:
                self.conn = None
                say("refused")
                return
            self.met()
            return
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.lexists(self.path):
            os.unlink(self.path)
        self.listener.bind(self.path)
        self.listener.listen(1)
        say("listening")

    def accept(self):
        self.conn = self.listener.accept()[0]
        self.listener.close()
        self.listener = None
        self.met()

    def met(self):
        self.conn.settimeout(PATIENCE_S)
        self.ask()

    def leave(self):
        for end in self.conn, self.listener:
            if end:
                end.close()
        self.conn = self.listener = None

    def ask(self):
        try:
            self.conn.sendall(struct.pack("=III", GET_FEATURES, VERSION, 0))
            reply = b""
            while len(reply) < 20:
                more = self.conn.recv(20 - len(reply))
                if not more:
                    raise ConnectionError
                reply += more
        except TimeoutError:
            say("silent")
            return
        except OSError:
            self.gone()
            return
        request, flags, size, features = struct.unpack("=IIIQ", reply)
        assert (request, flags, size) == (GET_FEATURES, VERSION | REPLY, 8), \
            reply.hex()
        say("features", hex(features))

    def junk(self):
        """No request at all: its length can't be."""
        self.conn.sendall(struct.pack("=III", GET_FEATURES, VERSION, 1 << 30))

    def unasked(self):
        """Only its end can come."""
        try:
            assert not self.conn.recv(1), "the switch says something unasked"
        except ConnectionError:
            pass
        self.gone()

    def gone(self):
        self.leave()
        say("gone")


def main():
    end = FrontEnd(*sys.argv[1:])
    # Unbuffered, as select() knows nothing of Python's buffers.
    lines = open(0, "rb", buffering=0)
    while True:
        ready = select.select([f for f in (lines, end.conn, end.listener)
                               if f], [], [])[0]
        if end.listener and end.listener in ready:
            end.accept()
        elif end.conn and end.conn in ready:
            end.unasked()
        elif lines in ready:
            line = lines.readline()
            if not line:
                break
            getattr(end, line.decode().strip())()


main()
