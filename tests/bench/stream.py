"""stream - TCP between two QEMU guests, by a stream listener and without a switch

QEMU can connect two of its guests by itself: one listens, the other one is its
only peer. The guests are the same each time, and so is what they speak, each
frame with its length in front of it. Their own way goes by TCP; to a listener
there is that, and a Unix socket, which costs less.

    guest a ==== [ switchd: a stream listener ] ==== guest b
    guest a ==== socket,listen === socket,connect ==== guest b

The guests are those of console.py, and take turns as there.
"""

import os

from console import ConsoleGuest, ConsoleQemu, ConsoleSwitchd, PORT, arrived
from stage import favour, processes, run
from subject import Bar, Row

ADDRESSES = "10.99.0.9", "10.99.0.10"


class Pair(ConsoleGuest):
    """Two guests: `guest`, which listens, and the other one."""
    side = "s"
    port = PORT
    other = None

    def up(self, *nets):
        run("ip", "-n", f"{self.stage.prefix}s", "link", "set", "lo", "up")
        self.boot((nets[0],))
        # QEMU that connects does so once, and goes on without.
        self.guest.ready()
        self.other, self.guest = self.guest, None
        self.boot((nets[1],))
        self.guest.ready()
        for number, guest in enumerate((self.guest, self.other)):
            guest.check("ip link set dev eth0 address "
                        f"52:54:00:99:00:0{number}")
            guest.address(ADDRESSES[number] + "/24")
            favour(processes(guest.process.pid))
        favour(self.pids())

    def boot(self, nets):
        super().boot(("-netdev", f"{nets[0]},id=n0"))

    def measure(self, seconds, *options):
        self.listen()
        return arrived(self.other.check(" ".join((
            "iperf3", "-c", ADDRESSES[0], "-p", str(self.port), "-J",
            *self.much(seconds), *options)), seconds + 20))

    def stop(self):
        super().stop()
        if self.other:
            self.other.kill()
            self.other = None


class StreamSwitchd(Pair, ConsoleSwitchd):
    about = "the subject, a stream listener at a Unix socket"

    def check(self):
        super().check()
        # Each has a daemon of its own.
        folder = os.path.join(self.stage.dir, self.name)
        os.makedirs(folder, exist_ok=True)
        self.socket = os.path.join(folder, "switchd.sock")
        self.path = os.path.join(folder, "stream.sock")

    name = "unix"

    def listener(self):
        """Its address, and how QEMU says it."""
        return self.path, "stream,server=off,addr.type=unix," \
            f"addr.path={self.path}"

    def start(self):
        address, net = self.listener()
        self.daemon(config={
            "daemon": {"allow": {"sockets": [self.path]}},
            "listeners": [{"name": "l", "type": "stream",
                           "listen": address}]})
        self.up(net, net)


class StreamTcp(StreamSwitchd):
    about = "the same, the listener at a TCP port"
    name = "tcp"

    def listener(self):
        return "127.0.0.1:5401", "socket,connect=127.0.0.1:5401"


class StreamDirect(Pair):
    about = "QEMU's own -netdev socket between two guests"
    address = "127.0.0.1:5402"

    def start(self):
        self.up(f"socket,listen={self.address}",
                f"socket,connect={self.address}")


class Stream(ConsoleQemu):
    words = ("stream",)
    title = "two QEMU guests by a stream each, medians"
    rows = [Row("tcp_gbit", "Gbit/s", 2, "TCP from one to the other")]
    bars = [Bar("tcp_gbit", "switchd", "direct", "min", 0.8),
            Bar("tcp_gbit", "switchd-tcp", "direct", "min", 0.8)]

    cast_of = {"switchd": StreamSwitchd, "switchd-tcp": StreamTcp,
               "direct": StreamDirect}

    def measures(self, contestant, seconds):
        return {"tcp_gbit": contestant.measure(seconds)}
