"""nat - TCP of a QEMU guest to the outside, by switchd's slirp port and by QEMU's

Both have libslirp in between: QEMU in its own process, switchd in switchd-slirp,
behind a switch that the guest is at by vhost-user. The outside is an address of
the namespace's own.

    guest ==vhost-user== [ switchd ] -- switchd-slirp ---- 10.98.0.1, lo
    guest ==== [ QEMU: -netdev user ] -------------------- 10.98.0.1, lo

The guests are those of console.py, and take turns as there.
"""

import os

from console import ConsoleGuest, ConsoleQemu, ConsoleSwitchd, arrived
from stage import favour, processes, run
from subject import Bar, Missing, Row

OUTSIDE = "10.98.0.1"


class NatGuest(ConsoleGuest):
    side = "s"
    port = None
    server = None

    def serve(self):
        """What the guest speaks to."""
        run("ip", "-n", f"{self.stage.prefix}s", "link", "set", "lo", "up")
        run("ip", "-n", f"{self.stage.prefix}s", "addr", "replace",
            f"{OUTSIDE}/32", "dev", "lo")
        self.server = self.stage.start("s", "iperf3", "-s", "-B", OUTSIDE,
                                       "-p", str(self.port))

    def ready(self):
        self.guest.ready()
        self.guest.address("10.0.2.15/24")
        self.guest.check("ip route add default via 10.0.2.2")
        favour(processes(self.guest.process.pid) + self.pids() +
               [self.server.pid])

    def measure(self, seconds, *options):
        """Gbit/s that arrive, by the clock of the receiver."""
        return arrived(self.guest.check(" ".join((
            "iperf3", "-c", OUTSIDE, "-p", str(self.port), "-J",
            *self.much(seconds), *options)), seconds + 20))

    def stop(self):
        super().stop()
        if self.server:
            self.stage.stop(self.server)
            self.server = None


class NatSwitchd(NatGuest, ConsoleSwitchd):
    about = "the subject, guest at a vhost-user port, beside a slirp port"
    port = 5301

    def check(self):
        super().check()
        build = self.options.build
        if build:
            slirp = os.path.abspath(f"{build}/ports/slirp/switchd-slirp")
            if not os.path.exists(slirp):
                raise Missing(f"no switchd-slirp in {build}")
            os.environ["SWITCHD_SLIRP"] = slirp

    def start(self):
        path = os.path.join(self.stage.dir, "nat.sock")
        self.daemon(config={"daemon": {"allow": {"sockets": [path]}}})
        self.serve()
        self.ctl("port", "attach", "nat", "type=slirp")
        self.share(path)
        self.ready()


class NatUser(NatGuest):
    about = "QEMU's own -netdev user"
    port = 5302

    def start(self):
        self.serve()
        self.boot(("-netdev", "user,id=n0"))
        self.ready()


class Nat(ConsoleQemu):
    words = ("nat",)
    title = "a QEMU guest and the outside by NAT, medians"
    rows = [Row("from_gbit", "Gbit/s", 2, "TCP from the guest"),
            Row("to_gbit", "Gbit/s", 2, "TCP to the guest")]
    bars = [Bar("from_gbit", "switchd", "user", "min", 1.0),
            Bar("to_gbit", "switchd", "user", "min", 1.0)]

    cast_of = {"switchd": NatSwitchd, "user": NatUser}

    def measures(self, contestant, seconds):
        # It is the guest that calls: the other way round than in console.py.
        return {"from_gbit": contestant.measure(seconds),
                "to_gbit": contestant.measure(seconds, "-R")}
