"""subject - a table of the report: who is compared with whom, in what

A subject has rows (what is measured), a cast (who takes part) and bars (what
must come out). run gives every member of the cast its turn, again and again,
in an order that rotates, and compares medians.
"""

import collections
import statistics


class Missing(Exception):
    """A contestant can't take part, and why."""


# key: in results; text: in the report
Row = collections.namedtuple("Row", "key unit decimals text")

# ours, in `row`, against `peer` (None: the number itself): "min" or "max" of
# the ratio; aim: what would be better still; note: said beside it
Bar = collections.namedtuple("Bar", "row ours peer kind bound aim note",
                             defaults=(None, ""))


class Subject:
    words = ()      # of --only; the first is its name
    title = ""
    ours = "switchd"
    rows = ()
    bars = ()
    extreme = None  # the peer that is the limit, shown beside others' bars
    repetitions = None  # at most
    turns = 1       # of each contestant in a repetition
    paired = False  # ratios are medians of those of turns side by side

    def __init__(self, stage, options):
        self.stage, self.options = stage, options
        self.samples = {}  # name: [{row key: value}]; {}: a turn that failed
        self.about = {}    # name: what it is

    @property
    def name(self):
        return self.words[0]

    def wanted(self, only):
        """Is any of it asked for?"""
        return not only or bool(set(only) & set(self.words))

    def cast(self):
        """name: function that makes the contestant, or raises Missing"""
        raise NotImplementedError

    def turn(self, contestant):
        """Up, measured and down again: {row key: value}"""
        raise NotImplementedError

    def close(self):
        """After the last turn, also when it was cut short."""

    # ---- what came out ----

    def medians(self):
        result = {}
        for name, runs in self.samples.items():
            result[name] = {}
            for row in self.rows:
                values = [r[row.key] for r in runs if row.key in r]
                if values:
                    result[name][row.key] = statistics.median(values)
        return result

    def ratio(self, ours, peer, key):
        """Of medians; where turns are paired, the median of theirs."""
        pairs = [a[key] / b[key] for a, b in
                 zip(self.samples[ours], self.samples[peer])
                 if key in a and key in b]
        if self.paired and pairs:
            return statistics.median(pairs)
        median = self.medians()
        return median[ours][key] / median[peer][key]

    def verdicts(self):
        """Every bar that could be measured: what came out against it."""
        median, result = self.medians(), []
        for bar in self.bars:
            row = next(r for r in self.rows if r.key == bar.row)
            ours = median.get(bar.ours, {}).get(bar.row)
            theirs = median.get(bar.peer, {}).get(bar.row) if bar.peer else 1
            if not ours or not theirs:
                continue
            value = self.ratio(bar.ours, bar.peer, bar.row) if bar.peer \
                else ours
            limit = median.get(self.extreme, {}).get(bar.row)
            limit = limit / theirs if limit and bar.peer != self.extreme \
                and bar.peer else None
            result.append({
                "what": f"{row.text.strip()}" +
                        (f" / {bar.peer}" if bar.peer else ""),
                "ours": bar.ours, "value": value,
                "unit": "x" if bar.peer else row.unit,
                "kind": bar.kind, "bound": bar.bound, "aim": bar.aim,
                "note": bar.note, "limit": limit,
                "pass": value >= bar.bound if bar.kind == "min"
                else value <= bar.bound})
        return result
