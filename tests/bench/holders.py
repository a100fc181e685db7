"""holders - two programs that hold TAPs, as QEMU does, and a switch between

The switch has the network-device sides, in its own namespace: switchd as ports
of type netdev, the bridge as members. See holders.c for what is measured; a
frame that was damaged, doubled or overtaken on the way is a failure.

     namespace s
    +------------------------------------------------------+
    | writer --fd-- ha [ the contestant ] hb --fd-- reader |
    +------------------------------------------------------+
"""

import json
import os
import subprocess

from contestants import HoldersBridge, HoldersSwitchd, HoldersUserspace
from stage import run
from subject import Bar, Row, Subject

KINDS = ("small", "mtu", "gso")
DEVICES = ("ha", "hb")


class Holders(Subject):
    words = ("holders",)
    title = "two QEMU-like holders of TAPs"
    rows = [row for kind, rate in (
        ("small", Row("small_mpps", "Mpps", 3, "60-byte frames")),
        ("mtu", Row("mtu_mpps", "Mpps", 3, "1514-byte frames")),
        ("gso", Row("gso_gbit", "Gbit/s", 1, "64 KB super-frames"))
    ) for row in (
        rate,
        Row(f"{kind}_lost", "%", 1, "  lost on the way"),
        Row(f"{kind}_writer_ns", "ns/frame", 0, "  CPU of writer and kernel"),
        Row(f"{kind}_switch_ns", "ns/frame", 0, "  CPU of the switch"),
        Row(f"{kind}_reader_ns", "ns/frame", 0, "  CPU of the reader"))]
    bars = [
        Bar("small_mpps", "switchd", "bridge", "min", 2.0, 2.5),
        Bar("mtu_mpps", "switchd", "bridge", "min", 1.3, 1.5),
        Bar("gso_gbit", "switchd", "bridge", "min", 0.97, 1.0),
    ]

    def cast(self):
        return {"switchd": lambda: HoldersSwitchd(self.stage, self.options),
                "userspace": lambda: HoldersUserspace(self.stage,
                                                      self.options),
                "bridge": lambda: HoldersBridge(self.stage, self.options)}

    def start(self):
        argv = [self.options.programs["holders"], "-t",
                str(self.options.span)]
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) > 1:  # one for each guest; the switch is free to choose
            argv += ["-w", str(cpus[0]), "-r", str(cpus[1])]
        p = self.stage.start("s", *argv, *DEVICES, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        self.stage.read_line(p, "ready")
        for dev in DEVICES:
            run("ip", "-n", self.stage.prefix + "s", "link", "set", dev, "up")
        return p

    def turn(self, contestant):
        result = {}
        holders = self.start()
        try:
            contestant.join(DEVICES)
            pids = contestant.pids()
            holders.stdin.write((" ".join(map(str, pids)) + "\n").encode())
            for kind in KINDS:
                line = self.stage.read_line(
                    holders, "kind", self.options.seconds + 20)
                result.update(judged(kind, json.loads(line)))
        finally:
            self.stage.stop(holders)
            contestant.stop()
        return result


def judged(kind, r):
    bad = {k: r[k] for k in ("wrong", "doubled", "reordered", "cut") if r[k]}
    if bad:
        raise RuntimeError(f"{kind}: frames came out wrong: {bad} of "
                           f"{r['received']}")
    result = {f"{kind}_lost": 100 * r["lost"] / r["written"],
              f"{kind}_writer_ns": r["writer_ns"],
              f"{kind}_reader_ns": r["reader_ns"]}
    if r["switch_ns"]:
        result[f"{kind}_switch_ns"] = r["switch_ns"]
    if kind == "gso":
        result["gso_gbit"] = r["gbit"]
    else:
        result[f"{kind}_mpps"] = r["fps"] / 1e6
    return result
