"""The other end of a udp or dgram port: a guest that knows Ethernet frames.

socket_peer.py LOCAL REMOTE
	[send HEX... | hear SECONDS COUNT [PREFIX] | after FIFO]...

LOCAL and REMOTE are ADDRESS:PORT, [ADDRESS]:PORT or /PATH; as QEMU does, an old
socket at the path is replaced, and the socket isn't connected. Prints "ready",
then does as it's told: send sends the frames; hear prints each frame that comes
and begins with PREFIX as hex, until there were COUNT. Exit status 0 where there
were as many (COUNT 0: where none came in that time). after reads nothing until
somebody has opened the FIFO to write.

A word of the form N*HEX among the frames sends N of them.
"""
import os
import select
import signal
import socket
import sys
import time


def address(text):
    if text.startswith("/"):
        return socket.AF_UNIX, text
    host, port = text.rsplit(":", 1)
    if host.startswith("["):
        return socket.AF_INET6, (host[1:-1], int(port))
    return socket.AF_INET, (host, int(port))


def open_socket(local):
    family, name = address(local)
    if family == socket.AF_UNIX and os.path.exists(name):
        os.unlink(name)
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind(name)
    return s


def send(s, remote, words):
    for word in words:
        count, _, data = word.rpartition("*")
        for _ in range(int(count or 1)):
            s.sendto(bytes.fromhex(data), address(remote)[1])


def hear(s, seconds, count, prefix=""):
    deadline = time.monotonic() + float(seconds)
    seen = 0
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([s], [], [], left)[0]:
            break
        data = s.recv(1 << 17)
        if not data.startswith(bytes.fromhex(prefix)):
            continue
        print(data.hex(), flush=True)
        seen += 1
        if seen == int(count):
            return 0
    return int(seen != int(count))


def after(path):
    signal.alarm(30)
    with open(path, "rb"):
        signal.alarm(0)


def main(local, remote, *words):
    s = open_socket(local)
    print("ready", flush=True)
    starts = [i for i, word in enumerate(words) if word in ("send", "hear", "after")]
    for start, end in zip(starts, starts[1:] + [len(words)]):
        arguments = words[start + 1:end]
        if words[start] == "send":
            send(s, remote, arguments)
        elif words[start] == "after":
            after(*arguments)
        elif hear(s, *arguments):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
