"""guests - two namespaces that talk through a switch

`guests`: each has the network-device side of a TAP, and the switch holds the
descriptor. `veth`: each has the end of a veth pair, and the switch the other
end, as ports of type netdev or as members of a bridge.
"""

import json
import os
import re
import subprocess

from contestants import CONTESTANTS, Bridge, SwitchdVeth
from stage import ADDRESS, DEVICE, pin, run, wait_for
from subject import Bar, Row, Subject


def measure_tcp(stage, contestant, options):
    server = stage.start("b", "iperf3", "-s", "-1", "-B", ADDRESS["b"],
                         "--forceflush", stdout=subprocess.PIPE)
    try:
        stage.read_line(server, "listening")
        out = stage.within("a", "iperf3", "-c", ADDRESS["b"], "-J",
                           "-t", str(options.seconds),
                           timeout=options.seconds + 30)
        bits = json.loads(out)["end"]["sum_received"]["bits_per_second"]
        return {"tcp_gbit": bits / 1e9}
    finally:
        stage.stop(server)


def measure_frames(stage, contestant, options):
    pids = contestant.pids()
    argv = [options.programs["frames"], "-t", str(options.span)]
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:  # the sender has a CPU of its own
        argv += ["-C", str(cpus[0])]
        pin(pids, cpus[1:])
    for pid in pids:
        argv += ["-p", str(pid)]
    ends = [f"{stage.prefix}{side}:{dev}" for side, dev in DEVICE.items()]
    result = {}
    try:
        for name, how in (("flat", []), ("paced", ["-r", str(options.rate),
                                                   "-b", "32"])):
            r = json.loads(run(*argv, *how, *ends))
            result[f"{name}_mpps"] = r["pps"] / 1e6
            if pids and r["received"]:
                result[f"{name}_cpu_ns"] = r["cpu_ns"] / r["received"]
    finally:
        pin(pids, cpus)
    return result


def measure_ping(stage, contestant, options):
    count = 2000 if options.quick else 10000
    out = stage.within("a", "ping", "-q", "-f", "-c", str(count),
                       ADDRESS["b"])
    m = re.search(r"= [\d.]+/([\d.]+)/", out)
    return {"ping_us": float(m[1]) * 1000}


class Guests(Subject):
    words = ("guests", "tcp", "frames", "ping")
    title = "two guests with TAPs, medians"
    extreme = "relay"
    rows = [
        Row("tcp_gbit", "Gbit/s", 2, "TCP, one stream"),
        Row("flat_mpps", "Mpps", 3, "60-byte frames, flat out"),
        Row("flat_cpu_ns", "ns/frame", 0, "  CPU a frame, flat out"),
        Row("paced_mpps", "Mpps", 3, "60-byte frames, fixed rate"),
        Row("paced_cpu_ns", "ns/frame", 0, "  CPU a frame, fixed rate"),
        Row("ping_us", "us", 1, "ping -f, round trip"),
    ]
    # vde_switch is there twice: its own TAPs are the quicker way, vde_plug is
    # how guests are attached to it. Beside each bar stands what the relay
    # reaches against the same peer: the limit for a switch in userspace that
    # sleeps when there is nothing to do.
    bars = [
        Bar("tcp_gbit", "switchd", "vde", "min", 8.0),
        Bar("tcp_gbit", "switchd", "vde-plug", "min", 8.0),
        Bar("tcp_gbit", "switchd", "ovs", "min", 2.5),
        Bar("tcp_gbit", "switchd", "relay", "min", 1.1),
        Bar("tcp_gbit", "switchd", "relay-spin", "min", 0.95),
        Bar("flat_mpps", "switchd", "vde", "min", 3.0),
        Bar("flat_mpps", "switchd", "vde-plug", "min", 3.0),
        Bar("flat_mpps", "switchd", "ovs", "min", 1.5),
        Bar("flat_cpu_ns", "switchd", "relay", "max", 1.1),
        Bar("ping_us", "switchd", "relay", "max", 0.25),
    ]
    measures = {"tcp": measure_tcp, "frames": measure_frames,
                "ping": measure_ping}

    def cast(self):
        return {name: lambda name=name: CONTESTANTS[name](self.stage,
                                                          self.options)
                for name in self.options.peers}

    def turn(self, contestant):
        only = set(self.options.only)
        wanted = [m for m in self.measures
                  if not only or m in only or self.name in only]
        result = {}
        try:
            contestant.start()
            wait_for("the first ping", lambda: self.stage.within(
                "a", "ping", "-q", "-c1", "-W1", ADDRESS["b"],
                check=False).returncode == 0)
            for what in wanted:
                result.update(self.measures[what](self.stage, contestant,
                                                  self.options))
        finally:
            contestant.stop()
        return result


class Veth(Guests):
    words = ("veth",)
    title = "two guests with veths, medians"
    extreme = None
    rows = [r for r in Guests.rows if r.key in ("tcp_gbit", "ping_us")]
    bars = [Bar("tcp_gbit", "switchd", "bridge", "min", 0.97, 1.05)]
    measures = {"tcp": measure_tcp, "ping": measure_ping}

    def cast(self):
        return {"switchd": lambda: SwitchdVeth(self.stage, self.options),
                "bridge": lambda: Bridge(self.stage, self.options)}
