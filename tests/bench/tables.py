"""tables - the forwarding database and other hash tables, alone

See tables.h for how each is used. Peers that weren't there when the program was
configured are left out.
"""

import json

from stage import run
from subject import Bar, Missing, Row, Subject

SIZES = (1000, 64000, 1000000)
PEERS = ("uthash", "glib", "liburcu")


class Table:
    """A table that tests/bench/fdb has."""

    def __init__(self, name, options):
        self.name, self.program = name, options.programs["fdb"]
        if name not in run(self.program, "list").split():
            raise Missing(f"{name}'s headers weren't there at configure")


class Tables(Subject):
    words = ("fdb",)
    title = "FDB alone, millions a second"
    # What the pipeline does: 64 keys at a time. A peer has no such way.
    rows = [row for n in SIZES for row in (
        Row(f"lookup{n}", "M/s", 1, f"lookups, {n} addresses"),
        Row(f"single{n}", "M/s", 1, "  one by one"),
        Row(f"learn{n}", "M/s", 1, "  learns, new addresses"),
        Row(f"known{n}", "M/s", 1, "  learns, known addresses"))]
    bars = [Bar("lookup64000", "switchd", peer, "min", 2.0) for peer in PEERS]

    def cast(self):
        return {name: lambda name=name: Table(name, self.options)
                for name in ("switchd",) + PEERS}

    def turn(self, contestant):
        result = {}
        operations = 1000000 if self.options.quick else 8000000
        out = run(contestant.program, "-n", str(operations), contestant.name,
                  *map(str, SIZES))
        for line in out.splitlines():
            r = json.loads(line)
            n = r["addresses"]
            result[f"lookup{n}"] = 1e3 / r.get("batch_ns", r["lookup_ns"])
            result[f"single{n}"] = 1e3 / r["lookup_ns"]
            result[f"learn{n}"] = 1e3 / r["new_ns"]
            result[f"known{n}"] = 1e3 / r["known_ns"]
        return result
