#!/usr/bin/python3 -B
"""DPDK's virtio-user as a front end, with rings of all kinds.

    testpmd a --- p1 [port p1]  switchd  [port p2] p2 --- testpmd b

Each sends the frames of a file, of all sizes, as fast as it can, and writes
down what it gets. What a ring that is full loses must have been counted.
"""

import os
import random

import dpdk
import lab

FRAMES = 4000
MANY = 150_000          # takes longer than it takes to kill the switch
MACS = (bytes.fromhex("525400770001"), bytes.fromhex("525400770002"))
ETHERTYPE = bytes.fromhex("88b5")       # local experiments
LENGTHS = (60, 64, 65, 128, 577, 590, 1024, 1499, 1513, 1514)
HEAD = len(MACS[0]) * 2 + len(ETHERTYPE)

# Who talks to whom: what the rings have in common, options of an end with split
# and of one with packed rings, pairs of queues.
PACKED = ",packed_vq=1"
KINDS = (
    ("mergeable", "", PACKED, 1),
    ("not_mergeable", ",mrg_rxbuf=0", PACKED + ",mrg_rxbuf=0", 1),
    ("out_of_order", ",in_order=0", PACKED + ",in_order=0", 1),
    ("of_64", ",queue_size=64", PACKED + ",queue_size=64", 1),
    # The split ones by virtio-user's other, vectorized driver.
    ("of_4096", ",queue_size=4096,mrg_rxbuf=0,in_order=1,vectorized=1",
     PACKED + ",queue_size=4096", 1),
    ("in_two_pairs", "", PACKED, 2),
)


def frames_of(end, count, lengths):
    """What that end sends: a frame's number and noise, of these lengths."""
    rng = random.Random(end)
    frames = []
    for number in range(count):
        noise = rng.randbytes(rng.choice(lengths) - HEAD - 4)
        frames.append(MACS[1 - end] + MACS[end] + ETHERTYPE +
                      number.to_bytes(4, "big") + noise)
    return frames


def number_of(frame):
    """Which one of frames_of() a frame is."""
    return int.from_bytes(frame[HEAD:HEAD + 4], "big")


class End:
    """A testpmd on a port of its own."""

    # pylint: disable-next=too-many-arguments
    def __init__(self, switch, index, queues=1, role="server", sends=None):
        self.switch, self.index, self.queues = switch, index, queues
        self.name = f"p{index + 1}"
        self.path = f"{lab.VHOST}/{self.name}"
        self.into = f"{lab.FOLDER}/{self.name}.got"
        self.file = f"{lab.FOLDER}/{self.name}.sent"
        self.sends = sends or frames_of(index, FRAMES, LENGTHS)
        self.testpmd = None
        dpdk.write_frames(self.file, self.sends)
        switch.result("port", "attach", self.name, "type=vhost-user",
                      f"path={self.path}", f"role={role}", f"queues={queues}")

    def launch(self, options):
        """Starts testpmd."""
        self.testpmd = dpdk.Testpmd(self.name, self.path, options,
                                    self.file, self.into, self.queues)
        return self

    def ready(self):
        """Waits until testpmd could begin, and the port, too."""
        self.testpmd.ready()
        self.switch.vhost(self.name, "running")

    def quit(self):
        """Ends testpmd, and takes the port away."""
        self.testpmd.stop()
        self.switch.vhost(self.name, "waiting")
        self.switch.result("port", "detach", self.name)

    def got(self):
        """What testpmd has written down, queue by queue."""
        paths = ([self.into] if self.queues == 1 else
                 [f"{self.into}.{queue}" for queue in range(self.queues)])
        return [dpdk.read_frames(path) for path in paths]


def settled(a, b):
    """Waits until what a has sent has reached b or was lost, and nothing is
    under way; returns how much it was, and what was lost."""
    def counted():
        sent = a.testpmd.packets()[1]
        if sent < FRAMES * a.queues:
            return None
        rx, tx = (end.switch.port(end.name)[way]
                  for end, way in ((a, "rx"), (b, "tx")))
        if (rx["frames"] != sent or tx["frames"] + tx["dropped"] != sent or
                b.testpmd.packets()[0] != tx["frames"]):
            return None
        return sent, tx
    return lab.until(counted, f"what {a.name} sends is accounted for", 20)


def arrived(a, b, tx):
    """What b wrote down must be what a has sent, each frame once and in
    order, and as many as were counted."""
    total = 0
    for frames in b.got():
        numbers = [number_of(frame) for frame in frames]
        if a.queues == 1:
            assert numbers == sorted(set(numbers)), "order"
        for frame, number in zip(frames, numbers):
            assert frame == a.sends[number], f"frame {number}"
        total += len(frames)
    assert total == tx["frames"], f"{total} arrived, {tx}"
    assert total >= FRAMES / 100, f"{total} arrived"
    lost = {reason: n for reason, n in tx["drops"].items() if n}
    assert set(lost) <= {"queue-full"}, lost


def exchange(place, switch, kind, options, queues):
    """Two ends, both ways at once."""
    ends = [End(switch, index, queues) for index in (0, 1)]
    with place.claim(f"split_and_packed_rings_{kind}_account_for_all_frames"):
        for end, each in zip(ends, options):
            end.launch(each)
        for end in ends:
            end.ready()
        for end in ends:
            end.testpmd.command("start")
        counted = [settled(*pair)[1] for pair in (ends, ends[::-1])]
    with place.claim(f"the_switch_knows_the_rings_{kind}_for_what_they_are"):
        for end, want in zip(ends, ("split", "packed")):
            rings = switch.port(end.name)["guest"]["rings"]
            assert len(rings) == 2 * queues, rings
            assert all(ring["kind"] == want for ring in rings), rings
    for end in ends:
        end.quit()
    with place.claim(f"frames_cross_rings_{kind}_unchanged_and_in_order"):
        arrived(*ends, counted[0])
        arrived(*ends[::-1], counted[1])


def listening_and_killed(place, switch):
    """testpmd listens, and the switch connects; then it's killed."""
    a, b = End(switch, 0, role="client"), End(switch, 1)
    for end, options in ((a, ",server=1"), (b, "")):
        end.launch(options)
    with place.claim("the_switch_connects_to_a_testpmd_that_listens"):
        for end in (a, b):
            end.ready()
        for end in (a, b):
            end.testpmd.command("start")
        settled(a, b)
        settled(b, a)
    for end, options in ((a, ",server=1" + PACKED), (b, PACKED)):
        with place.claim(f"{end.name}_waits_when_testpmd_is_killed"):
            end.testpmd.kill()
            switch.vhost(end.name, "waiting")
        if options.startswith(",server"):
            os.unlink(end.path)     # testpmd had no time for that
        end.launch(options)
    with place.claim("testpmd_started_anew_with_other_rings_works"):
        for end in (a, b):
            end.ready()
            rings = switch.port(end.name)["guest"]["rings"]
            assert all(ring["kind"] == "packed" for ring in rings), rings
        was = [end.testpmd.packets()[0] for end in (a, b)]
        for end in (a, b):
            end.testpmd.command("start")
        for end, before in zip((a, b), was):
            lab.until(lambda e=end, n=before: e.testpmd.packets()[0] > n,
                      f"{end.name} gets frames again")
    for end in (a, b):
        end.quit()


def killed_under_load(place, switch):
    """The switch dies while rings are busy: what was under way is lost, or it
    isn't, but it doesn't come twice."""
    for kind, options in (("split", ""), ("packed", PACKED)):
        ends = [End(switch, index, sends=frames_of(index, MANY, (60,)))
                for index in (0, 1)]
        for end in ends:
            end.launch(options)
        for end in ends:
            end.ready()
        switch.wait_to_kill()
        with place.claim(f"{kind}_rings_go_on_when_the_switch_is_killed"):
            for end in ends:
                end.testpmd.command("start")
            lab.until(lambda e=ends[1]: e.testpmd.packets()[1], "it sends")
            sent = []
            switch.kill(lambda e=ends[1]: sent.append(e.testpmd.packets()[1]))
            assert sent[0] < MANY, "it had sent all before"
            for end in ends:
                lab.until(lambda e=end: e.testpmd.packets()[1] == MANY,
                          f"{end.name} has sent all its frames", 20)
        for end in ends:
            end.quit()
        with place.claim(f"{kind}_rings_bring_no_frame_twice_or_spoilt"):
            for sender, receiver in (ends, ends[::-1]):
                frames = receiver.got()[0]
                numbers = [number_of(frame) for frame in frames]
                assert numbers == sorted(set(numbers)), "order"
                assert len(numbers) > 100, len(numbers)
                for frame, number in zip(frames, numbers):
                    assert frame == sender.sends[number], number


def test(place):
    switch = place.switch({})
    for kind, split, packed, queues in KINDS:
        exchange(place, switch, kind, (split, packed), queues)
    listening_and_killed(place, switch)
    killed_under_load(place, switch)
    with place.claim("both_ledgers_close"):
        stats = switch.result("stats", "show")
        rx, tx = stats["rx"], stats["tx"]
        assert rx["frames"] == rx["forwarded"] + rx["dropped"], rx
        assert tx["copies"] == tx["frames"] + tx["dropped"], tx


lab.run(test, "vhost_dpdk", ["dpdk-testpmd"], boots=False)
