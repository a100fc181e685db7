"""console - TCP of a real guest, through switchd and through a bridge

A guest (QEMU, or User-Mode Linux; they and what they boot from are those of
tests/guests) talks to a program in a namespace. With
switchd it is the front end of a vhost-user port, and the namespace has the
network-device side of a TAP; with the bridge it is the guest that has a TAP,
and the namespace has the end of a veth pair.

    guest ==vhost-user== [ switchd ] --tap-- bt0 10.99.0.1, namespace a
    guest ------tap----- [ bridge  ] --veth- bt1 10.99.0.2, namespace b

Both guests are up all the time, and talk in turns; the ratios of turns side by
side count, as in vhost.py, and other programs of the host wait meanwhile.
"""

import functools
import json
import os
import shutil
import subprocess
import sys

from contestants import Contestant, Switchd, bridge_up
from stage import DEVICE, die_with_parent, favour, processes, run
from subject import Bar, Missing, Row, Subject

GUESTS = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "guests")
sys.path.append(GUESTS)
import guest as consoles  # noqa: E402  pylint: disable=wrong-import-position

GUEST_ADDRESS = "10.99.0.9"
MEMORY = "192M"
TAP = "qt0"
PORT = 5201  # iperf3's


class Qemu:
    name = "QEMU"
    program = "qemu-system-x86_64"
    archive = "qemu.cpio"
    modules = ()

    @staticmethod
    def argv(folder, initramfs, net):
        return (
            "qemu-system-x86_64", *consoles.QEMU_MACHINE, "-m", MEMORY,
            "-object", f"memory-backend-memfd,id=m,size={MEMORY},share=on",
            "-machine", "memory-backend=m", "-kernel", f"{folder}/vmlinux",
            "-initrd", initramfs, "-append", consoles.QEMU_CMDLINE,
            "-global", "virtio-mmio.force-legacy=off", *net,
            "-device", "virtio-net-device,netdev=n0")

    @staticmethod
    def vhost(path):
        return ("-chardev", f"socket,id=c0,path={path}",
                "-netdev", "vhost-user,id=n0,chardev=c0")

    @staticmethod
    def tap(ifname):
        return ("-netdev",
                f"tap,id=n0,ifname={ifname},script=no,downscript=no")


class Uml:
    name = "UML"
    program = "linux.uml"
    archive = "uml.cpio"
    modules = ("failover", "net_failover", "virtio_net")

    @staticmethod
    def argv(folder, initramfs, net):
        return ("linux.uml", f"mem={MEMORY}", f"initrd={initramfs}",
                "rdinit=/init", "root=/dev/ram0", "quiet", "con=null",
                "con0=fd:0,fd:1", "ssl=null", net)

    @staticmethod
    def vhost(path):
        return f"virtio_uml.device={path}:1"

    @staticmethod
    def tap(ifname):
        return f"vec0:transport=tap,ifname={ifname},depth=128,gro=1"


def boot_files(stage, options, kind):
    """What guests boot from, iperf3 among it: folder, initramfs."""
    for program in (kind.program, "cpio", "lz4"):
        if not shutil.which(program):
            raise Missing(f"no {program}")
    # What a first time downloads takes its time, and a network.
    cache = os.environ.get("GUEST_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "/var/cache", "switchd-tests")
    if options.quick and not os.path.exists(f"{cache}/stamp"):
        raise Missing(f"nothing in {cache}: run tests/guests/prepare")
    made = run(f"{GUESTS}/prepare", check=False, timeout=300)
    if made.returncode:
        raise Missing(" ".join(made.stderr.split()))
    folder = made.stdout.strip()
    if kind is Uml and consoles.uml_obstacle(folder):
        raise Missing(consoles.uml_obstacle(folder))
    initramfs = os.path.join(stage.dir, kind.archive)
    if not os.path.exists(initramfs):
        shutil.copy(f"{folder}/{kind.archive}", initramfs)
        with open(initramfs, "ab") as f:
            f.write(more_files(stage, kind))
    return folder, initramfs


def more_files(stage, kind):
    """iperf3, its libraries and the kind's modules, as a cpio archive. The
    kernel takes several of them in a row."""
    root = os.path.join(stage.dir, kind.name)
    program = shutil.which("iperf3")
    into = {path: root + path for line in run("ldd", program).splitlines()
            for path in line.split() if path.startswith("/")}
    into[program] = f"{root}/bin/iperf3"
    for module in kind.modules:
        path = run("find", "/usr/lib/uml/modules", "-name", f"{module}.ko",
                   "-print", "-quit").strip()
        into[path] = f"{root}/lib/modules/{module}.ko"
    for source, target in into.items():
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)
    names = [os.path.relpath(os.path.join(top, name), root)
             for top, folders, files in os.walk(root)
             for name in folders + files]
    return subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, check=True,
        input="\n".join(names).encode(), stdout=subprocess.PIPE).stdout


def arrived(said):
    """Gbit/s by the receiver's clock, of what iperf3 -J has said."""
    try:
        end = json.loads(said)["end"]
        return end["sum_received"]["bits_per_second"] / 1e9
    except (KeyError, ValueError):
        raise RuntimeError(f"iperf3: {said[-300:]}") from None


class ConsoleGuest(Contestant):
    """What both have in common: the guest, and the other end."""
    side = None
    guest = None

    def __init__(self, stage, options, kind):
        self.kind = kind
        super().__init__(stage, options)

    def check(self):
        super().check()
        self.folder, self.initramfs = boot_files(
            self.stage, self.options, self.kind)

    def boot(self, net):
        env = dict(os.environ, HOME=self.stage.dir)  # UML's own sockets
        if self.kind is Uml:
            env.update(consoles.uml_environment(self.folder))
        self.guest = consoles.Guest(
            f"{self.kind.name}-{self.side}", self.stage.argv(
                "s", self.kind.argv(self.folder, self.initramfs, net)),
            env=env, preexec_fn=die_with_parent)

    def ready(self):
        """When its device is there at both ends."""
        self.guest.ready()
        for module in self.kind.modules:
            self.guest.check(f"[ -e /sys/class/net/eth0 ] || "
                             f"insmod /lib/modules/{module}.ko")
        self.guest.address(GUEST_ADDRESS + "/24")
        self.port = PORT
        favour(processes(self.guest.process.pid) + self.pids())

    def much(self, seconds):
        """How much iperf3 sends."""
        return ("-n", "16M") if self.options.quick else ("-t", str(seconds))

    def listen(self):
        """A server in the guest, at self.port. Each time another one: one that
        goes on is deaf for a moment first."""
        self.port += 1
        said = f"/tmp/iperf3.{self.port}"
        self.guest.check(f"mkfifo {said}")
        self.guest.check(f"iperf3 -4 -s -1 -p {self.port} --forceflush "
                         f">{said} 2>&1 &")
        # A line, and "Server listening on .."; the rest is of no interest.
        self.guest.check("{ read -r line && read -r line; "
                         f"cat <&3 >/dev/null & }} 3<{said} <&3")

    def measure(self, seconds, *options):
        """Gbit/s that arrive, by the clock of the namespace's side."""
        self.listen()
        p = self.stage.start(
            self.side, "iperf3", "-c", GUEST_ADDRESS, "-p", str(self.port),
            "-J", *self.much(seconds), *options, stdout=subprocess.PIPE)
        favour([p.pid])
        try:
            return arrived(p.communicate(timeout=seconds + 10)[0])
        finally:
            self.stage.stop(p)

    def pids(self):
        return super().pids() if self.proc else []

    def stop(self):
        if self.guest:
            self.guest.kill()
            self.guest = None
        if self.proc:
            self.stage.stop(self.proc)
            self.proc = None


class ConsoleSwitchd(ConsoleGuest, Switchd):
    about = "the subject, guest at a vhost-user port, namespace at a tap port"
    side = "a"

    def start(self):
        path = os.path.join(self.stage.dir, "guest.sock")
        self.daemon(config={"daemon": {"allow": {"sockets": [path]}}})
        self.share(path)
        self.host()
        self.ready()

    def share(self, path):
        """The guest, at a vhost-user port."""
        self.ctl("port", "attach", "guest", "type=vhost-user", f"path={path}")
        self.boot(self.kind.vhost(path))

    def host(self):
        """The namespace, at a tap port."""
        self.ctl("port", "attach", "host", "type=tap",
                 f"ifname={DEVICE[self.side]}",
                 f"netns={self.stage.prefix}{self.side}")
        self.stage.deliver(self.side, self.side)


class ConsoleBridge(ConsoleGuest):
    about = "Linux bridge, guest at a TAP, namespace at a veth pair"
    side = "b"

    def start(self):
        dev = DEVICE[self.side]
        run("ip", "-n", f"{self.stage.prefix}s", "link", "add", f"p{dev}",
            "type", "veth", "peer", "name", dev)
        run("ip", "-n", f"{self.stage.prefix}s", "tuntap", "add", TAP,
            "mode", "tap", "vnet_hdr")
        self.boot(self.kind.tap(TAP))
        bridge_up(self.stage, [TAP, f"p{dev}"])
        self.stage.deliver(self.side)
        self.ready()

    def stop(self):
        super().stop()
        self.stage.remove("s", TAP, f"p{DEVICE[self.side]}", "br0")


class ConsoleQemu(Subject):
    kind = Qemu
    words = ("qemu", "console")
    title = "a QEMU guest, medians"
    paired = True
    turns = 3
    rows = [Row("from_gbit", "Gbit/s", 2, "TCP from QEMU"),
            Row("to_gbit", "Gbit/s", 2, "TCP to QEMU")]
    bars = [Bar("from_gbit", "switchd", "bridge", "min", 1.0),
            Bar("to_gbit", "switchd", "bridge", "min", 1.0)]

    cast_of = {"switchd": ConsoleSwitchd, "bridge": ConsoleBridge}

    def cast(self):
        self.up = []
        return {name: functools.partial(kind, self.stage, self.options,
                                        self.kind)
                for name, kind in self.cast_of.items()}

    def measures(self, contestant, seconds):
        return {"from_gbit": contestant.measure(seconds, "-R"),
                "to_gbit": contestant.measure(seconds)}

    def turn(self, contestant):
        try:
            if contestant not in self.up:
                self.up.append(contestant)
                contestant.start()
            return self.measures(contestant, max(
                self.options.seconds // self.turns, 1))
        except consoles.GuestError as e:
            self.down(contestant)
            raise RuntimeError(str(e)) from e
        except BaseException:
            self.down(contestant)
            raise

    def down(self, contestant):
        """Down; its next turn begins anew."""
        self.up.remove(contestant)
        contestant.stop()

    def close(self):
        for contestant in list(self.up):
            self.down(contestant)
        self.stage.gone()


class ConsoleUml(ConsoleQemu):
    kind = Uml
    words = ("uml", "console")
    title = "a User-Mode Linux guest, medians"
    rows = [Row("from_gbit", "Gbit/s", 2, "TCP from UML"),
            Row("to_gbit", "Gbit/s", 2, "TCP to UML")]
