"""vde - VDE's and uml_switch's clients, at our listeners and at their switches

`vde`: two namespaces, in each of them a vde_plug2tap, the same program for
both switches. It makes two system calls a frame and waits before each, so the
clients take most of the processors' time: CPU a frame is what the switch itself
takes of it, and `relay` what a switch that does nothing comes to with them.

    namespace a [bt0] vde_plug2tap --- switch --- vde_plug2tap [bt1] namespace b

`umlswitch`: a User-Mode Linux guest at the daemon protocol, and a namespace
with the network-device side of the switch's TAP; as in console.py.
"""

import os
import shutil
import subprocess

from console import ConsoleGuest, ConsoleQemu, ConsoleSwitchd, Uml
from contestants import Contestant, Switchd, find
from guests import Guests, measure_frames, measure_tcp
from stage import DEVICE, wait_for
from subject import Bar, Row


class Plugs(Contestant):
    """Both ends; `up` brings up the switch, for clients of `folder`."""

    def check(self):
        self.plug2tap = find(self.options, "vde_plug2tap")
        self.folder = os.path.join(self.stage.dir, "vde")
        self.plugs = []

    def up(self):
        raise NotImplementedError

    def start(self):
        self.up()
        wait_for("the switch's socket",
                 lambda: os.path.exists(f"{self.folder}/ctl"))
        for side, dev in DEVICE.items():
            self.plugs.append(self.stage.start(
                side, self.plug2tap, "-s", self.folder, dev))
            self.stage.deliver(side, side)

    def stop(self):
        while self.plugs:
            self.stage.stop(self.plugs.pop())
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class PlugsRelay(Plugs):
    about = "recvmmsg and sendmmsg between the same clients: the limit"

    def up(self):
        self.proc = self.stage.start("s", self.options.programs["plugs"],
                                     self.folder)


class PlugsSwitchd(Plugs, Switchd):
    about = "the subject, a vde listener"

    def check(self):
        Switchd.check(self)
        Plugs.check(self)

    def up(self):
        self.daemon(config={
            "daemon": {"allow": {"sockets": [f"{self.folder}*"]}},
            "listeners": [{"name": "v", "type": "vde",
                           "listen": self.folder}]})


class PlugsVde(Plugs):
    about = "vde_switch, the same clients"

    def check(self):
        super().check()
        self.program = find(self.options, "vde_switch")

    def up(self):
        # With no console it would end.
        self.proc = self.stage.start("s", self.program, "-s", self.folder,
                                     stdin=subprocess.PIPE)


class VdeListener(Guests):
    words = ("vde",)
    title = "two clients of VDE's (vde_plug2tap), medians"
    extreme = "relay"
    rows = [r for r in Guests.rows
            if r.key in ("tcp_gbit", "flat_mpps", "flat_cpu_ns")]
    bars = [Bar("tcp_gbit", "switchd", "vde_switch", "min", 2.0),
            Bar("flat_mpps", "switchd", "vde_switch", "min", 2.0),
            Bar("flat_cpu_ns", "switchd", "vde_switch", "max", 0.5)]

    @staticmethod
    def measure_flat(stage, contestant, options):
        return {k: v for k, v in
                measure_frames(stage, contestant, options).items()
                if k.startswith("flat")}

    measures = {"tcp": measure_tcp, "vde": measure_flat}

    def cast(self):
        return {"switchd": lambda: PlugsSwitchd(self.stage, self.options),
                "vde_switch": lambda: PlugsVde(self.stage, self.options),
                "relay": lambda: PlugsRelay(self.stage, self.options)}

    def turn(self, contestant):
        # `tcp` and `frames` of --only are those of guests.py.
        self.options.only, only = [], self.options.only
        try:
            return super().turn(contestant)
        finally:
            self.options.only = only


class UmlDaemon(Uml):
    @staticmethod
    def daemon(path):
        return f"eth0=daemon,52:54:00:99:00:09,unix,{path}"


class DaemonSwitchd(ConsoleSwitchd):
    about = "the subject, guest at a uml listener, namespace at a tap port"

    def start(self):
        path = os.path.join(self.stage.dir, "uml.ctl")
        self.daemon(config={
            "daemon": {"allow": {"sockets": [path]}},
            "listeners": [{"name": "u", "type": "uml", "listen": path}]})
        self.boot(self.kind.daemon(path))
        self.host()
        self.ready()


class DaemonPeer(ConsoleGuest):
    about = "uml_switch -tap, the same guest"
    side = "b"

    def check(self):
        self.program = find(self.options, "uml_switch")
        super().check()

    def start(self):
        path = os.path.join(self.stage.dir, "uml_switch.ctl")
        # With no console it would end.
        self.proc = self.stage.start(
            "s", self.program, "-unix", path, "-tap", DEVICE[self.side],
            stdin=subprocess.PIPE)
        wait_for("uml_switch", lambda: os.path.exists(path))
        self.stage.deliver(self.side)
        self.boot(self.kind.daemon(path))
        self.ready()


class UmlListener(ConsoleQemu):
    kind = UmlDaemon
    words = ("umlswitch",)
    title = "a User-Mode Linux guest by uml_switch's protocol, medians"
    rows = [Row("from_gbit", "Gbit/s", 2, "TCP from UML"),
            Row("to_gbit", "Gbit/s", 2, "TCP to UML")]
    bars = [Bar("from_gbit", "switchd", "uml_switch", "min", 2.0),
            Bar("to_gbit", "switchd", "uml_switch", "min", 2.0)]

    cast_of = {"switchd": DaemonSwitchd, "uml_switch": DaemonPeer}
