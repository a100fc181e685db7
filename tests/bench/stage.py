"""stage - the namespaces, devices and processes of one run of the bench

Everything that the bench sets up on the host is made here and undone by
Stage.close(): three namespaces whose names carry the pid, a directory under
/tmp, and processes that die with the runner.
"""

import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import hugepages

ADDRESS = {"a": "10.99.0.1", "b": "10.99.0.2"}
DEVICE = {"a": "bt0", "b": "bt1"}
GROUP = 77  # of devices, see Stage.group_up
DEADLINE = 10  # seconds for anything that must come up
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def say(text):
    print(text, file=sys.stderr, flush=True)


def wait_for(what, condition, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def run(*argv, check=True, **kwargs):
    """Run a command to its end: its output."""
    kwargs.setdefault("timeout", 60)
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       stdin=subprocess.DEVNULL, text=True, **kwargs)
    if check and p.returncode:
        raise RuntimeError(f"{' '.join(argv)}: "
                           f"{(p.stderr or p.stdout).strip()}")
    return p.stdout if check else p


def die_with_parent():
    """Popen's preexec_fn"""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Stage:
    """Namespaces, processes and files of one run; close() undoes them all."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix=f"switchd-bench.{os.getpid()}.")
        self.prefix = f"swb{os.getpid()}"
        self.procs = []
        self.clean_stale()
        for ns in "abs":
            run("ip", "netns", "add", self.prefix + ns)
            for where in "all", "default":  # no frames of its own
                self.within(ns, "sysctl", "-qw",
                            f"net.ipv6.conf.{where}.disable_ipv6=1",
                            check=False)
            # As systemd has it on a host; a namespace begins with 10.
            self.within(ns, "sysctl", "-qw", "net.unix.max_dgram_qlen=512",
                        check=False)

    @staticmethod
    def clean_stale():
        """What a run left that was killed before it could clean up."""
        for name in os.listdir(tempfile.gettempdir()):
            m = re.match(r"switchd-bench\.(\d+)\.", name)
            if m and not os.path.exists(f"/proc/{m[1]}"):
                hugepages.give_back(os.path.join(tempfile.gettempdir(), name))
                shutil.rmtree(os.path.join(tempfile.gettempdir(), name),
                              ignore_errors=True)
        for line in run("ip", "netns", "list").splitlines():
            m = re.match(r"swb(\d+)[abs]\b", line)
            if m and not os.path.exists(f"/proc/{m[1]}"):
                run("ip", "netns", "del", line.split()[0], check=False)

    def close(self):
        for p in reversed(self.procs):
            self.stop(p)
        for ns in "abs":
            run("ip", "netns", "del", self.prefix + ns, check=False)
        hugepages.give_back(self.dir)
        shutil.rmtree(self.dir, ignore_errors=True)

    def argv(self, ns, argv):
        return ("ip", "netns", "exec", self.prefix + ns) + argv

    def within(self, ns, *argv, **kwargs):
        return run(*self.argv(ns, argv), **kwargs)

    def start(self, ns, *argv, **kwargs):
        """A process in the background that doesn't outlive this one."""
        log = open(os.path.join(self.dir, "log"), "ab")
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", log)
        kwargs.setdefault("bufsize", 0)  # so that select() tells all
        p = subprocess.Popen(self.argv(ns, argv), stderr=log,
                             start_new_session=True,
                             preexec_fn=die_with_parent, **kwargs)
        log.close()
        self.procs.append(p)
        return p

    def stop(self, p, seconds=3):
        if p.poll() is None:
            p.terminate()
            try:
                p.wait(seconds)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        for stream in p.stdin, p.stdout:
            if stream:
                stream.close()
        if p in self.procs:
            self.procs.remove(p)

    def log_tail(self):
        try:
            with open(os.path.join(self.dir, "log"), errors="replace") as f:
                return "".join(f.readlines()[-5:])
        except OSError:
            return ""

    def read_line(self, p, pattern, seconds=DEADLINE):
        """Wait until the process prints a line that matches."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not select.select([p.stdout], [], [], 0.1)[0]:
                continue
            line = p.stdout.readline().decode(errors="replace")
            if re.search(pattern, line):
                return line
            if not line:
                break
        raise RuntimeError(f"{p.args[4]}: no '{pattern}': {self.log_tail()}")

    def exists(self, ns, dev):
        return run("ip", "-n", self.prefix + ns, "link", "show", "dev", dev,
                   check=False).returncode == 0

    def deliver(self, side, source="s"):
        """A guest's device: into its namespace, with its address, and up."""
        dev, ns = DEVICE[side], self.prefix + side
        wait_for(dev, lambda: self.exists(source, dev))
        if source != side:
            run("ip", "-n", self.prefix + source, "link", "set", "dev", dev,
                "netns", ns)
        run("ip", "-n", ns, "address", "add", ADDRESS[side] + "/24",
            "dev", dev)
        run("ip", "-n", ns, "link", "set", "dev", dev, "up")

    def remove(self, ns, *devices):
        for dev in devices:
            run("ip", "-n", self.prefix + ns, "link", "del", "dev", dev,
                check=False)

    def batch(self, ns, lines):
        """Many commands of ip at once."""
        p = subprocess.run(["ip", "-n", self.prefix + ns, "-batch", "-"],
                           input="\n".join(lines) + "\n", text=True,
                           stderr=subprocess.PIPE, timeout=120)
        if p.returncode:
            raise RuntimeError(f"ip -batch: {p.stderr.strip()}")

    def group_up(self, ns, devices):
        """Many devices up, and of a group that can be deleted at once."""
        self.batch(ns, (f"link set dev {d} group {GROUP} up"
                        for d in devices))

    def group_delete(self, ns):
        """One wait of the kernel's for all of them, not one for each."""
        run("ip", "-n", self.prefix + ns, "link", "del", "group", str(GROUP),
            check=False, timeout=120)

    def gone(self):
        """Nothing of the last contestant is left."""
        for ns in "abs":
            for dev in DEVICE.values():
                wait_for(f"{dev} gone",
                         lambda: not self.exists(ns, dev))


def processes(pid):
    """The process and all that descend from it."""
    children = {}
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{int(entry)}/stat") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
        except (ValueError, OSError):
            continue
        children.setdefault(parent, []).append(int(entry))
    found = [pid]
    for p in found:
        found += children.get(p, [])
    return found


def tasks(pids):
    for pid in pids:
        try:
            for tid in os.listdir(f"/proc/{pid}/task"):
                yield pid, int(tid)
        except OSError:
            pass


def favour(pids):
    """Let all others of the host wait for these. A session is a group of
    its own to the scheduler (sched_autogroup), and has its own niceness."""
    for pid, tid in tasks(pids):
        try:
            os.setpriority(os.PRIO_PROCESS, tid, -20)
            with open(f"/proc/{pid}/autogroup", "w") as f:
                f.write("-20")
        except OSError:
            pass


def pin(pids, cpus):
    for _, tid in tasks(pids):
        try:
            os.sched_setaffinity(tid, cpus)
        except OSError:
            pass
