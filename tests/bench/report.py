"""report - the tables and verdicts of a run, as text"""

WIDTH = 12
LABEL = 40


def table(subject):
    median = subject.medians()
    names = [n for n in median if median[n]]
    if not names:
        return
    print(f"\n{subject.title[:LABEL - 1]:<{LABEL}}" +
          "".join(f"{n:>{WIDTH}}" for n in names))
    for row in subject.rows:
        if not any(row.key in median[n] for n in names):
            continue
        cells = [f"{median[n][row.key]:.{row.decimals}f}"
                 if row.key in median[n] else "-" for n in names]
        print(f"{row.text + ', ' + row.unit if row.unit else row.text:<{LABEL}}"
              + "".join(f"{c:>{WIDTH}}" for c in cells))
        ours = median.get(subject.ours, {}).get(row.key)
        cells = [f"{subject.ratio(subject.ours, n, row.key):.2f}x"
                 if ours and median[n].get(row.key) and n != subject.ours
                 else "" for n in names]
        if any(cells):
            print(f"{'  ' + subject.ours + ' is x-fold':<{LABEL}}" +
                  "".join(f"{c:>{WIDTH}}" for c in cells))


def bars(subject, verdicts):
    for v in verdicts:
        sign = ">=" if v["kind"] == "min" else "<="
        who = "" if v["ours"] == subject.ours else v["ours"] + ": "
        aim = f", aim {v['aim']:g}" if v["aim"] else ""
        unit = v["unit"] if v["unit"] == "x" else " " + v["unit"]
        print(f"{'PASS ' if v['pass'] else 'short'}  "
              f"{who + v['what']:<46} {v['value']:8.2f}{unit}  "
              f"({sign} {v['bound']:g}{aim})" +
              (f"  {v['note']}" if v["note"] else "") +
              (f"  the {subject.extreme}: {v['limit']:.2f}x"
               if v["limit"] else ""))


def report(subjects):
    """Print all; the verdicts."""
    result = []
    for s in subjects:
        table(s)
    print()
    for s in subjects:
        verdicts = s.verdicts()
        bars(s, verdicts)
        result += [{"subject": s.name, **v} for v in verdicts]
    return result
