"""console - TCP of a real guest, through switchd and through a bridge

A QEMU guest (as of tests/guests) talks to a program in a namespace. With
switchd it is the front end of a vhost-user port, and the namespace has the
network-device side of a TAP; with the bridge it is the guest that has a TAP,
and the namespace has the end of a veth pair.

    guest ==vhost-user== [ switchd ] --tap-- bt0 10.99.0.1, namespace a
    guest ------tap----- [ bridge  ] --veth- bt1 10.99.0.2, namespace b

Both guests are up all the time, and talk in turns; the ratios of turns side by
side count, as in vhost.py, and other programs of the host wait meanwhile.
"""

import json
import os
import shutil
import subprocess
import sys

from contestants import Contestant, Switchd, bridge_up
from stage import (ADDRESS, DEVICE, die_with_parent, favour, processes, run,
                   wait_for)
from subject import Bar, Missing, Row, Subject

GUESTS = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "guests")
sys.path.append(GUESTS)
import guest as consoles  # noqa: E402  pylint: disable=wrong-import-position

GUEST_ADDRESS = "10.99.0.9"
MEMORY = "192M"
TAP = "qt0"
PORT = 5201  # iperf3's
LISTENS = (f"until grep -q ':{PORT:04X} ' /proc/net/tcp; "
           "do usleep 20000; done")


def boot_files(stage):
    """What guests boot from, with iperf3 in it: kernel, initramfs."""
    for program in ("qemu-system-x86_64", "cpio", "lz4"):
        if not shutil.which(program):
            raise Missing(f"no {program}")
    made = run(f"{GUESTS}/prepare", check=False, timeout=300)
    if made.returncode:
        raise Missing(" ".join(made.stderr.split()))
    folder = made.stdout.strip()
    initramfs = os.path.join(stage.dir, "guest.cpio")
    if not os.path.exists(initramfs):
        shutil.copy(f"{folder}/qemu.cpio", initramfs)
        with open(initramfs, "ab") as f:
            f.write(program_archive(stage, shutil.which("iperf3")))
    return f"{folder}/vmlinux", initramfs


def program_archive(stage, program):
    """A program and its libraries, as a cpio archive. The kernel takes
    several of them in a row."""
    root = os.path.join(stage.dir, "guest")
    files = [word for line in run("ldd", program).splitlines()
             for word in line.split() if word.startswith("/")]
    for path in files:
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, root + path)
    os.makedirs(f"{root}/bin", exist_ok=True)
    shutil.copy(program, f"{root}/bin")
    names = [os.path.relpath(os.path.join(top, name), root)
             for top, folders, files in os.walk(root)
             for name in folders + files]
    return subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, check=True,
        input="\n".join(names).encode(), stdout=subprocess.PIPE).stdout


class ConsoleGuest(Contestant):
    """What both have in common: the guest, and the other end."""
    side = None
    guest = None

    def check(self):
        self.boot = boot_files(self.stage)

    def boot_guest(self, *netdev):
        kernel, initramfs = self.boot
        self.guest = consoles.Guest(self.side, self.stage.argv("s", (
            "qemu-system-x86_64", *consoles.QEMU_MACHINE, "-m", MEMORY,
            "-object", f"memory-backend-memfd,id=m,size={MEMORY},share=on",
            "-machine", "memory-backend=m", "-kernel", kernel,
            "-initrd", initramfs, "-append", consoles.QEMU_CMDLINE,
            "-global", "virtio-mmio.force-legacy=off", *netdev,
            "-device", "virtio-net-device,netdev=n0")),
            preexec_fn=die_with_parent)

    def finish_guest(self):
        """When its device is there at both ends."""
        self.guest.ready().address(GUEST_ADDRESS + "/24")
        self.guest.check("iperf3 -4 -s >/dev/null 2>&1 &")
        self.guest.check(LISTENS)
        favour(processes(self.guest.process.pid) + self.pids())

    def measure(self, seconds, *options):
        """Gbit/s that arrive, by the clock of the namespace's side."""
        p = self.stage.start(
            self.side, "iperf3", "-c", GUEST_ADDRESS, "-J", "-t",
            str(seconds), *options, stdout=subprocess.PIPE)
        favour([p.pid])
        try:
            out = p.communicate(timeout=seconds + 30)[0]
            end = json.loads(out)["end"]
            return end["sum_received"]["bits_per_second"] / 1e9
        except (KeyError, ValueError):
            raise RuntimeError(f"iperf3: {out[-300:]}") from None
        finally:
            self.stage.stop(p)

    def stop(self):
        if self.guest:
            self.guest.kill()
            self.guest = None


class ConsoleSwitchd(ConsoleGuest, Switchd):
    about = "the subject, guest at a vhost-user port, namespace at a tap port"
    side = "a"

    def check(self):
        Switchd.check(self)
        super().check()

    def start(self):
        path = os.path.join(self.stage.dir, "guest.sock")
        self.daemon(config={"daemon": {"allow": {"sockets": [path]}}})
        self.ctl("port", "attach", "guest", "type=vhost-user", f"path={path}")
        self.boot_guest("-chardev", f"socket,id=c0,path={path}",
                        "-netdev", "vhost-user,id=n0,chardev=c0")
        dev = DEVICE[self.side]
        self.ctl("port", "attach", "host", "type=tap", f"ifname={dev}",
                 f"netns={self.stage.prefix}{self.side}")
        self.stage.deliver(self.side, self.side)
        self.finish_guest()

    def stop(self):
        super().stop()
        if self.proc:
            self.stage.stop(self.proc)
            self.proc = None


class ConsoleBridge(ConsoleGuest):
    about = "Linux bridge, guest at a TAP, namespace at a veth pair"
    side = "b"

    def pids(self):
        return []

    def start(self):
        dev = DEVICE[self.side]
        run("ip", "-n", f"{self.stage.prefix}s", "link", "add", f"p{dev}",
            "type", "veth", "peer", "name", dev)
        self.boot_guest("-netdev", f"tap,id=n0,ifname={TAP},script=no,"
                        "downscript=no")
        wait_for(TAP, lambda: self.stage.exists("s", TAP))
        bridge_up(self.stage, [TAP, f"p{dev}"])
        self.stage.deliver(self.side)
        self.finish_guest()

    def stop(self):
        super().stop()
        self.stage.remove("s", f"p{DEVICE[self.side]}", "br0")


class Console(Subject):
    words = ("console",)
    title = "a QEMU guest, medians"
    paired = True
    rows = [Row("from_gbit", "Gbit/s", 2, "TCP from the guest"),
            Row("to_gbit", "Gbit/s", 2, "TCP to the guest")]
    bars = [Bar("from_gbit", "switchd", "bridge", "min", 1.0),
            Bar("to_gbit", "switchd", "bridge", "min", 1.0)]

    def cast(self):
        self.up = []
        return {"switchd": lambda: ConsoleSwitchd(self.stage, self.options),
                "bridge": lambda: ConsoleBridge(self.stage, self.options)}

    def turn(self, contestant):
        try:
            if contestant not in self.up:
                self.up.append(contestant)
                contestant.start()
            seconds = self.options.seconds
            return {"from_gbit": contestant.measure(seconds, "-R"),
                    "to_gbit": contestant.measure(seconds)}
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
