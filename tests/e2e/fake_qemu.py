"""fake_qemu.py HELPER [ARGUMENT...]: QEMU's side of `-netdev tap,helper=`.

Runs the helper with a socketpair and expects a TAP. Prints its name, then every
frame that comes in, as hex; sends the frames that it reads from stdin, a line
each; ends with the end of stdin, and the TAP's descriptor with it. A helper
that fails: its message and its exit status.
"""
import array
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

TUNGETIFF, TUNSETVNETHDRSZ = 0x800454D2, 0x400454D8
IFF_VNET_HDR = 0x4000

ours, its = socket.socketpair()
done = subprocess.run(
    [sys.argv[1], "--use-vnet", f"--fd={its.fileno()}", *sys.argv[2:]],
    pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, check=False)
its.close()
if done.returncode:
    sys.exit(done.returncode)
byte, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(16))
assert len(byte) == 1 and len(ancillary) == 1, (byte, ancillary)
fds = array.array("i", ancillary[0][2])
assert len(fds) == 1, fds
tap = fds[0]
name, flags = struct.unpack("16sH", fcntl.ioctl(tap, TUNGETIFF, bytes(40))[:18])
assert flags & IFF_VNET_HDR, hex(flags)
fcntl.ioctl(tap, TUNSETVNETHDRSZ, struct.pack("i", 12))
print("tap", name.rstrip(b"\0").decode(), flush=True)
while True:
    ready = select.select([tap, sys.stdin], [], [])[0]
    if tap in ready:
        print(os.read(tap, 70000)[12:].hex(), flush=True)
    if sys.stdin in ready:
        line = os.read(0, 65536)
        if not line:
            break
        for frame in line.decode().split():
            os.write(tap, bytes(12) + bytes.fromhex(frame))
