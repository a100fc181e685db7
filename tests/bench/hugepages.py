"""hugepages - huge pages of the host's, borrowed for a measurement

DPDK keeps its memory in huge pages, of which a host may have none to spare.
The kernel is asked for some more, and has them back at the end; a file in the
stage's directory tells the next run what one that was killed still owes.
"""

import os

COUNT = "/proc/sys/vm/nr_hugepages"
FILE = "hugepages"


def count():
    with open(COUNT) as f:
        return int(f.read())


def change(by):
    """How many more there are then; the kernel may find fewer than asked."""
    before = count()
    with open(COUNT, "w") as f:
        f.write(str(max(before + by, 0)))
    return count() - before


def borrow(directory, pages):
    """All of them, or none: are they there?"""
    path = os.path.join(directory, FILE)
    try:
        with open(path, "w") as f:  # what is killed between owes too much
            f.write(str(pages))
        got = change(pages)
        with open(path, "w") as f:
            f.write(str(got))
        if got >= pages:
            return True
    except OSError:  # a kernel without, or not ours to ask
        pass
    give_back(directory)
    return False


def give_back(directory):
    """What the run with this directory has borrowed."""
    path = os.path.join(directory, FILE)
    try:
        with open(path) as f:
            borrowed = int(f.read() or 0)
        os.unlink(path)
        change(-borrowed)
    except (OSError, ValueError):
        pass
