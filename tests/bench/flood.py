"""flood - what a copy of a broadcast costs, to many ports

See flood.c for how the cost is taken. `switchd` has the network-device sides of
TAPs as ports of type netdev, `userspace` the same without the kernel's help,
`tap` holds the descriptors itself; the bridge has the TAPs as members.
"""

import json
import subprocess

from contestants import (FloodTap, HoldersBridge, HoldersSwitchd,
                         HoldersUserspace)
from subject import Bar, Row, Subject

PREFIX = "fl"
KEPT = 0.99  # of the copies; with less than these it would be no comparison


class Flood(Subject):
    words = ("flood",)
    title = "a broadcast to many ports"
    repetitions = 3  # bringing ports up and down takes long

    def __init__(self, stage, options):
        super().__init__(stage, options)
        self.sizes = (20, 50) if options.quick else (100, 1000)
        self.rows = [Row(f"flood{n}_ns", "ns", 0, f"CPU a copy, {n} ports")
                     for n in self.sizes]
        self.bars = []
        for n in self.sizes:
            self.bars += [
                Bar(f"flood{n}_ns", "switchd", "bridge", "max", 1.5, None,
                    "by the kernel path"),
                Bar(f"flood{n}_ns", "userspace", "bridge", "max", 2.5),
                Bar(f"flood{n}_ns", "tap", "bridge", "max", 2.5)]

    def cast(self):
        return {"switchd": lambda: HoldersSwitchd(self.stage, self.options),
                "userspace": lambda: HoldersUserspace(self.stage,
                                                      self.options),
                "tap": lambda: FloodTap(self.stage, self.options),
                "bridge": lambda: HoldersBridge(self.stage, self.options)}

    def turn(self, contestant):
        result = {}
        for n in self.sizes:
            result[f"flood{n}_ns"] = self.measure(contestant, n)
        return result

    def measure(self, contestant, ports):
        devices = [f"{PREFIX}{i}" for i in range(ports)]
        argv = [self.options.programs["flood"], "-t",
                str(self.options.span)]
        p = None
        try:
            if contestant.holds:
                contestant.join(devices)
                argv.append("-d")
            p = self.stage.start("s", *argv, PREFIX, str(ports),
                                 stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
            self.stage.read_line(p, "ready")
            self.stage.group_up("s", devices)
            if not contestant.holds:
                contestant.join(devices)
            pids = contestant.pids()
            p.stdin.write((" ".join(map(str, pids)) + "\n").encode())
            r = json.loads(self.stage.read_line(
                p, "copies", self.options.seconds + 60))
        finally:
            self.stage.group_delete("s")
            if p:
                self.stage.stop(p)
            contestant.stop()
        if r["copies"] < KEPT * r["expected"]:
            raise RuntimeError(f"{ports} ports: {r['copies']} copies of "
                               f"{r['expected']} came out")
        return r["copy_ns"]
