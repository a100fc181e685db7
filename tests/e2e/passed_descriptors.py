"""passed_descriptors WHERE PATH [OWN] - descriptors beside frames

Passes a TCP socket whose close lingers to who reads at PATH, and closes it
itself, so that whoever has it then waits. WHERE: a seqpacket or stream
listener; a vde listener's ctl, with half a request (ask), or behind a whole one
by the connection (control) or by the port's socket (data); a dgram port that
sends to OWN.

Prints "refused" where the kernel doesn't let it, or "passed" and waits for its
standard input to end.
"""
import array
import os
import socket
import struct
import sys

LINGER_S = 30
ADDRESS = 108
FRAME = bytes.fromhex("ffffffffffff02000000d00d88b5") + bytes(46)


def lingering():
    """A connection with more to send than its other end reads; both."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        s = socket.create_connection(server.getsockname())
        other = server.accept()[0]
    s.setblocking(False)
    try:
        while True:
            s.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                 struct.pack("ii", 1, LINGER_S))
    return s, other


def connect(kind, path):
    s = socket.socket(socket.AF_UNIX, kind)
    s.connect(path)
    return s


def request(name):
    return struct.pack("IIIH", 0xfeedface, 3, 0, socket.AF_UNIX) + \
        name.encode().ljust(ADDRESS, b"\0")


def vde(where, ctl):
    """Where a descriptor goes, and what with."""
    s = connect(socket.SOCK_STREAM, ctl)
    if where == "ask":
        return [s], request("/tmp/none")[:50]
    data = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"/tmp/passed.{os.getpid()}"
    data.bind(name)
    try:
        s.sendall(request(name))
        data.connect(s.recv(2 + ADDRESS)[2:].rstrip(b"\0"))
    finally:
        os.unlink(name)
    return ([s, data], FRAME) if where == "control" else ([data, s], FRAME)


def ends(where, path, own):
    if where == "seqpacket":
        return [connect(socket.SOCK_SEQPACKET, path)], FRAME
    if where == "stream":
        return [connect(socket.SOCK_STREAM, path)], \
            struct.pack(">I", len(FRAME)) + FRAME
    if where == "dgram":
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(own)
        s.connect(path)
        return [s], FRAME
    return vde(where, path)


def main(where, path, own=""):
    s, other = lingering()
    to, data = ends(where, path, own)
    try:
        to[0].sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                array.array("i", [s.fileno()]))])
        s.close()
        print("passed", flush=True)
        sys.stdin.read()
    except PermissionError:
        print("refused", flush=True)
    other.close()  # nobody waits for it any more


main(*sys.argv[1:])
