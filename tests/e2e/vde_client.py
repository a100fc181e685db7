"""vde_client - what no decent client of VDE says

    vde_client.py CTL pieces         a request, byte by byte
    vde_client.py CTL uml            one of UML's, as it sends it
    vde_client.py CTL bad WHICH      one of bad_requests(), or all of them
    vde_client.py CTL at PATH        a request that names this socket
    vde_client.py CTL frame          one, and a frame as soon as it's answered

Prints `answer PATH` (the port's socket, `abstract` where it has no path) or
`closed`, a line for each request; then waits for its standard input to end, as
the end of the connection is the port's.
"""
import fcntl
import os
import socket
import struct
import sys
import tempfile
import termios
import time

ADDRESS = 110
SECONDS = 10
FRAME = bytes.fromhex("ffffffffffff02000000d00d88b5") + bytes(46)


def address(name):
    return struct.pack("H", socket.AF_UNIX) + name.ljust(ADDRESS - 2, b"\0")


def request(name, magic=0xfeedface, version=3, kind=0, description=b""):
    return struct.pack("III", magic, version, kind) + address(name) + \
        description


def data_socket(name):
    """A datagram socket of this name, bound with all its 110 bytes."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    # Python cuts a path at its NUL, and leaves an abstract name as it is.
    s.bind(name.ljust(ADDRESS - 2, b"\xa5") if name[:1] == b"\0" else name)
    return s


def bad_requests(name):
    good = request(name)
    return {
        "garbage": b"GET / HTTP/1.0\r\n\r\n" * 8,
        "magic": request(name, magic=0xfeedfacf),
        "version": request(name, version=2),
        "first": struct.pack("II", 0xfeedface, 0) + bytes(6) + address(name),
        "console": request(name, kind=1),
        "type": request(name, kind=7),
        "number": request(name, kind=65536 << 8),
        "family": good[:12] + struct.pack("H", socket.AF_INET) + good[14:],
        "relative": request(name[1:]),
    }


def connect(ctl):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(SECONDS)
    s.connect(ctl)
    return s


def wait_read(s):
    """Until the other end has read all that was sent."""
    deadline = time.monotonic() + SECONDS
    while fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)) != bytes(4):
        assert time.monotonic() < deadline, "nobody reads"


def answer(s):
    got = b""
    try:
        while len(got) < ADDRESS:
            part = s.recv(ADDRESS - len(got))
            if not part:
                break
            got += part
    except ConnectionResetError:
        got = b""
    if not got:
        print("closed", flush=True)
        return None
    assert len(got) == ADDRESS and got[:2] == struct.pack("H", 1), got
    path = got[2:]
    if path[:1] == b"\0":
        print("answer abstract", flush=True)
        return path
    print("answer", path.rstrip(b"\0").decode(), flush=True)
    return path.rstrip(b"\0")


def main():
    ctl, what = sys.argv[1:3]
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        where = "/tmp" if what != "at" else folder
        name = f"{where}/vde.{os.getpid():05}-00000".encode()
        if what == "uml":
            name = b"\0" + struct.pack("I", os.getpid())
        data = data_socket(name)
        s = connect(ctl)
        if what == "bad":
            for word, bad in bad_requests(name).items():
                if sys.argv[3] in (word, "all"):
                    s = connect(ctl)
                    s.sendall(bad)
                    answer(s)
        elif what == "at":
            s.sendall(request(sys.argv[3].encode()))
            answer(s)
        elif what == "pieces":
            for byte in request(name):
                s.sendall(bytes([byte]))
                wait_read(s)  # so that it's a piece of its own
            answer(s)
        elif what == "uml":
            s.sendall(request(name.ljust(ADDRESS - 2, b"\xa5")) + b"\xa5\xa5")
            to = answer(s)
            if to:
                data.sendto(FRAME, to)
        elif what == "frame":
            s.sendall(request(name, description=b"a\x1b[1mb\nc"))
            to = answer(s)
            if to:
                data.connect(to)
                data.send(FRAME)
        if name[:1] != b"\0":
            os.unlink(name)
        sys.stdin.read()


if __name__ == "__main__":
    main()
