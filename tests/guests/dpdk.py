"""DPDK's testpmd as a front end of vhost-user: virtio-user.

    with dpdk.Testpmd("a", "/run/s0", frames="in.pcap", into="out.pcap") as a:
        a.ready().command("start")

Its first port is virtio-user's, the second a pair of capture files: it sends
the frames of one through the ring, and writes what comes to the other.

Without huge pages: DPDK's memory is then one memfd, which it passes on. That
costs it some speed, which these tests don't ask for, and the host nothing.
"""

import os
import re
import struct

import guest

PROMPT = rb"testpmd> "
START_SECONDS = 30
COMMAND_SECONDS = 20

# pcap-savefile(5): microseconds, version 2.4, Ethernet
PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def write_frames(path, frames):
    """Makes a capture file of frames."""
    with open(path, "wb") as file:
        file.write(PCAP_HEADER)
        for frame in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)))
            file.write(frame)


def read_frames(path):
    """The frames of a capture file that testpmd has closed."""
    with open(path, "rb") as file:
        data = file.read()
    frames, at = [], len(PCAP_HEADER)
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


class Testpmd(guest.Guest):
    """A running testpmd.

    path     of the vhost-user socket
    options  of virtio-user, e.g. ",packed_vq=1"
    frames   capture file to send, or nothing
    into     capture file for what is received
    queues   pairs of them
    """

    # pylint: disable-next=too-many-arguments
    def __init__(self, name, path, options="", frames="", into="/dev/null",
                 queues=1):
        more = f",rx_pcap={frames}" * queues if frames else ""
        more += f",tx_pcap={into}" if queues == 1 else "".join(
            f",tx_pcap={into}.{queue}" for queue in range(queues))
        cpus = ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0)))
        super().__init__(name, [
            # What it says and its prompt go different ways: in order only
            # where lines aren't kept back.
            "stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "-m", "128",
            "--no-pci", "--no-telemetry", "--no-shconf",
            "--lcores", f"0@({cpus}),1@({cpus})",
            "--file-prefix", name, "--single-file-segments",
            "--vdev", f"net_virtio_user0,path={path},queues={queues}{options}",
            "--vdev", f"net_pcap0{more}",
            "--", "-i", "--no-flush-rx", "--total-num-mbufs=16384",
            f"--rxq={queues}", f"--txq={queues}"])

    def ready(self, seconds=START_SECONDS):
        """Waits until it can begin: to forward between ring and files, and to
        try again where the ring is full."""
        self.expect(PROMPT, seconds)
        self.command("set fwd io retry")
        self.command("set burst tx delay 50 retry 100000")
        return self

    def command(self, line, seconds=COMMAND_SECONDS):
        """Gives it a command; returns what it says before the next prompt."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        # It says what it reads.
        self.expect(re.escape(line.encode()) + rb"\r?\n", seconds)
        return self.expect(PROMPT, seconds)[0].decode(errors="replace")

    def packets(self, port=0):
        """How many frames it has received and sent so far."""
        text = self.command(f"show port stats {port}")
        return tuple(int(re.search(rf"{way}-packets: *(\d+)", text)[1])
                     for way in ("RX", "TX"))

    def stop(self, seconds=10):
        """Has it end, so that its files are complete."""
        if self.process.poll() is None:
            self.process.stdin.write(b"quit\n")
            self.process.stdin.flush()
            self.wait(seconds)
        self.kill()
