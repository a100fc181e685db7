"""workers - two workers against one, on two pairs of ports of their own VLANs

Each pair has a sender of 60-byte frames, flat out, one from a to b and one from
b to a, so that the receiving ports fall to different workers however ports are
handed out. Both senders and the workers share this host's processors: with two
of them, two workers can't forward twice as much, and there is no bar.
"""

import json
import os
import subprocess

from contestants import Switchd
from stage import run
from subject import Row, Subject

PAIRS = ((("a", "wt0"), ("b", "wt1")), (("b", "wt3"), ("a", "wt2")))


class WorkersSwitchd(Switchd):
    workers = 1

    def start(self):
        self.daemon("-w", str(self.workers))
        for i, pair in enumerate(PAIRS):
            for side, dev in pair:
                ns = self.stage.prefix + side
                self.ctl("port", "attach", dev, "type=tap", f"ifname={dev}",
                         f"netns={ns}", "mode=access", f"vlan={10 + i}")
                run("ip", "-n", ns, "link", "set", "dev", dev, "up")


class TwoWorkers(WorkersSwitchd):
    workers = 2


class Workers(Subject):
    words = ("workers",)
    ours = "two"
    title = f"workers, {os.cpu_count()} processors"
    rows = [Row("sum_mpps", "Mpps", 3, "60-byte frames, both pairs"),
            Row("cpu_ns", "ns/frame", 0, "  CPU in the switch")]

    def cast(self):
        return {"one": lambda: WorkersSwitchd(self.stage, self.options),
                "two": lambda: TwoWorkers(self.stage, self.options)}

    def turn(self, contestant):
        argv = [self.options.programs["frames"], "-t",
                str(self.options.span)]
        try:
            contestant.start()
            for pid in contestant.pids():
                argv += ["-p", str(pid)]
            senders = [subprocess.Popen(
                argv + [f"{self.stage.prefix}{side}:{dev}"
                        for side, dev in pair],
                stdout=subprocess.PIPE, text=True) for pair in PAIRS]
            results = [json.loads(p.communicate(
                timeout=self.options.seconds + 30)[0] or '{"pps": 0}')
                for p in senders]
        finally:
            contestant.stop()
        if not all(r["pps"] for r in results):
            raise RuntimeError("a pair of ports got nothing through")
        return {"sum_mpps": sum(r["pps"] for r in results) / 1e6,
                "cpu_ns": results[0]["cpu_ns"] /
                sum(r["received"] for r in results)}
