"""scale - switchd with many ports: idle, and what bringing them up costs

`idle` and `memory`: 100 TAP ports and no traffic. `scale`: TAP ports attached
one by one, and by one configuration; both must be linear in their number, so
what a port costs among many is compared with what it costs among few.
"""

import subprocess
import time

from contestants import Switchd, calls
from stage import tasks, wait_for
from subject import Bar, Row, Subject


def switches(pids):
    total = 0
    for pid, tid in tasks(pids):
        with open(f"/proc/{pid}/task/{tid}/status") as f:
            total += sum(int(line.split()[1]) for line in f
                         if "ctxt_switches" in line)
    return total


def cpu_seconds(pids):
    total = 0
    for pid, tid in tasks(pids):
        with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def resident_mib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as f:
            total += sum(int(line.split()[1]) for line in f
                         if line.startswith("VmRSS:"))
    return total / 1024


def tap_port(i):
    return {"name": f"idle{i}", "type": "tap", "ifname": f"idle{i}"}


def attach_many(path, count):
    return calls(path, "port.attach", [tap_port(i) for i in range(count)])


def apply_many(path, count):
    config = {"ports": [tap_port(i) for i in range(count)]}
    return calls(path, "config.apply", [{"config": config}])


class Idle(Subject):
    words = ("idle", "memory")
    repetitions = 1
    ports = 100
    title = f"{ports} TAP ports, no traffic"
    rows = [
        Row("wakeups_per_s", "/s", 2, f"{ports} idle ports: wake-ups"),
        Row("cpu_percent", "%", 3, f"{ports} idle ports: CPU"),
        Row("rss_mib", "MiB", 1, f"{ports} idle ports: resident"),
        Row("processes", "", 0, "  processes"),
        Row("threads", "", 0, "  threads"),
    ]
    # No wake-ups beyond one timer: one a second.
    bars = [
        Bar("wakeups_per_s", "switchd", None, "max", 1.5),
        Bar("cpu_percent", "switchd", None, "max", 0.05),
        Bar("rss_mib", "switchd", None, "max", 64.0),
    ]

    def cast(self):
        return {"switchd": lambda: Switchd(self.stage, self.options)}

    def turn(self, contestant):
        seconds = 3 if self.options.quick else 10
        devices = [f"idle{i}" for i in range(self.ports)]
        try:
            contestant.daemon()
            attach_many(contestant.socket, self.ports)
            self.stage.group_up("s", devices)
            pids = contestant.pids()
            cpu, since = cpu_seconds(pids), time.monotonic()

            def settled():
                nonlocal cpu, since
                if time.monotonic() - since < 0.5:
                    return False
                last, cpu = cpu, cpu_seconds(pids)
                since = time.monotonic()
                return cpu - last < 0.005
            wait_for("switchd quiet", settled)
            before, cpu = switches(pids), cpu_seconds(pids)
            start = time.monotonic()
            time.sleep(seconds)
            span = time.monotonic() - start
            return {"processes": len(pids),
                    "threads": len(list(tasks(pids))),
                    "wakeups_per_s": (switches(pids) - before) / span,
                    "cpu_percent": (cpu_seconds(pids) - cpu) / span * 100,
                    "rss_mib": resident_mib(pids)}
        finally:
            self.stage.group_delete("s")
            contestant.stop()


class Bare:
    """The kernel alone: a program that opens as many TAPs."""
    holds = False

    def __init__(self, stage, options):
        self.stage, self.options = stage, options


class Scale(Subject):
    words = ("scale",)
    title = "many TAP ports"
    ways = {"attach": ("port.attach", attach_many),
            "apply": ("config.apply", apply_many)}
    repetitions = 3

    def __init__(self, stage, options):
        super().__init__(stage, options)
        self.sizes = (25, 50, 100) if options.quick else (250, 500, 1000)
        self.rows, self.bars = [], []
        few, many = self.sizes[0], self.sizes[-1]
        for way, (method, _) in self.ways.items():
            for n in self.sizes:
                self.rows.append(Row(f"{way}{n}_us", "us/port", 0,
                                     f"{method}, {n} ports"))
            self.rows.append(Row(f"{way}_times", "", 2,
                                 f"  a port's, {many} ports / {few}"))
            if way in ("attach", "apply"):
                self.bars.append(Bar(f"{way}_times", "switchd", None, "max",
                                     1.5, None, method))
            for n in self.sizes:
                self.rows.append(Row(f"{way}{n}_kib", "KiB/port", 1,
                                     f"{method}, {n} ports"))

    def cast(self):
        return {"switchd": lambda: Switchd(self.stage, self.options),
                "kernel": lambda: Bare(self.stage, self.options)}

    def turn(self, contestant):
        if isinstance(contestant, Bare):
            return {f"attach{n}_us": self.bare(n) for n in self.sizes}
        result = {}
        for way, (_, function) in self.ways.items():
            for n in self.sizes:
                seconds, kib = self.measure(contestant, function, n)
                result[f"{way}{n}_us"] = seconds / n * 1e6
                result[f"{way}{n}_kib"] = kib / n
            result[f"{way}_times"] = result[f"{way}{self.sizes[-1]}_us"] / \
                result[f"{way}{self.sizes[0]}_us"]
        return result

    def measure(self, contestant, function, count):
        try:
            contestant.daemon()
            before = resident_mib(contestant.pids())
            took = function(contestant.socket, count)
            return took, (resident_mib(contestant.pids()) - before) * 1024
        finally:
            self.stage.group_up("s", [f"idle{i}" for i in range(count)])
            self.stage.group_delete("s")
            contestant.stop()

    def bare(self, count):
        """Microseconds a TAP that the kernel takes to make it, by flood."""
        start = time.monotonic()
        p = self.stage.start("s", self.options.programs["flood"], "idle",
                             str(count), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        try:
            self.stage.read_line(p, "ready", 60)
            return (time.monotonic() - start) / count * 1e6
        finally:
            self.stage.group_up("s", [f"idle{i}" for i in range(count)])
            self.stage.group_delete("s")
            self.stage.stop(p)
