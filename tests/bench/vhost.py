"""vhost - two virtio-user ends, and a switch between them

The front end is testpmd with two virtio-user ports in polling mode, on a
processor of its own; on another one is the back end: switchd with one worker
and two ports of type vhost-user, or testpmd that passes on from one vhost port
to the other.

    processor 0                            processor 1
    +--------------------------+           +----------------+
    | testpmd      port 0  mac |== rings ==| v0             |
    | forwarding               |           |  the back end  |
    | port <-> itself   port 1 |== rings ==| v1             |
    +--------------------------+           +----------------+

Each end of the front end returns what comes to it to the other end, whose
address is known. So a number of frames is on its way for ever, in both
directions; what arrives at the front end is counted. Where this number is
one, the rate is the round trip.

Rates of two processors that share memory depend on how far apart the host has
put them at the moment: by a factor of two, for seconds. So all are up at the
same time and have many short turns, one running and the others asleep, and
what counts is the median of the ratios of turns side by side. Other programs
of the host have to wait meanwhile.
"""

import os
import time

import hugepages
from contestants import Contestant, Switchd, find
from stage import favour, pin, wait_for
from subject import Bar, Missing, Row, Subject
from testpmd import HUGE, PAGES, SMALL, Testpmd

ADDRESSES = ("02:00:00:00:01:00", "02:00:00:00:01:01")
RING = 256
WINDOW = 0.25  # seconds of a measurement
SETTLE = 0.02  # before it: addresses are learned, batches form
BURST = 32     # testpmd's own
BURSTS = 3     # on their way from each end: rings have room for all
RINGS = {"split": "", "packed": ",packed_vq=1"}


class Testpmds(Contestant):
    """testpmd as the back end: one for each kind of ring."""
    about = "dpdk-testpmd, io forwarding between two vhost ports"

    def check(self):
        self.program = find(self.options, "dpdk-testpmd")
        self.backs = {}

    def up(self, kind, paths, cpu, memory):
        self.backs[kind] = Testpmd(
            self.stage, self.program, memory, f"back-{kind}", cpu,
            [f"net_vhost{i},iface={path},queues=1"
             for i, path in enumerate(paths)], "--forward-mode=io")

    def begin(self, kind):
        self.backs[kind].command("start")

    def rest(self, kind):
        self.backs[kind].command("stop")

    def stop(self):
        for back in self.backs.values():
            back.stop()
        self.backs = {}


class OneSwitchd(Switchd):
    about = "the subject, one worker, two ports of type vhost-user"

    def up(self, kind, paths, cpu, memory):
        folder = os.path.dirname(paths[0])
        # One of its own: there are more sockets than this beside it.
        os.makedirs(f"{folder}/switchd-{kind}", exist_ok=True)
        self.socket = f"{folder}/switchd-{kind}/switchd.sock"
        self.daemon("-w", "1", config={
            "daemon": {"allow": {"sockets": [f"{folder}/*"]}}})
        for i, path in enumerate(paths):
            self.ctl("port", "attach", f"v{i}", "type=vhost-user",
                     f"path={path}")
        pin(self.pids(), [cpu])
        favour(self.pids())

    def stop(self):
        if self.proc:
            self.stage.stop(self.proc)
            self.proc = None


class Switchds(Contestant):
    """switchd, likewise: it is asleep while the others have their turn."""
    about = OneSwitchd.about

    def check(self):
        self.backs = {kind: OneSwitchd(self.stage, self.options)
                      for kind in RINGS}

    def up(self, kind, *arguments):
        self.backs[kind].up(kind, *arguments)

    def begin(self, kind):
        pass

    def rest(self, kind):
        pass

    def stop(self):
        for back in self.backs.values():
            back.stop()


class Pair:
    """A back end with its front ends."""

    def __init__(self, stage, options, name, back):
        self.stage, self.name, self.back = stage, name, back
        self.about = back.about
        self.program = find(options, "dpdk-testpmd")
        self.fronts = {}

    def start(self, cpus, memory):
        folder = os.path.join(self.stage.dir, f"vhost-{self.name}")
        os.makedirs(folder, exist_ok=True)
        for kind, words in RINGS.items():
            paths = [f"{folder}/{kind}{i}" for i in (0, 1)]
            self.back.up(kind, paths, cpus[1], memory)
            for path in paths:
                wait_for(path, lambda path=path: os.path.exists(path))
            self.fronts[kind] = Testpmd(
                self.stage, self.program, memory,
                f"front-{self.name}-{kind}", cpus[0],
                [f"net_virtio_user{i},path={path},queue_size={RING},"
                 f"mac={ADDRESSES[i]}{words}" for i, path in enumerate(paths)],
                "--forward-mode=mac", "--port-topology=loop",
                *(f"--eth-peer={i},{ADDRESSES[1 - i]}" for i in (0, 1)))

    def stop(self):
        for front in self.fronts.values():
            front.stop()
        self.fronts = {}
        self.back.stop()

    def running(self, kind, first, begin, seconds):
        """Frames a second that come back to the front end after the commands
        `first` and `begin`. None of them may be lost."""
        front = self.fronts[kind]
        front.commands("clear port stats all", *first)
        self.back.begin(kind)
        front.command(begin)
        time.sleep(SETTLE)
        front.counted()
        time.sleep(seconds)
        rate = front.counted()[2]
        front.command("stop")
        lost = self.drain(front)
        self.back.rest(kind)
        if lost or not rate:
            raise RuntimeError(f"{lost} frames were lost, "
                               f"{rate} a second came back")
        return rate

    def drain(self, front):
        """Take in what is still on its way: how many there should be more."""
        front.commands("set fwd rxonly", "start")
        end = time.monotonic() + 0.2
        while True:
            received, sent, _ = front.counted()
            if received == sent or time.monotonic() > end:
                break
        front.commands("stop", "set fwd mac")
        return sent - received

    def rate(self, kind, size, seconds):
        return self.running(
            kind, (f"set burst {BURST}", f"set txpkts {size}"),
            f"start tx_first {BURSTS}", seconds)

    def round_trip(self, kind, seconds):
        """Seconds for one frame, there and back."""
        rate = self.running(
            kind, ("set burst 1", "set txpkts 64", "set portlist 0",
                   "start tx_first 1", "stop", "set portlist 0,1"),
            "start", seconds)
        return 2 / rate  # it is counted at both ends


class Vhost(Subject):
    words = ("vhost",)
    title = "virtio-user ends, medians"
    paired = True
    turns = 4
    rows = [
        Row("split_mpps", "Mpps", 2, "64-byte frames, split rings"),
        Row("packed_mpps", "Mpps", 2, "64-byte frames, packed rings"),
        Row("mtu_mpps", "Mpps", 2, "1514-byte frames, split rings"),
        Row("round_us", "us", 2, "round trip, split rings"),
    ]
    bars = [
        Bar("split_mpps", "switchd", "testpmd", "min", 0.8, 1.0),
        Bar("packed_mpps", "switchd", "testpmd", "min", 0.7),
        Bar("mtu_mpps", "switchd", "testpmd", "min", 0.9),
        Bar("round_us", "switchd", "testpmd", "max", 1.5),
    ]

    def cast(self):
        def pair(name, back):
            if len(self.cpus()) < 2:
                raise Missing("needs two processors")
            return Pair(self.stage, self.options, name,
                        back(self.stage, self.options))
        self.pairs, self.memory = [], None
        return {"switchd": lambda: pair("switchd", Switchds),
                "testpmd": lambda: pair("testpmd", Testpmds)}

    @staticmethod
    def cpus():
        return sorted(os.sched_getaffinity(0))

    def borrowed(self):
        """Huge pages, if there are some. A quick run changes nothing of the
        host's."""
        return not self.options.quick and hugepages.borrow(
            self.stage.dir, PAGES * 3 * len(RINGS))

    def prepare(self, pair):
        """Up, unless it is; it stays so until close()."""
        if not self.memory:
            self.memory = HUGE if self.borrowed() else SMALL
            pages = "huge" if self.memory is HUGE else "small"
            self.title = f"virtio-user ends, {pages} pages, medians"
        if pair not in self.pairs:
            self.pairs.append(pair)
            pair.start(self.cpus(), self.memory)

    def turn(self, contestant):
        seconds = min(self.options.span, WINDOW)
        try:
            self.prepare(contestant)
            return {
                "split_mpps": contestant.rate("split", 64, seconds) / 1e6,
                "packed_mpps": contestant.rate("packed", 64, seconds) / 1e6,
                "mtu_mpps": contestant.rate("split", 1514, seconds) / 1e6,
                "round_us": contestant.round_trip("split", seconds) * 1e6}
        except BaseException:
            contestant.stop()  # a new one for the next turn
            if contestant in self.pairs:
                self.pairs.remove(contestant)
            raise

    def close(self):
        for pair in self.pairs:
            pair.stop()
        self.pairs = []
        hugepages.give_back(self.stage.dir)
