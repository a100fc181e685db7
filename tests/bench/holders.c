/*
 * holders - two programs that hold TAPs, as two QEMUs do, and a switch between
 *
 *	holders [-t SECONDS] [-k KIND]... [-w CPU] [-r CPU] TAP_A TAP_B
 *
 * Opens both TAPs as QEMU does, says "ready", and waits for a line on its
 * standard input. Meanwhile somebody makes them members of a switch and brings
 * them up; words in that line are pids of the switch. Then, for each kind of
 * frames (guest_frame.h; all of them unless told), a process that holds A
 * writes as fast as it can and another one that holds B reads, and one line of
 * JSON says what came.
 *
 * The writer writes until EAGAIN and then polls; the reader reads until EAGAIN
 * and then polls. So the reader sleeps where it is faster than what comes, and
 * whoever puts a frame into its queue pays for waking it up, as with a guest.
 * What doesn't fit into its queue of 1000 frames is lost, by the switch's doing
 * or the kernel's: the rate is that of what was read. Before each kind a few
 * frames go both ways, until the addresses are learned.
 *
 * What other work on the host disturbs least is CPU time: "writer_ns" for each
 * frame written, in which a switch in the kernel does its work, "reader_ns" and
 * "switch_ns" (of the switch's processes) for each one that was read. Given a
 * processor each, the slowest of the three is the rate.
 *
 * Every frame that is read is checked: its checksum, that it came once, and
 * after its predecessors.
 */
#include "tests/bench/guest_frame.h"
#include "tests/bench/tool.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ADDR_A	      1
#define ADDR_B	      2
#define FRAMES_MAX    (1u << 26) /* numbered frames of a run */
#define CLOCK_EVERY   64u	 /* frames written between looks at the clock */
#define QUIET_MS      200	 /* nothing for so long: all is through */
#define LEARN_ROUNDS  100u
#define LEARN_GOOD    50u /* rounds of them in which both frames arrive */
#define LEARN_TRIES   2000u
#define LEARN_STEP_NS (2 * 1000 * 1000L)

/* Of the two processes. */
struct shared {
	_Atomic uint64_t written, refused, cpu_ns;
	_Atomic bool done;
};

struct holders {
	int tap[2];
	int cpu_writer, cpu_reader; /* -1: anywhere */
	double seconds;
	const char *pid[TOOL_PIDS_MAX]; /* the switch's processes */
	unsigned int pids;
	struct shared *shared;
	uint64_t *seen; /* a bit a frame */
};

struct count {
	uint64_t verdict[GUEST_STRANGE + 1];
	uint64_t received; /* different frames of ours */
	uint64_t doubled, reordered, bytes;
	uint64_t first_ns, last_ns;
	uint64_t reader_ns, switch_ns; /* CPU time */
	uint32_t next; /* one more than the highest number so far */
};

static void wait_for(int fd, short events, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	if (poll(&pfd, 1, ms) < 0 && errno != EINTR)
		err(1, "poll");
}

static void writer_run(struct holders *h, enum guest_kind kind)
{
	uint64_t end, written = 0, refused = 0;
	struct guest_frame f;

	tool_pin(h->cpu_writer);
	guest_frame_make(&f, kind, ADDR_A, ADDR_B);
	end = tool_now() + (uint64_t)(h->seconds * (double)TOOL_SEC);
	while (written < FRAMES_MAX && tool_now() < end)
		for (unsigned int i = 0; i < CLOCK_EVERY; i++) {
			guest_frame_number(&f, (uint32_t)written);
			if (write(h->tap[0], f.bytes, f.len) > 0) {
				written++;
			} else if (errno == EAGAIN) {
				refused++;
				wait_for(h->tap[0], POLLOUT, 100);
			} else {
				err(1, "write");
			}
		}
	atomic_store(&h->shared->written, written);
	atomic_store(&h->shared->refused, refused);
	atomic_store(&h->shared->cpu_ns, tool_thread_cpu());
	atomic_store(&h->shared->done, true);
	guest_frame_free(&f);
}

static void count_frame(struct holders *h, struct count *c, uint32_t number,
			enum guest_verdict v, size_t len)
{
	uint64_t bit = 1ull << (number & 63);

	c->verdict[v]++;
	if (v == GUEST_STRANGE || v == GUEST_WRONG)
		return;
	c->bytes += len - TOOL_VNET_LEN;
	if (number == UINT32_MAX) /* not the first segment of its frame */
		return;
	if (number >= FRAMES_MAX + CLOCK_EVERY) {
		c->verdict[GUEST_WRONG]++;
		return;
	}
	if (h->seen[number >> 6] & bit) {
		c->doubled++;
		return;
	}
	h->seen[number >> 6] |= bit;
	c->received++;
	if (number < c->next)
		c->reordered++;
	else
		c->next = number + 1;
}

static void reader_run(struct holders *h, enum guest_kind kind, struct count *c)
{
	static uint8_t buf[TOOL_FRAME_MAX];
	struct guest_frame f;
	bool done = false;

	c->reader_ns = tool_thread_cpu();
	guest_frame_make(&f, kind, ADDR_A, ADDR_B);
	for (;;) {
		uint64_t before = c->received + c->verdict[GUEST_CUT];
		struct pollfd pfd = { .fd = h->tap[1], .events = POLLIN };
		ssize_t n;

		while ((n = read(h->tap[1], buf, sizeof(buf))) > 0) {
			uint32_t number = 0;
			enum guest_verdict v =
				guest_frame_check(&f, buf, (size_t)n, &number);

			if (!c->first_ns)
				c->first_ns = tool_now();
			count_frame(h, c, number, v, (size_t)n);
		}
		if (n < 0 && errno != EAGAIN)
			err(1, "read");
		if (before != c->received + c->verdict[GUEST_CUT])
			c->last_ns = tool_now();
		/* Done before it was quiet: nothing more can come. */
		if (poll(&pfd, 1, QUIET_MS) == 0) {
			if (done)
				break;
			done = atomic_load(&h->shared->done);
		}
	}
	c->reader_ns = tool_thread_cpu() - c->reader_ns;
	guest_frame_free(&f);
}

/* Frames of ours that are waiting at a TAP, taken off it. */
static unsigned int tap_empty(int fd, const struct guest_frame *expected)
{
	static uint8_t buf[TOOL_FRAME_MAX];
	unsigned int ours = 0;
	uint32_t number;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		ours += guest_frame_check(expected, buf, (size_t)n, &number) !=
			GUEST_STRANGE;
	return ours;
}

/* Frames both ways until the switch passes them on to each other. */
static void learn(struct holders *h, enum guest_kind kind)
{
	struct timespec step = { .tv_nsec = LEARN_STEP_NS };
	unsigned int good = 0, i;
	struct guest_frame f[2];

	guest_frame_make(&f[0], kind, ADDR_A, ADDR_B);
	guest_frame_make(&f[1], kind, ADDR_B, ADDR_A);
	for (i = 0; i < LEARN_ROUNDS || good < LEARN_GOOD; i++) {
		unsigned int came;

		if (i == LEARN_TRIES)
			errx(1, "nothing comes through");
		/* EIO: not up yet. */
		for (int side = 0; side < 2; side++)
			if (write(h->tap[side], f[side].bytes, f[side].len) <
				    0 &&
			    errno != EAGAIN && errno != EIO)
				err(1, "write");
		nanosleep(&step, NULL);
		came = tap_empty(h->tap[1], &f[0]) > 0;
		came += tap_empty(h->tap[0], &f[1]) > 0;
		good += came == 2;
	}
	for (int ms = 0; ms < QUIET_MS; ms += 2) {
		nanosleep(&step, NULL);
		tap_empty(h->tap[0], &f[1]);
		tap_empty(h->tap[1], &f[0]);
	}
	guest_frame_free(&f[0]);
	guest_frame_free(&f[1]);
}

static void report(const struct holders *h, enum guest_kind kind,
		   const struct count *c)
{
	uint64_t written = atomic_load(&h->shared->written);
	uint64_t writer_ns = atomic_load(&h->shared->cpu_ns);
	double received = (double)c->received;
	double s = (double)(c->last_ns - c->first_ns) / (double)TOOL_SEC;

	if (!c->received || s <= 0)
		errx(1, "%s: nothing arrived", guest_kind_name[kind]);
	printf("{\"kind\": \"%s\", \"seconds\": %.3f, \"fps\": %.0f, "
	       "\"gbit\": %.3f, \"written\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"lost\": %" PRIu64
	       ", \"reordered\": %" PRIu64 ", \"doubled\": %" PRIu64
	       ", \"partial\": %" PRIu64 ", \"complete\": %" PRIu64
	       ", \"cut\": %" PRIu64 ", \"wrong\": %" PRIu64
	       ", \"strange\": %" PRIu64 ", \"writer_ns\": %.1f"
	       ", \"switch_ns\": %.1f, \"reader_ns\": %.1f}\n",
	       guest_kind_name[kind], s, received / s,
	       (double)c->bytes * 8 / s / 1e9, written,
	       atomic_load(&h->shared->refused), c->received,
	       written - c->received, c->reordered, c->doubled,
	       c->verdict[GUEST_PARTIAL], c->verdict[GUEST_COMPLETE],
	       c->verdict[GUEST_CUT], c->verdict[GUEST_WRONG],
	       c->verdict[GUEST_STRANGE], (double)writer_ns / (double)written,
	       (double)c->switch_ns / received,
	       (double)c->reader_ns / received);
	fflush(stdout);
}

static void measure(struct holders *h, enum guest_kind kind)
{
	struct count c = { 0 };
	int status;
	pid_t pid;

	memset(h->seen, 0, FRAMES_MAX / 8 + CLOCK_EVERY);
	atomic_store(&h->shared->done, false);
	learn(h, kind);
	for (unsigned int i = 0; i < h->pids; i++)
		c.switch_ns -= tool_process_cpu(h->pid[i]);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(h->tap[1]);
		writer_run(h, kind);
		_exit(0);
	}
	reader_run(h, kind, &c);
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "the writer failed");
	for (unsigned int i = 0; i < h->pids; i++)
		c.switch_ns += tool_process_cpu(h->pid[i]);
	report(h, kind, &c);
}

int main(int argc, char **argv)
{
	struct holders h = { .seconds = 2, .cpu_writer = -1, .cpu_reader = -1 };
	bool wanted[GUEST_KINDS] = { false }, all = true;
	int c, k;

	while ((c = getopt(argc, argv, "t:k:w:r:")) != -1) {
		for (k = 0; c == 'k' && k < GUEST_KINDS; k++)
			if (!strcmp(optarg, guest_kind_name[k])) {
				wanted[k] = true;
				all = false;
				break;
			}
		if (c == 't')
			h.seconds = atof(optarg);
		else if (c == 'w')
			h.cpu_writer = atoi(optarg);
		else if (c == 'r')
			h.cpu_reader = atoi(optarg);
		else if (c != 'k' || k == GUEST_KINDS)
			argc = 0;
	}
	if (argc - optind != 2 || h.seconds <= 0)
		errx(2, "usage: holders [-t SECONDS] [-k small|mtu|gso]... "
			"[-w CPU] [-r CPU] TAP_A TAP_B");
	h.shared = mmap(NULL, sizeof(*h.shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	h.seen = malloc(FRAMES_MAX / 8 + CLOCK_EVERY);
	if (h.shared == MAP_FAILED || !h.seen)
		err(1, "memory");
	for (int i = 0; i < 2; i++)
		h.tap[i] = tool_tap_open(argv[optind + i], TOOL_TAP_QEMU);
	tool_pin(h.cpu_reader);
	h.pids = tool_ready(h.pid);
	for (k = 0; k < GUEST_KINDS; k++)
		if (all || wanted[k])
			measure(&h, (enum guest_kind)k);
	free(h.seen);
	return 0;
}
