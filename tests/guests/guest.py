"""Console guests: starts a real Linux guest and runs commands in it.

    with guest.qemu("a", folder, ["tap,id=n0,ifname=t0,script=..."]) as a:
        a.ready()
        status, output = a.run("ping -c 1 10.0.0.2")

A Guest is a process with a console on its standard input and output: QEMU
(microvm, emulated) or User-Mode Linux. The program on the other side of the
console is ./init of this folder. The exchange, a line each way:

    guest   GUEST-READY
    driver  TAG COMMAND
    guest   whatever the command prints, then TAG STATUS on a line of its own

Each guest is the leader of a session of its own, because UML consists of
several processes that must all go together. Everything that waits has a
deadline and raises GuestError with the console's last words.
"""

import json
import os
import re
import select
import signal
import socket
import subprocess
import time

BOOT_SECONDS = 60
COMMAND_SECONDS = 30

# microvm has no firmware to speak of and no PCI to scan. The two settings of
# time keep the kernel from calibrating against an emulated timer.
QEMU_MACHINE = [
    "-accel", "tcg", "-M", "microvm,pit=on,pic=on,rtc=on,isa-serial=on",
    "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
    "-serial", "stdio"]
# The ordinary machine: its memory has a hole for the devices of old, so that a
# vhost-user front end has more than one region to pass.
QEMU_Q35 = [
    "-accel", "tcg", "-M", "q35", "-nodefaults", "-no-user-config",
    "-no-reboot", "-display", "none", "-serial", "stdio"]
QEMU_CMDLINE = ("console=ttyS0 quiet panic=-1 nokaslr mitigations=off "
                "tsc_early_khz=2000000 cryptomgr.notests "
                "random.trust_cpu=on")


class GuestError(Exception):
    """The guest died, or didn't do in time what it should."""


class Guest:
    """A running guest. `name` is for messages only."""

    def __init__(self, name, argv, **popen):
        self.name = name
        self.tag = 0
        self.seen = b""
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, **popen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def fail(self, what):
        """Raises GuestError with the end of the console."""
        tail = self.seen[-1500:].decode(errors="replace")
        raise GuestError(f"guest {self.name}: {what}; console: {tail!r}")

    def expect(self, pattern, seconds):
        """Waits for a regular expression (bytes) on the console. Returns
        what came before it and the match, and drops both."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.seen)
            if match:
                before = self.seen[:match.start()]
                self.seen = self.seen[match.end():]
                return before, match
            left = deadline - time.monotonic()
            if left <= 0:
                self.fail(f"no {pattern!r} within {seconds} s")
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    self.fail("it ended")
                self.seen += data

    def ready(self, seconds=BOOT_SECONDS):
        """Waits until the guest takes commands."""
        self.expect(rb"GUEST-READY\r?\n", seconds)
        return self

    def run(self, command, seconds=COMMAND_SECONDS):
        """Runs one line of shell in the guest. Returns its exit status and
        its output, standard error included."""
        self.tag += 1
        tag = b"@%d@" % self.tag
        try:
            os.write(self.process.stdin.fileno(),
                     tag + b" " + command.encode() + b"\n")
        except BrokenPipeError:
            self.fail("it ended")
        before, match = self.expect(
            rb"\r?\n" + tag + rb" (\d+)\r?\n", seconds)
        return (int(match[1]),
                before.decode(errors="replace").replace("\r", ""))

    def check(self, command, seconds=COMMAND_SECONDS):
        """run() that must succeed; returns the output without blanks at
        either end."""
        status, output = self.run(command, seconds)
        if status:
            self.fail(f"{command!r} exits with {status}: {output!r}")
        return output.strip()

    def address(self, address):
        """Gives the guest's device an address with prefix length, and
        brings it up."""
        self.check(f"ip addr add {address} dev eth0 && ip link set eth0 up")

    def ping(self, address, *options):
        """Pings another guest five times; each must be answered."""
        status, output = self.run(
            f"ping -c 5 -i 0.1 -W 5 {' '.join(options)} {address}")
        if status or " 0% packet loss" not in output:
            self.fail(f"ping of {address}: {output}")

    def wait(self, seconds):
        """Waits until the guest's process has ended by itself. Returns its
        exit status and what was still to read from the console."""
        try:
            rest = self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.fail(f"still there after {seconds} s")
        self.seen += rest
        return self.process.returncode, self.seen.decode(errors="replace")

    def stop(self, seconds=5):
        """Powers the guest off, so that QEMU's exit path runs; kills it if
        that takes too long. Harmless when the guest is gone."""
        if self.process.poll() is None:
            try:
                os.write(self.process.stdin.fileno(), b"@off@ poweroff -f\n")
                # Not until the console's end: UML's helpers hold it open.
                self.process.wait(seconds)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.kill()

    def kill(self):
        """SIGKILL for the whole session: nothing in it can react."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except BrokenPipeError:
                pass


# pylint: disable-next=too-many-arguments
def qemu(name, folder, netdev, mac, device="", prefix=(), more=(), q35=False,
         **popen):
    """Starts a QEMU guest that boots from `folder` (see ./prepare).

    netdev  QEMU's -netdev argument without the id, e.g. "tap,ifname=t0"
    device  more properties of the virtio network device, e.g. ",csum=off"
    prefix  a command that starts QEMU, e.g. setpriv and its options
    more    more of QEMU's arguments
    q35     not a microvm, but a machine with PCI
    """
    # QEMU 7.2 crashes under TCG when a vhost-user device has MSI-X vectors.
    model = ("virtio-net-pci,vectors=0,romfile=" if q35 else
             "virtio-net-device")
    return Guest(name, [
        *prefix, "qemu-system-x86_64", *(QEMU_Q35 if q35 else QEMU_MACHINE),
        "-m", "128",
        "-kernel", f"{folder}/vmlinux", "-initrd", f"{folder}/qemu.cpio",
        "-append", QEMU_CMDLINE, "-netdev", f"{netdev},id=n0",
        "-device", f"{model},netdev=n0,mac={mac}{device}", *more], **popen)


def qemu_vhost(name, folder, path, mac, queues=1, banks=1, legacy=False,
               **options):
    """Starts a QEMU guest as a vhost-user front end.

    path     of the socket, and how QEMU has it: "/run/s,reconnect=1",
             "/run/s,server=on,wait=off"
    queues   pairs of them
    banks    of memory, each a file of its own; several: needs q35
    legacy   virtio as it was before version 1.0
    options  as qemu() has them
    """
    more = [*options.pop("more", ()), "-chardev", f"socket,id=c0,path={path}"]
    for bank in range(banks):
        more += ["-object", f"memory-backend-memfd,id=mem{bank},"
                 f"size={128 // banks}M,share=on"]
        if banks > 1:
            more += ["-numa", f"node,memdev=mem{bank}"]
    if banks == 1:
        more += ["-machine", "memory-backend=mem0"]
    if not legacy:
        more += ["-global", "virtio-mmio.force-legacy=off"]
    netdev = "vhost-user,chardev=c0"
    if queues > 1:
        netdev += f",queues={queues}"
        options["device"] = options.get("device", "") + ",mq=on"
    return qemu(name, folder, netdev, mac, more=more, **options)


class Qmp:
    """QEMU's monitor: "-qmp unix:PATH", which it connects to when it starts;
    connected() with that guest."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.owner = self.file = None

    def connected(self, owner, seconds=BOOT_SECONDS):
        self.owner = owner
        ended = os.pidfd_open(owner.process.pid)
        try:
            ready = select.select([self.listener, ended], [], [], seconds)[0]
        finally:
            os.close(ended)
        if self.listener not in ready:
            owner.fail("its monitor isn't there")
        connection = self.listener.accept()[0]
        self.listener.close()
        os.unlink(self.path)
        connection.settimeout(seconds)
        self.file = connection.makefile("rw")
        self.file.readline()
        self.run("qmp_capabilities")
        return self

    def run(self, command, **arguments):
        """Runs a command; returns what it returns."""
        self.file.write(json.dumps({"execute": command,
                                    "arguments": arguments}) + "\n")
        self.file.flush()
        for line in self.file:
            answer = json.loads(line)
            if "error" in answer:
                self.owner.fail(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        self.owner.fail(f"{command}: the monitor is gone")
        return None


def _needs_xstate():
    """Does this processor have AMX? See uml_xstate.c."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return " amx_tile" in file.read()


def uml_obstacle(folder):
    """Why User-Mode Linux can't run here, or nothing."""
    if _needs_xstate() and not os.path.exists(f"{folder}/uml_xstate.so"):
        return ("User-Mode Linux needs help on a processor with AMX, and "
                "no C compiler was there to make it (package gcc)")
    return ""


def uml_environment(folder):
    """What User-Mode Linux needs of its environment on this processor."""
    if _needs_xstate():
        return {"LD_PRELOAD": f"{folder}/uml_xstate.so"}
    return {}


def uml(name, folder, transport, **popen):
    """Starts a User-Mode Linux guest. `transport` is the argument that
    makes its network device, e.g. "vec0:transport=tap,ifname=t1"."""
    environment = dict(os.environ, **uml_environment(folder))
    # Its drivers' complaints would be among a command's output (quiet is 4).
    return Guest(name, [
        "linux.uml", "mem=128M", f"initrd={folder}/uml.cpio", "rdinit=/init",
        "root=/dev/ram0", "loglevel=1", "con=null", "con0=fd:0,fd:1",
        "ssl=null", f"umid={name}", transport], env=environment, **popen)


# busybox's wget doesn't work without the shared libraries of libc's resolver:
# ask by hand and drop the header. (read takes no byte more than the line.)
FETCH = (r"printf 'GET /sent HTTP/1.0\r\n\r\n' | nc {} 80 | "
         r"{{ while read -r line && [ ${{#line}} -gt 1 ]; do :; done; cat; }} "
         r">/tmp/got")


class Sink:
    """A guest takes a stream of TCP from `address`, port 99."""

    def __init__(self, guest, address):
        self.guest = guest
        # The sum goes through a pipe, which is waited for when it's opened.
        guest.check("rm -f /tmp/got.sum && mkfifo /tmp/got.sum")
        guest.check(f"{{ sum=$(nc {address} 99 | sha256sum); "
                    "echo $sum >/tmp/got.sum; } &")

    def sum(self, seconds=COMMAND_SECONDS):
        """When the stream has ended: the SHA-256 sum of what arrived."""
        return self.guest.check("cat /tmp/got.sum", seconds).split()[0]


class Stream:
    """A TCP stream from one guest to the other's `address`, as fast as it
    goes, until finish() is called. One at a time for a guest."""

    # Random bytes, again and again, and what is their sum in the end.
    SOURCE = ("#!/bin/sh",
              "{ sum=$(sha256sum </tmp/copy); echo $sum >/tmp/sent.sum; } &",
              "while [ ! -e /tmp/stop ]; do cat /tmp/block; done |"
              " tee /tmp/copy")

    def __init__(self, source, sink, address):
        """`address` is the source's: the sink calls it."""
        self.source = source
        lines = " ".join(f"'{line}'" for line in self.SOURCE)
        source.check("rm -f /tmp/stop /tmp/sent.sum /tmp/copy && mkfifo "
                     f"/tmp/copy /tmp/sent.sum && printf '%s\\n' {lines} "
                     ">/tmp/source && chmod +x /tmp/source && "
                     "dd if=/dev/urandom of=/tmp/block bs=1000 count=999")
        source.check("nc -l -p 99 -e /tmp/source >/dev/null 2>&1 &")
        source.check("until netstat -ltn | grep -q :99; do :; done")
        self.sink = Sink(sink, address)

    def finish(self, seconds=COMMAND_SECONDS):
        """Ends the stream; returns the SHA-256 sums of what was sent and of
        what arrived."""
        self.source.check("touch /tmp/stop")
        return (self.source.check("cat /tmp/sent.sum", seconds).split()[0],
                self.sink.sum(seconds))


def transfer(source, sink, address, megabytes=8):
    """Moves a random file over TCP from one guest to the other, which
    fetches it from `address`. Returns both SHA-256 sums, made on either
    side."""
    source.check("dd if=/dev/urandom of=/tmp/sent bs=64K "
                 f"count={int(megabytes * 16)}")
    source.check("pidof httpd || httpd -h /tmp")
    sink.check(FETCH.format(address))
    return tuple(each.check(f"sha256sum {path}").split()[0]
                 for each, path in ((source, "/tmp/sent"),
                                    (sink, "/tmp/got")))


def same_file(source, sink, address, megabytes=4):
    """transfer() of a file that must arrive unchanged."""
    sent, got = transfer(source, sink, address, megabytes)
    if sent != got:
        sink.fail(f"{sent} from {address} became {got}")
