"""What the guest tests share: a place of their own, a switch, a report.

A test is a function that gets a Lab and makes claims:

    def test(lab):
        switch = lab.switch({"ports": [...]})
        with lab.claim("a_port_is_there"):
            assert "vm1" in switch.ports()

    lab.run(test, "two_guests", programs=["qemu-system-x86_64"])

Each claim becomes a line of TAP (testanything.org): "ok - CLAIM", or "not ok"
with the reason and the end of the switch's log as comments. A test that lacks
a program has failed; one that isn't root's has been skipped, unless $CI is set.
Exit status: 0, or 1 when a claim failed.

The test runs as the first process of its own network, process and mount
namespaces, with a private /run. When it ends, by itself or by any signal, the
kernel takes all of it away: processes, devices, files. Nothing outside was
touched, so there is nothing to clean up.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import guest

HERE = os.path.dirname(os.path.abspath(__file__))
SRC = os.path.abspath(os.environ.get("SRC", os.path.join(HERE, "../..")))
IFUP = os.path.join(SRC, "etc/qemu-ifup")
IFDOWN = os.path.join(SRC, "etc/qemu-ifdown")

TEST_SECONDS = 120      # for a whole test: it hangs
START_SECONDS = 10      # for the switch to start or stop
EVENT_SECONDS = 10      # for something that should happen at once

DIES_QUICKLY = 2        # seconds; the monitor's idea of that

# The default place: hooks and helper find it without being told.
SOCKET = "/run/switchd/switchd.sock"
FOLDER = "/run/lab"     # files of the test
NOBODY = 65534          # an ordinary user
# A command as that user, who can't become anybody else.
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
             "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
             "--no-new-privs"]
VHOST = "/run/vhost-user"   # sockets that the switch may use unless told
BOOT = "/run/boot"      # what prepare made, readable by any user

# <sched.h>, <sys/prctl.h>, <sys/mount.h>
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "bochs": "bochs",
            "linux.uml": "user-mode-linux", "dnsmasq": "dnsmasq-base",
            "setpriv": "util-linux", "ip": "iproute2",
            "dpdk-testpmd": "dpdk-dev", "ping": "iputils-ping", "tayga": "tayga",
            "/usr/share/bochs/BIOS-bochs-latest": "bochsbios",
            "/usr/share/seabios/vgabios-stdvga.bin": "seabios",
            "/usr/lib/ipxe/qemu/pxe-ne2k_pci.rom": "ipxe-qemu"}

libc = ctypes.CDLL(None, use_errno=True)


def until(condition, what, seconds=EVENT_SECONDS):
    """Asks `condition` until it answers with something true, and returns
    that. For what can't be waited for in a better way."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def command(*argv):
    """Runs a program that must succeed; returns its output."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        raise AssertionError(f"{' '.join(argv)} exits with "
                             f"{done.returncode}: {done.stderr.strip()}")
    return done.stdout


def privileges(pid):
    """The user ids and the effective capabilities of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file
                      if ":\t" in line)
    return fields["Uid"].split(), int(fields["CapEff"], 16)


class Ping:
    """Pings from the test's own namespace, in the background."""

    def __init__(self, address, interval=0.01):
        self.address = address
        # A file: a pipe could be full.
        with tempfile.TemporaryFile("w+", dir=FOLDER) as file:
            self.output = os.fdopen(os.dup(file.fileno()), encoding="ascii")
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(
                ["ping", "-n", "-i", str(interval), "-W", "5", address],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def finish(self):
        """Ends them; returns how many were answered, and how many weren't,
        of those before the last answer: the others may be under way."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_SECONDS)
        with self.output:
            self.output.seek(0)
            output = self.output.read()
        answered = {int(number)
                    for number in re.findall(r"icmp_seq=(\d+) ttl", output)}
        assert answered, f"ping of {self.address}: {output[-500:]}"
        return len(answered), max(answered) - len(answered)


class Source(threading.Thread):
    """Listens in the test's namespace and sends to who connects, as fast as
    it goes, until finish() is called; guest.Stream's other half."""

    BLOCK = 64 << 10

    def __init__(self, address, port=99):
        super().__init__(daemon=True)
        self.socket = socket.create_server((address, port))
        self.ending = threading.Event()
        self.sum = hashlib.sha256()
        self.bytes = 0
        self.start()

    def run(self):
        with self.socket, self.socket.accept()[0] as connection:
            block = os.urandom(self.BLOCK)
            while not self.ending.is_set():
                connection.sendall(block)
                self.sum.update(block)
                self.bytes += len(block)

    def finish(self):
        """Ends it; returns the SHA-256 sum of all that was sent."""
        self.ending.set()
        self.join(EVENT_SECONDS)
        assert not self.is_alive(), "the stream hangs"
        return self.sum.hexdigest()


def quiet():
    """Has the namespace's devices say nothing of their own accord."""
    for each in ("all", "default"):
        with contextlib.suppress(FileNotFoundError), \
                open(f"/proc/sys/net/ipv6/conf/{each}/disable_ipv6", "w",
                     encoding="ascii") as file:
            file.write("1")


def dnsmasq(ifname):
    """Starts a DHCP server for 10.77.0.0/24 and waits until it listens.
    Returns the path of its leases: "EXPIRY MAC ADDRESS ..." a line."""
    leases = os.path.join(FOLDER, "leases")
    # pylint: disable=consider-using-with
    server = subprocess.Popen(
        ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
         "--user=root", f"--interface={ifname}", "--bind-interfaces",
         "--port=0", "--no-ping", "--pid-file=", f"--dhcp-leasefile={leases}",
         "--log-facility=-", "--dhcp-authoritative",
         "--dhcp-range=10.77.0.100,10.77.0.150,1h"],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def serves():
        assert server.poll() is None, f"dnsmasq: {server.returncode}"
        with open("/proc/net/udp", encoding="ascii") as file:
            return ":0043 " in file.read()

    until(serves, "dnsmasq listens on port 67")
    return leases


class Events:
    """The switch's notifications. Asked for on the control socket itself,
    because its answer says from when on none is missed."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.rest = b""
        self.seen = []
        self.socket.sendall(b'{"jsonrpc":"2.0","id":1,'
                            b'"method":"event.subscribe"}\n')
        answer = self._line(time.monotonic() + EVENT_SECONDS)
        assert answer and "result" in answer, f"event.subscribe: {answer}"

    def _line(self, deadline):
        """The next line as an object; None at the deadline."""
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError("the switch ended the subscription")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def wait(self, topic, name, seconds=EVENT_SECONDS):
        """Waits for the event `topic` about the port `name` and returns its
        parameters. Others are kept for later calls; each is found once."""
        deadline = time.monotonic() + seconds
        looked_at = 0
        while True:
            for event in self.seen[looked_at:]:
                if (event["topic"], event.get("name")) == (topic, name):
                    self.seen.remove(event)
                    return event
            looked_at = len(self.seen)
            line = self._line(deadline)
            if line is None:
                raise AssertionError(f"no {topic} of {name} within "
                                     f"{seconds} s, but {self.seen}")
            self.seen.append(line["params"])


class Switch:
    """A running switchd and its client."""

    def __init__(self, config, argv=None, at=SOCKET, **popen):
        """argv: how to start it where not as root's, with `at` for its
        control socket; popen: for subprocess, such as a user."""
        self.socket = at
        path = os.path.join(FOLDER, "switchd.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file, indent=2)
        if not argv:
            os.makedirs(os.path.dirname(SOCKET), exist_ok=True)
            argv = [os.environ["SWITCHD"], "-f", "-s", SOCKET]
        self.log = os.path.join(FOLDER, "switchd.log")
        with open(self.log, "wb") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(
                [*argv, "-c", path], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, **popen)
        until(self._answers, "switchd answers", START_SECONDS)

    def _answers(self):
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise AssertionError("switchd ended with "
                                     f"{self.process.returncode}: "
                                     f"{log.read()[-2000:]}")
        return self.ctl("switch", "show").returncode == 0

    def argv(self, *args):
        """The command line of a call."""
        return [os.environ["SWITCHCTL"], "-s", self.socket, *args]

    def ctl(self, *args):
        """Runs switchctl, whatever it answers."""
        return subprocess.run(self.argv(*args), capture_output=True,
                              text=True, check=False, timeout=20,
                              stdin=subprocess.DEVNULL)

    def result(self, *args):
        """The JSON result of a call that must succeed."""
        return json.loads(command(*self.argv("-j", *args)))

    def ports(self):
        """All ports as the switch lists them, by name."""
        return {port["name"]: port
                for port in self.result("port", "list")["ports"]}

    def port(self, name):
        """All that the switch says about a port."""
        return self.result("port", "show", name)

    def vhost(self, name, condition, seconds=EVENT_SECONDS):
        """Waits until a vhost-user port is waiting, running or broken, and
        returns what is known about its guest."""
        def there():
            known = self.port(name)["guest"]
            return known if known["condition"] == condition else None
        return until(there, f"port {name} is {condition}", seconds)

    def grows(self, name, field, by, seconds=EVENT_SECONDS):
        """Waits until a counter of a port has grown by that much."""
        was = self.ports()[name][field]
        until(lambda: self.ports()[name][field] >= was + by,
              f"{field} of {name} grows from {was} by {by}", seconds)

    def events(self):
        """Subscribes to the notifications."""
        return Events(self.socket)

    def pid(self):
        """The switch process: the monitor's child."""
        path = "/proc/{0}/task/{0}/children".format(self.process.pid)
        with open(path, encoding="ascii") as file:
            return int(file.read().split()[0])

    def kill(self, meanwhile=lambda: None):
        """SIGKILL for the switch process; returns when the next answers.
        `meanwhile` is called at once."""
        self.wait_to_kill()
        was = self.pid()
        os.kill(was, signal.SIGKILL)
        meanwhile()
        until(lambda: self._answers() and self.pid() != was,
              "the next switch process answers", START_SECONDS)

    def wait_to_kill(self):
        """Returns when it has run for a while: after some that died quickly
        the monitor begins without what there was."""
        pid = self.pid()
        until(lambda: self._age(pid) > DIES_QUICKLY, "it runs for a while")

    @staticmethod
    def _age(pid):
        """Seconds since a process began."""
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            began = int(file.read().rsplit(")", 1)[1].split()[19])
        return (time.clock_gettime(time.CLOCK_BOOTTIME) -
                began / os.sysconf("SC_CLK_TCK"))

    def upgrade(self):
        """Has the switch process replaced by a new one."""
        was = self.pid()
        self.result("switch", "upgrade")
        until(lambda: self.pid() != was, f"process {was} has gone")

    def cost(self):
        """What both processes have used so far: CPU time in seconds, and how
        often one of their threads went to sleep."""
        ticks = sleeps = 0
        for pid in (self.process.pid, self.pid()):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/stat",
                          encoding="ascii") as file:
                    # The name before it may contain anything.
                    stat = file.read().rsplit(")", 1)[1].split()
                ticks += int(stat[11]) + int(stat[12])
                with open(f"/proc/{pid}/task/{task}/status",
                          encoding="ascii") as file:
                    sleeps += int(re.search(
                        r"\nvoluntary_ctxt_switches:\s*(\d+)",
                        file.read())[1])
        return ticks / os.sysconf("SC_CLK_TCK"), sleeps

    def stop(self):
        """Ends the switch; returns its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Lab:
    """The test's place: makes switches and guests, and keeps the report."""

    def __init__(self):
        self.claims = 0
        self.failed = 0
        self.switches = []

    def report(self, good, claim):
        """One line of the report."""
        self.claims += 1
        self.failed += not good
        print(("ok" if good else "not ok") + f" - {claim}", flush=True)

    def diagnose(self, error):
        """Says in comments what went wrong and how the switch saw it."""
        lines = traceback.format_exception(error)[-2:]
        for switch in self.switches:
            lines.append(f"switchd (exit status {switch.process.poll()}):")
            with open(switch.log, encoding="utf-8", errors="replace") as log:
                lines += log.read().splitlines()[-40:]
            with contextlib.suppress(Exception):
                lines.append(switch.ctl("port", "list").stdout)
        for line in "\n".join(lines).splitlines():
            print(f"# {line}", flush=True)

    @contextlib.contextmanager
    def claim(self, claim):
        """The block under it must end without an exception."""
        try:
            yield
        except Exception as error:  # pylint: disable=broad-except
            self.report(False, claim)
            self.diagnose(error)
        else:
            self.report(True, claim)

    def switch(self, config, **options):
        """Starts a switch; waits until it answers."""
        self.switches.append(Switch(config, **options))
        return self.switches[-1]

    def end(self):
        """The last claim of each test, then the plan."""
        for switch in self.switches:
            with self.claim("the_switch_ends_cleanly_on_SIGTERM"):
                status = switch.stop()
                assert status == 0, f"exit status {status}"
        print(f"1..{self.claims}", flush=True)


def mount(source, target, kind, flags=0):
    """mount(2). Nobody outside of the test sees it."""
    if libc.mount(source.encode(), target.encode(),
                  kind.encode() if kind else None, flags, None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def _move_in(boot):
    """Furnishes the namespaces from inside."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    # The cache may be under a home folder that other users can't enter;
    # /run may be where it is.
    kept = os.open(boot, os.O_PATH | os.O_DIRECTORY)
    mount("run", "/run", "tmpfs")
    for folder in (FOLDER, VHOST, BOOT):
        os.mkdir(folder)
    mount(f"/proc/self/fd/{kept}", BOOT, None, MS_BIND)
    os.close(kept)
    mount("proc", "/proc", "proc")
    mount("sys", "/sys", "sysfs")
    with contextlib.suppress(OSError):  # a kernel without BPF
        mount("bpf", "/sys/fs/bpf", "bpf")
    command("ip", "link", "set", "lo", "up")
    os.environ["HOME"] = FOLDER         # UML keeps its sockets there
    os.environ["TMPDIR"] = FOLDER       # ... and its memory
    os.environ["SWITCHD_SOCKET"] = SOCKET
    os.environ.pop("SWITCHD_PROFILE", None)
    os.chdir(FOLDER)


def _inside(test, boot):
    def hang(*_):
        raise AssertionError(f"the test hangs: {TEST_SECONDS} s are over")

    signal.signal(signal.SIGALRM, hang)
    signal.alarm(TEST_SECONDS)
    lab = Lab()
    try:
        _move_in(boot)
        test(lab)
    except Exception as error:  # pylint: disable=broad-except
        lab.report(False, "the_test_reaches_its_end")
        lab.diagnose(error)
    lab.end()
    return 1 if lab.failed else 0


def _in_namespaces(test, boot):
    """Runs the test in a child that is the first process of new namespaces;
    returns its exit status. It dies with us."""
    if libc.unshare(CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    us = os.getpid()
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # getppid() is 0 across process namespaces: look outside.
        status = 1
        if os.path.exists(f"/proc/{us}"):
            status = _inside(test, boot)
        sys.stdout.flush()
        os._exit(status)

    def give_up(number, _):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os._exit(128 + number)

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, give_up)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _prepare(programs, boots):
    """Returns the folder to boot from and what is missing, or nothing."""
    for program in programs:
        if not shutil.which(program, mode=os.F_OK):
            return "", f"{program} is missing (package {PACKAGES[program]})"
    if not boots:
        return HERE, ""
    made = subprocess.run([os.path.join(HERE, "prepare")], text=True,
                          capture_output=True, check=False)
    boot = made.stdout.strip()
    if made.returncode:
        return boot, " ".join(["prepare failed:", *made.stderr.split()])
    if "linux.uml" in programs:
        return boot, guest.uml_obstacle(boot)
    return boot, ""


def run(test, name, programs, boots=True):
    """Runs a test and ends the process. `programs` are those (and files)
    that it can't do without; `boots`: it needs what prepare makes."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for variable in ("SWITCHD", "SWITCHCTL", "HELPER"):
        path = os.path.abspath(os.environ.get(variable, ""))
        if not os.path.isfile(path) or not os.access(path, os.X_OK):
            sys.exit(f"{name}: ${variable} names no program")
        os.environ[variable] = path
    os.environ.setdefault("SWITCHD_SLIRP", os.path.join(
        os.path.dirname(os.environ["SWITCHD"]), "../ports/slirp/switchd-slirp"))
    if os.geteuid() and not os.environ.get("CI"):
        print(f"ok - {name} # SKIP only root can make namespaces\n1..1")
        sys.exit(0)
    boot, missing = _prepare(["ip", *programs], boots)
    if missing:
        print(f"not ok - {name} # {missing}\n1..1")
        sys.exit(1)
    sys.exit(0 if _in_namespaces(test, boot) == 0 else 1)
