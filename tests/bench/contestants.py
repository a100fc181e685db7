"""contestants - switchd and its peers: how each is brought up and down

start() brings the switch up with both devices delivered; stop() ends it;
pids() are the processes whose CPU time is the switch's.
"""

import json
import os
import platform
import shutil
import subprocess
import socket
import tempfile
import time

from stage import DEVICE, processes, run, wait_for
from subject import Missing


def peer_env(options):
    """The environment of programs below --peer-root."""
    env = dict(os.environ)
    if options.peer_root:
        env["LD_LIBRARY_PATH"] = (f"{options.peer_root}/usr/lib/"
                                  f"{platform.machine()}-linux-gnu")
    return env


def find(options, *names):
    """The first program of these names that is there: its path."""
    root = options.peer_root or ""
    for name in names:
        for where in ("/usr/bin", "/usr/sbin", "/usr/lib/openvswitch-switch"):
            path = f"{root}{where}/{name}"
            if os.access(path, os.X_OK):
                return path
        path = shutil.which(name)
        if path:
            return path
    raise Missing(f"no {names[0]}")


def calls(path, method, params, seconds=120):
    """Calls by one connection, pipelined: seconds they took."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(seconds)
        s.connect(path)
        lines = s.makefile("r")
        start = time.monotonic()
        for i, p in enumerate(params):
            request = {"jsonrpc": "2.0", "id": i, "method": method,
                       "params": p}
            s.sendall(json.dumps(request).encode() + b"\n")
        for _ in params:
            reply = json.loads(lines.readline() or '{"error": "closed"}')
            if "error" in reply:
                raise RuntimeError(f"{method}: {reply['error']}")
        return time.monotonic() - start


class Contestant:
    about = ""

    def __init__(self, stage, options):
        self.stage, self.options, self.proc = stage, options, None
        self.check()

    def check(self):
        """Raise Missing if it can't run here."""

    def pids(self):
        return processes(self.proc.pid)

    def stop(self):
        if self.proc:
            self.stage.stop(self.proc)
            self.proc = None
        self.stage.gone()


class Relay(Contestant):
    about = "bare read/write between two TAPs, asleep in epoll: the limit"
    flags = ()

    def start(self):
        self.proc = self.stage.start(
            "s", self.options.programs["relay"], *self.flags,
            DEVICE["a"], DEVICE["b"], stdout=subprocess.PIPE)
        self.stage.read_line(self.proc, "ready")
        self.stage.deliver("a")
        self.stage.deliver("b")


class RelaySpin(Relay):
    about = "the same, polling instead of sleeping"
    flags = ("--spin",)


class Switchd(Contestant):
    about = "the subject"

    def check(self):
        self.switchd = self.program("switchd")
        self.switchctl = self.program("switchctl")
        self.socket = os.path.join(self.stage.dir, "switchd.sock")

    def program(self, name):
        build = self.options.build
        if build:
            for path in (f"{build}/switchd/{name}",
                         f"{build}/control/switchctl/{name}",
                         f"{build}/{name}"):
                if os.path.isfile(path) and os.access(path, os.X_OK):
                    return os.path.abspath(path)
            raise Missing(f"no {name} in {build}: not built?")
        path = shutil.which(name)
        if not path:
            raise Missing(f"no {name}: give --build DIR")
        return path

    def ctl(self, *words):
        return run(self.switchctl, "-s", self.socket, *words)

    def daemon(self, *options, config=None):
        if config:
            path = os.path.join(self.stage.dir, "switchd.conf")
            with open(path, "w") as f:
                json.dump(config, f)
            options += ("-c", path)
        self.proc = self.stage.start("s", self.switchd, "-f",
                                     "-s", self.socket, *options)

        def up():
            if self.proc.poll() is not None:
                raise RuntimeError("switchd ended: " + self.stage.log_tail())
            return run(self.switchctl, "-s", self.socket, "switch", "show",
                       check=False).returncode == 0
        wait_for("switchd", up)

    def start(self):
        self.daemon()
        for side, dev in DEVICE.items():
            self.ctl("port", "attach", f"guest-{side}", "type=tap",
                     f"ifname={dev}", f"netns={self.stage.prefix}{side}")
            self.stage.deliver(side, side)


class Vde(Contestant):
    about = "vde_switch, both TAPs its own (-tap: no vde_plug in between)"

    def check(self):
        self.program = find(self.options, "vde_switch")

    def start(self):
        sock = os.path.join(self.stage.dir, "vde")
        # With no console it would end.
        self.proc = self.stage.start(
            "s", self.program, "-s", sock, "-tap", DEVICE["a"],
            "-tap", DEVICE["b"], stdin=subprocess.PIPE)
        self.stage.deliver("a")
        self.stage.deliver("b")


class VdePlug(Contestant):
    about = "vde_switch, each TAP at a vde_plug, as guests are attached"

    def check(self):
        self.program = find(self.options, "vde_switch")
        self.plug = find(self.options, "vde_plug")
        self.plugs = []

    def start(self):
        sock = os.path.join(self.stage.dir, "vde")
        self.proc = self.stage.start("s", self.program, "-s", sock,
                                     stdin=subprocess.PIPE)
        wait_for("vde_switch", lambda: os.path.exists(f"{sock}/ctl"))
        for side, dev in DEVICE.items():
            self.plugs.append(self.stage.start(
                "s", self.plug, f"tap://{dev}", f"vde://{sock}",
                env=peer_env(self.options)))
            self.stage.deliver(side)

    def pids(self):
        return [p.pid for p in [self.proc] + self.plugs]

    def stop(self):
        while self.plugs:
            self.stage.stop(self.plugs.pop())
        super().stop()


class Ovs(Contestant):
    about = "Open vSwitch, userspace datapath, internal ports (TAPs)"

    def check(self):
        o = self.options
        self.vswitchd = find(o, "ovs-vswitchd")
        self.ovsdb = find(o, "ovsdb-server")
        self.tool = find(o, "ovsdb-tool")
        self.vsctl = find(o, "ovs-vsctl")
        self.schema = (o.peer_root or "") + \
            "/usr/share/openvswitch/vswitch.ovsschema"
        if not os.path.exists(self.schema):
            raise Missing(f"no {self.schema}")

    def start(self):
        d = tempfile.mkdtemp(prefix="ovs", dir=self.stage.dir)
        env = peer_env(self.options)
        for name in "RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR":
            env["OVS_" + name] = d
        db = f"unix:{d}/db.sock"
        run(self.tool, "create", f"{d}/conf.db", self.schema, env=env)
        self.server = self.stage.start(
            "s", self.ovsdb, f"{d}/conf.db", f"--remote=p{db}",
            f"--unixctl={d}/ovsdb.ctl", env=env)
        wait_for("ovsdb-server", lambda: os.path.exists(f"{d}/db.sock"))
        run(self.vsctl, f"--db={db}", "--no-wait", "init", env=env)
        self.proc = self.stage.start("s", self.vswitchd, db,
                                     f"--unixctl={d}/vswitchd.ctl", env=env)
        words = ["--timeout=10", f"--db={db}", "add-br", "br0",
                 "--", "set", "bridge", "br0", "datapath_type=netdev"]
        for dev in DEVICE.values():
            words += ["--", "add-port", "br0", dev,
                      "--", "set", "interface", dev, "type=internal"]
        run(self.vsctl, *words, env=env)
        self.stage.deliver("a")
        self.stage.deliver("b")

    def stop(self):
        for p in "proc", "server":
            if getattr(self, p, None):
                self.stage.stop(getattr(self, p))
                setattr(self, p, None)
        # It makes its TAPs persistent.
        self.stage.remove("a", DEVICE["a"])
        self.stage.remove("b", DEVICE["b"])
        self.stage.remove("s", "br0", "ovs-netdev", *DEVICE.values())
        super().stop()


class Veth(Contestant):
    """What both sides of the veth pairs have in common."""
    def pairs(self):
        ns = f"{self.stage.prefix}s"
        for side, dev in DEVICE.items():
            run("ip", "-n", ns, "link", "add", f"p{dev}", "type", "veth",
                "peer", "name", dev)
            run("ip", "-n", ns, "link", "set", f"p{dev}", "up")
            self.stage.deliver(side)

    def stop(self):
        self.stage.remove("s", *(f"p{d}" for d in DEVICE.values()))
        super().stop()


def bridge_up(stage, devices):
    """br0 with these members; nothing but bridging, whatever is loaded."""
    ns = f"{stage.prefix}s"
    stage.within("s", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0",
                 "net.bridge.bridge-nf-call-ip6tables=0",
                 "net.bridge.bridge-nf-call-arptables=0", check=False)
    run("ip", "-n", ns, "link", "add", "br0", "type", "bridge")
    stage.batch("s", (f"link set dev {d} master br0 up" for d in devices))
    run("ip", "-n", ns, "link", "set", "br0", "up")


class Bridge(Veth):
    about = "Linux bridge between veth pairs, for context"

    def start(self):
        self.pairs()
        bridge_up(self.stage, [f"p{d}" for d in DEVICE.values()])

    def pids(self):
        return []

    def stop(self):
        self.stage.remove("s", "br0")
        super().stop()


class SwitchdVeth(Veth, Switchd):
    about = "the subject, its ports of type netdev on veth pairs"

    def start(self):
        self.pairs()
        self.daemon()
        for dev in DEVICE.values():
            self.ctl("port", "attach", dev, "type=netdev", f"ifname=p{dev}")


class HoldersBridge(Contestant):
    about = "Linux bridge, the TAPs of others its members"
    holds = False

    def join(self, devices):
        bridge_up(self.stage, devices)

    def pids(self):
        return []

    def stop(self):
        self.stage.remove("s", "br0")


class HoldersSwitchd(Switchd):
    about = "the subject, the TAPs of others its ports (netdev)"
    holds = False  # the descriptors of the TAPs
    config = None

    def join(self, devices):
        self.daemon(config=self.config)
        self.call("port.attach", [
            {"name": d, "type": "netdev", "ifname": d} for d in devices])

    def call(self, method, params):
        calls(self.socket, method, params)

    def stop(self):
        if self.proc:
            self.stage.stop(self.proc, 120)
            self.proc = None


class HoldersUserspace(HoldersSwitchd):
    about = "the same, without the kernel's help"
    config = {"daemon": {"fast-path": False}}

    def check(self):
        super().check()
        try:
            self.daemon(config=self.config)
        except RuntimeError as e:
            raise Missing("this switchd has no other way") from e
        finally:
            self.stop()


class FloodTap(HoldersSwitchd):
    about = "the subject, TAPs of its own (tap)"
    holds = True

    def join(self, devices):
        self.daemon()
        self.call("port.attach", [
            {"name": d, "type": "tap", "ifname": d} for d in devices])


CONTESTANTS = {"switchd": Switchd, "relay": Relay, "relay-spin": RelaySpin,
               "vde": Vde, "vde-plug": VdePlug, "ovs": Ovs, "bridge": Bridge}
DEFAULT = "switchd,relay,relay-spin,vde,vde-plug,ovs,bridge"
