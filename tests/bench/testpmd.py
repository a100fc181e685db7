"""testpmd - DPDK's forwarder, a process with a console

A Testpmd has two ports, given as --vdev, and one processor, which its one
forwarding thread keeps busy between command("start") and command("stop"). At
other times it sleeps.
"""

import os
import re
import select
import subprocess
import time

from stage import DEADLINE, favour

PROMPT = r"testpmd> "
MBUFS = 4096
PAGES = 16  # of 2 MB, that one needs
HUGE = ("--in-memory", "--single-file-segments")
SMALL = ("--no-huge", "-m", "64", "--no-shconf")  # pages


class Testpmd:
    def __init__(self, stage, program, memory, name, cpu, vdevs, *arguments):
        """`memory` is HUGE or SMALL."""
        words = []
        for vdev in vdevs:
            words += ["--vdev", vdev]
        self.stage, self.seen = stage, ""
        # Into a pipe it would print by whole blocks only.
        self.process = stage.start(
            "s", "stdbuf", "-oL", program, "--lcores", f"0@{cpu},1@{cpu}",
            *memory, "--no-pci", "--no-telemetry",
            "--file-prefix", f"{stage.prefix}{name}", "--log-level=*:error",
            *words, "--", "-i", f"--total-num-mbufs={MBUFS}",
            "--no-flush-rx", *arguments,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=dict(os.environ, RUNTIME_DIRECTORY=stage.dir))
        self.until(PROMPT)
        favour([self.process.pid])

    def until(self, pattern):
        """Wait for it on the console: what came before it."""
        end = time.monotonic() + DEADLINE
        while True:
            m = re.search(pattern, self.seen)
            if m:
                before, self.seen = self.seen[:m.start()], self.seen[m.end():]
                return before
            if time.monotonic() > end:
                self.fail(f"no '{pattern}'")
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    self.fail("it ended")
                self.seen += data.decode(errors="replace")

    def fail(self, what):
        raise RuntimeError(f"testpmd: {what}: {self.seen[-500:]}"
                           f"{self.stage.log_tail()}")

    def command(self, text):
        """Have it done: what it prints."""
        self.seen = ""
        try:
            self.process.stdin.write(text.encode() + b"\n")
        except BrokenPipeError:
            self.fail("it ended")
        self.until(re.escape(text) + r"\r?\n")  # the echo
        return self.until(PROMPT)

    def commands(self, *texts):
        for text in texts:
            self.command(text)

    def counted(self):
        """Frames received and sent by both ports since "clear port stats
        all", and those received a second since this was last asked."""
        out = self.command("show port stats all")
        return [sum(int(n) for n in re.findall(rf"{what}:\s+(\d+)", out))
                for what in ("RX-packets", "TX-packets", "Rx-pps")]

    def stop(self):
        """Killed: it has nothing to save, and its way out waits for the
        other end."""
        self.process.kill()
        self.stage.stop(self.process)
