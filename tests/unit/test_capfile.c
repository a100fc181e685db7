#include "ports/capfile.h"

#include "base/log.h"
#include "tests/unit/capture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#define ROTATE 8192

static int fd_of_fifo(struct capture *c)
{
	int fd;

	assert_int_equal(mkfifo(c->rq.pcap.file, 0600), 0);
	fd = open(c->rq.pcap.file, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void assert_refused(struct capture *c, const char *reason)
{
	assert_true(capture_acquire(c) < 0);
	assert_string_equal(c->err.reason, reason);
	assert_int_equal(c->grant.nfds, 0);
}

/* ---- opening ---- */

static void new_file_is_for_its_owner_only(void **state)
{
	struct capture *c = *state;
	struct stat st;

	capture_open(c);
	capture_close(c);
	assert_int_equal(stat(c->rq.pcap.file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void old_capture_is_replaced_and_keeps_its_mode(void **state)
{
	struct capture *c = *state;
	struct stat st;

	capture_open(c);
	for (uint32_t n = 0; n < 20; n++)
		capture_number(c, 1000, n, 0, FRAME_DIR_IN);
	capture_close(c);
	assert_int_equal(chmod(c->rq.pcap.file, 0640), 0);
	c->rq.pcap.classic = true;
	capture_open(c);
	capture_number(c, 60, 1, 0, FRAME_DIR_IN);
	capture_close(c);
	assert_int_equal(capture_count(c, 0), 1);
	assert_int_equal(stat(c->rq.pcap.file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_size, 24 + 16 + 60);
}

static void file_that_is_no_capture_is_left_alone(void **state)
{
	struct capture *c = *state;
	char text[32] = "";
	FILE *f;

	write_file(c->rq.pcap.file, "someone's disk image");
	assert_refused(c, "file-exists");
	f = fopen(c->rq.pcap.file, "r");
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_string_equal(text, "someone's disk image");
}

static void file_that_rotation_would_overwrite_is_left_alone(void **state)
{
	struct capture *c = *state;
	char old[PORT_PATH_MAX + 4];

	c->rq.pcap.rotate_bytes = ROTATE;
	c->rq.pcap.rotate_files = 3;
	snprintf(old, sizeof(old), "%s.2", c->rq.pcap.file);
	write_file(old, "a log, rotated by somebody else");
	assert_refused(c, "file-exists");
	assert_int_equal(capture_files(c), 1);
	c->rq.pcap.rotate_files = 2; /* doesn't reach it */
	capture_open(c);
}

static void link_and_device_and_folder_are_refused(void **state)
{
	struct capture *c = *state;
	char real[PORT_PATH_MAX];

	snprintf(real, sizeof(real), "%s/real", c->dir);
	write_file(real, "");
	assert_int_equal(symlink(real, c->rq.pcap.file), 0);
	assert_refused(c, "bad-file");
	unlink(c->rq.pcap.file);
	assert_int_equal(link(real, c->rq.pcap.file), 0);
	assert_refused(c, "file-exists");
	snprintf(c->rq.pcap.file, sizeof(c->rq.pcap.file), "/dev/zero");
	assert_refused(c, "bad-file");
	snprintf(c->rq.pcap.file, sizeof(c->rq.pcap.file), "%s", c->dir);
	assert_refused(c, "bad-file");
	snprintf(c->rq.pcap.file, sizeof(c->rq.pcap.file), "relative");
	assert_refused(c, "bad-file");
	snprintf(c->rq.pcap.file, sizeof(c->rq.pcap.file), "%s/no/f", c->dir);
	assert_refused(c, "bad-file");
	snprintf(c->rq.pcap.file, sizeof(c->rq.pcap.file), "%s/a\nb", c->dir);
	assert_refused(c, "bad-file");
	memset(c->rq.pcap.file, '/', sizeof(c->rq.pcap.file));
	assert_refused(c, "bad-file");
}

static void file_of_the_kernel_is_refused_and_stays_as_it_was(void **state)
{
	static const char comm[] = "/proc/self/comm";
	char before[32] = "", now[32] = "";
	struct capture *c = *state;
	FILE *f = fopen(comm, "r");

	assert_non_null(f);
	assert_non_null(fgets(before, sizeof(before), f));
	fclose(f);
	snprintf(c->rq.pcap.file, sizeof(c->rq.pcap.file), "%s", comm);
	assert_refused(c, "bad-file");
	f = fopen(comm, "r");
	assert_non_null(fgets(now, sizeof(now), f));
	fclose(f);
	assert_string_equal(now, before);
}

static void second_capture_to_a_file_is_refused(void **state)
{
	struct capture *c = *state;
	struct port_grant grant = { 0 };
	struct error err;

	capture_open(c);
	assert_int_equal(port_ops_pcap.acquire(&c->rq, &grant, &err), -EBUSY);
	assert_string_equal(err.reason, "file-busy");
	capture_number(c, 60, 1, 0, FRAME_DIR_IN);
	capture_close(c);
	assert_int_equal(capture_count(c, 0), 1);
}

static void rotation_that_makes_no_sense_is_refused(void **state)
{
	struct capture *c = *state;

	c->rq.pcap.rotate_files = 3;
	assert_refused(c, "bad-rotate");
	c->rq.pcap.rotate_bytes = CAPFILE_ROTATE_MIN - 1;
	assert_refused(c, "bad-rotate");
	c->rq.pcap.rotate_bytes = CAPFILE_ROTATE_MIN;
	c->rq.pcap.rotate_files = CAPFILE_FILES_MAX + 1;
	assert_refused(c, "bad-rotate");
	assert_int_equal(capture_files(c), 0);
}

/* ---- rotation ---- */

static void check_rotation_loses_nothing(struct capture *c)
{
	uint32_t n = 0;

	c->rq.pcap.rotate_bytes = ROTATE;
	c->rq.pcap.rotate_files = 8;
	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 0, "a"), 0);
	assert_int_equal(pcap_port_name(c->port, 1, "b"), 0);
	for (n = 0; n < 200; n++)
		capture_number(c, 100 + n % 50, n, n % 2, FRAME_DIR_IN);
	capture_close(c);
	n = 0;
	for (unsigned int i = capture_files(c); i > 0; i--) {
		char path[PORT_PATH_MAX + 16];
		uint32_t first = n;
		struct stat st;

		n = capture_check(c, i - 1, n);
		assert_true(n > first);
		snprintf(path, sizeof(path), i > 1 ? "%s.%u" : "%s",
			 c->rq.pcap.file, i - 1);
		assert_int_equal(stat(path, &st), 0);
		assert_true(st.st_size <= ROTATE);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_int_equal(n, 200);
	assert_in_range(capture_files(c), 3, 8);
}

static void rotation_has_every_frame_exactly_once(void **state)
{
	check_rotation_loses_nothing(*state);
}

static void classic_rotation_has_every_frame_exactly_once(void **state)
{
	struct capture *c = *state;

	c->rq.pcap.classic = true;
	check_rotation_loses_nothing(c);
}

static void rotation_keeps_exactly_n_files_with_the_newest(void **state)
{
	struct capture *c = *state;

	for (uint32_t files = 1; files <= 3; files++) {
		struct pcap_port_stats s;
		struct pcap_pkthdr *h;
		const uint8_t *data;
		uint32_t n;
		pcap_t *pc;

		c->rq.pcap.rotate_bytes = ROTATE;
		c->rq.pcap.rotate_files = files == 1 ? 0 : files;
		capture_open(c);
		for (n = 0; n < 500; n++)
			capture_number(c, 1000, n, 0, FRAME_DIR_IN);
		s = capture_settled(c, 500);
		assert_int_equal(s.written, 500);
		assert_int_equal(s.files, 500 / 7 + 1); /* 7 fit into one */
		capture_close(c);
		assert_int_equal(capture_files(c), files);
		pc = capture_read(c, files - 1);
		assert_true(capture_next(pc, &h, &data));
		n = load_be32(data + 14);
		pcap_close(pc);
		assert_int_equal(n, 500 - 500 % 7 - 7 * (files - 1));
		for (uint32_t i = files; i > 0; i--)
			n = capture_check(c, i - 1, n);
		assert_int_equal(n, 500);
	}
}

static void frame_longer_than_a_file_gets_one_of_its_own(void **state)
{
	static uint8_t data[20000];
	struct capture *c = *state;
	struct frame f;

	c->rq.pcap.rotate_bytes = ROTATE;
	c->rq.pcap.rotate_files = 10;
	capture_open(c);
	for (uint32_t n = 0; n < 3; n++) {
		capture_make(&f, data, sizeof(data), n);
		capture_sent(c, &f);
	}
	capture_close(c);
	assert_int_equal(capture_files(c), 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(capture_check(c, i, 2 - i), 3 - i);
}

static void rotation_that_fails_loses_frames_not_the_bound(void **state)
{
	struct capture *c = *state;
	char busy[PORT_PATH_MAX + 4], in[PORT_PATH_MAX + 8];
	struct pcap_port_stats s;
	enum drop_reason why;
	uint64_t end, sent;
	struct stat st;

	c->rq.pcap.rotate_bytes = ROTATE;
	c->rq.pcap.rotate_files = 2;
	capture_open(c);
	/* A folder that isn't empty can't be overwritten, by root either. */
	snprintf(busy, sizeof(busy), "%s.1", c->rq.pcap.file);
	snprintf(in, sizeof(in), "%s/x", busy);
	assert_int_equal(mkdir(busy, 0700), 0);
	write_file(in, "");
	for (uint32_t n = 0; n < 7; n++)
		capture_number(c, 1000, n, 0, FRAME_DIR_IN);
	capture_settled(c, 7);
	capture_number(c, 1000, 7, 0, FRAME_DIR_IN);
	s = capture_settled(c, 8);
	assert_int_equal(s.written, 7);
	assert_int_equal(s.lost, 1);
	assert_int_equal(stat(c->rq.pcap.file, &st), 0);
	assert_true(st.st_size <= ROTATE);
	unlink(in);
	rmdir(busy);
	/* Within the second it isn't tried again, and tx says so; then it
	 * goes on in a new file. */
	end = clock_ns() + DEADLINE_NS;
	for (sent = 8; sent == 8 && clock_ns() < end; poll(NULL, 0, 10)) {
		uint8_t data[1000];
		struct frame f;

		capture_make(&f, data, sizeof(data), 8);
		if (capture_send(c, &f, &why))
			sent++;
		else
			assert_int_equal(why, DROP_IO_ERROR);
	}
	s = capture_settled(c, 9);
	assert_int_equal(s.written, 8);
	capture_close(c);
	assert_int_equal(capture_check(c, 1, 0), 7);
	assert_int_equal(capture_check(c, 0, 8), 9);
}

/* ---- disk full ---- */

static void full_disk_loses_whole_frames_and_goes_on_later(void **state)
{
	struct capture *c = *state;
	struct rlimit old, small;
	struct pcap_port_stats s;
	enum drop_reason why = DROP_REASON_COUNT;
	uint64_t end = clock_ns() + DEADLINE_NS, sent = 0;
	uint8_t data[1000];
	struct frame f;

	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 1, "late"), 0);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 10000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	/* One by one, so that we know how many fit. */
	do {
		capture_number(c, 1000, (uint32_t)sent++, 0, FRAME_DIR_IN);
		s = capture_settled(c, sent);
	} while (!s.lost);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(s.lost, 1);
	assert_int_equal(s.written, 9);
	assert_int_equal(capture_count(c, 0), 9);
	capture_make(&f, data, sizeof(data), 9);
	f.mirror_port = 1;
	f.mirror_dir = FRAME_DIR_IN;
	assert_int_equal(capture_send(c, &f, &why), 0);
	assert_int_equal(why, DROP_IO_ERROR);
	while (!capture_send(c, &f, &why) && clock_ns() < end)
		poll(NULL, 0, 10);
	s = capture_settled(c, 11);
	assert_int_equal(s.written, 10);
	capture_close(c);
	assert_int_equal(capture_check(c, 0, 0), 10);
}

/* ---- FIFO ---- */

static void fifo_without_reader_is_refused(void **state)
{
	struct capture *c = *state;

	assert_int_equal(mkfifo(c->rq.pcap.file, 0600), 0);
	assert_refused(c, "no-reader");
	c->rq.pcap.rotate_bytes = ROTATE;
	close(open(c->rq.pcap.file, O_RDWR));
	assert_refused(c, "no-reader");
}

static void fifo_cant_be_rotated(void **state)
{
	struct capture *c = *state;
	int fd = fd_of_fifo(c);

	c->rq.pcap.rotate_bytes = ROTATE;
	assert_refused(c, "bad-rotate");
	close(fd);
}

/* Copies what comes through the FIFO into a file until its end. */
struct reader {
	pthread_t thread;
	int from, to;
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;
	char buf[65536];
	ssize_t n;

	while ((n = read(r->from, buf, sizeof(buf))) > 0)
		if (write(r->to, buf, (size_t)n) != n)
			break;
	return NULL;
}

static void reader_start(struct reader *r, struct capture *c, int fd)
{
	char path[PORT_PATH_MAX + 4];

	snprintf(path, sizeof(path), "%s.1", c->rq.pcap.file);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	r->from = fd;
	r->to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(pthread_create(&r->thread, NULL, reader_run, r), 0);
}

static void reader_end(struct reader *r)
{
	pthread_join(r->thread, NULL);
	close(r->from);
	close(r->to);
}

/* Send bursts until the ring is full; returns how many were accepted. */
static uint32_t fill_up(struct capture *c, uint64_t *slowest)
{
	enum drop_reason why = DROP_REASON_COUNT;
	uint32_t n = 0;

	*slowest = 0;
	while (why == DROP_REASON_COUNT) {
		static uint8_t data[FRAME_BATCH_MAX][1000];
		struct frame f[FRAME_BATCH_MAX], *list[FRAME_BATCH_MAX];
		uint64_t start;

		for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++) {
			capture_make(&f[i], data[i], 1000, n + i);
			list[i] = &f[i];
		}
		start = clock_ns();
		n += port_ops_pcap.tx(c->port, list, FRAME_BATCH_MAX, &why);
		start = clock_ns() - start;
		if (start > *slowest)
			*slowest = start;
	}
	assert_int_equal(why, DROP_QUEUE_FULL);
	return n;
}

static void stalled_reader_fills_the_ring_and_loses_nothing(void **state)
{
	struct capture *c = *state;
	int fd = fd_of_fifo(c);
	struct pcap_port_stats s;
	struct reader reader;
	uint64_t slowest;
	uint32_t n;

	capture_open(c);
	n = fill_up(c, &slowest);
	/* Ring, buffer and pipe: some five thousand of them, and no waiting
	 * (0.5 s is for a busy host; a blocked tx would never return). */
	assert_in_range(n, 3500, 6000);
	assert_true(slowest < CLOCK_NS_PER_S / 2);
	reader_start(&reader, c, fd);
	s = capture_settled(c, n);
	assert_int_equal(s.written, n);
	assert_int_equal(s.lost, 0);
	capture_close(c);
	reader_end(&reader);
	assert_int_equal(capture_check(c, 1, 0), n);
}

static void close_writes_all_that_was_accepted(void **state)
{
	struct capture *c = *state;
	int fd = fd_of_fifo(c);
	struct reader reader;
	uint64_t slowest;
	uint32_t n;

	capture_open(c);
	n = fill_up(c, &slowest);
	reader_start(&reader, c, fd);
	capture_close(c); /* at once: the ring is still full */
	reader_end(&reader);
	assert_int_equal(capture_check(c, 1, 0), n);
}

static void close_gives_up_on_a_stalled_reader(void **state)
{
	struct capture *c = *state;
	int fd = fd_of_fifo(c);
	uint64_t start, slowest;

	assert_int_equal(log_set_level("err"), 0);
	capture_open(c);
	fill_up(c, &slowest);
	start = clock_ns();
	capture_close(c);
	start = clock_ns() - start;
	assert_true(start >= CAPFILE_CLOSE_NS);
	assert_true(start < 4 * CAPFILE_CLOSE_NS);
	close(fd);
	assert_int_equal(log_set_level("notice"), 0);
}

static void reader_that_comes_back_gets_a_whole_capture(void **state)
{
	struct capture *c = *state;
	int fd = fd_of_fifo(c);
	struct pcap_port_stats s;
	enum drop_reason why;
	struct reader reader;
	uint64_t end = clock_ns() + DEADLINE_NS;
	uint8_t data[1000];
	struct frame f;

	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 1, "vm1"), 0);
	capture_number(c, 100, 0, 1, FRAME_DIR_IN);
	s = capture_settled(c, 1);
	assert_int_equal(s.written, 1);
	assert_true(read(fd, data, sizeof(data)) > 0);
	close(fd);
	capture_number(c, 100, 1, 1, FRAME_DIR_IN);
	s = capture_settled(c, 2);
	assert_int_equal(s.lost, 1);
	fd = open(c->rq.pcap.file, O_RDONLY | O_NONBLOCK);
	reader_start(&reader, c, fd);
	capture_make(&f, data, sizeof(data), 2);
	f.mirror_port = 1;
	f.mirror_dir = FRAME_DIR_IN;
	while (!capture_send(c, &f, &why) && clock_ns() < end)
		poll(NULL, 0, 10);
	s = capture_settled(c, 3);
	assert_int_equal(s.written, 2);
	capture_close(c);
	reader_end(&reader);
	assert_int_equal(capture_check(c, 1, 2), 3);
}

/* ---- the writer thread ---- */

#define WAITS "voluntary_ctxt_switches:"

/* Times that this process's writer thread has given up the CPU to wait. */
static unsigned long writer_waits(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned long waits = ULONG_MAX;
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[300], line[128];
		bool found = false;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status",
			 e->d_name);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f)) {
			if (!strcmp(line, "Name:\tpcap\n"))
				found = true;
			if (found && !strncmp(line, WAITS, strlen(WAITS)))
				waits = strtoul(line + strlen(WAITS), NULL, 10);
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	return waits;
}

static void idle_port_wakes_nobody(void **state)
{
	struct capture *c = *state;
	uint64_t end = clock_ns() + DEADLINE_NS;
	unsigned long before, after = 0;

	capture_open(c);
	capture_number(c, 100, 0, 0, FRAME_DIR_IN);
	capture_settled(c, 1);
	/* A thread that woke every millisecond, or ten times a second, never
	 * has a quiet 300 ms; one that sleeps has the first or second. */
	do {
		before = writer_waits();
		poll(NULL, 0, 300);
		after = writer_waits();
	} while (before != after && clock_ns() < end);
	assert_true(before != ULONG_MAX);
	assert_int_equal(before, after);
}

struct sender {
	struct capture *c;
	pthread_t thread;
	uint32_t id;
};

#define SENDERS	    4
#define SENT_FRAMES 600

static void *sender_run(void *arg)
{
	struct sender *s = arg;
	enum drop_reason why;
	uint8_t data[200];
	struct frame f;

	for (uint32_t n = 0; n < SENT_FRAMES; n++) {
		capture_make(&f, data, 60 + n % 100, s->id << 16 | n);
		f.mirror_port = (uint16_t)s->id;
		f.mirror_dir = FRAME_DIR_OUT;
		if (!capture_send(s->c, &f, &why))
			return s;
	}
	return NULL;
}

static void frames_of_many_workers_are_each_there_once(void **state)
{
	struct capture *c = *state;
	struct sender s[SENDERS];
	uint32_t next[SENDERS] = { 0 };
	struct pcap_pkthdr *h;
	const uint8_t *data;
	pcap_t *pc;

	capture_open(c);
	for (uint32_t i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ .c = c, .id = i };
		assert_int_equal(
			pthread_create(&s[i].thread, NULL, sender_run, &s[i]),
			0);
	}
	/* Names come and go meanwhile. */
	for (uint32_t n = 0; n < 100; n++) {
		char name[16];

		snprintf(name, sizeof(name), "vm%u", n);
		assert_int_equal(
			pcap_port_name(c->port, (uint16_t)(n % SENDERS), name),
			0);
	}
	for (uint32_t i = 0; i < SENDERS; i++) {
		void *failed;

		pthread_join(s[i].thread, &failed);
		assert_null(failed);
	}
	capture_close(c);
	pc = capture_read(c, 0);
	while (capture_next(pc, &h, &data)) {
		uint32_t id = load_be32(data + 14) >> 16;

		assert_true(id < SENDERS);
		assert_int_equal(load_be32(data + 14) & 0xffff, next[id]);
		assert_int_equal(h->len, 60 + next[id] % 100);
		next[id]++;
	}
	pcap_close(pc);
	for (uint32_t i = 0; i < SENDERS; i++)
		assert_int_equal(next[i], SENT_FRAMES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CAPTURE_TEST(new_file_is_for_its_owner_only),
		CAPTURE_TEST(old_capture_is_replaced_and_keeps_its_mode),
		CAPTURE_TEST(file_that_is_no_capture_is_left_alone),
		CAPTURE_TEST(file_that_rotation_would_overwrite_is_left_alone),
		CAPTURE_TEST(link_and_device_and_folder_are_refused),
		CAPTURE_TEST(file_of_the_kernel_is_refused_and_stays_as_it_was),
		CAPTURE_TEST(second_capture_to_a_file_is_refused),
		CAPTURE_TEST(rotation_that_makes_no_sense_is_refused),
		CAPTURE_TEST(rotation_has_every_frame_exactly_once),
		CAPTURE_TEST(classic_rotation_has_every_frame_exactly_once),
		CAPTURE_TEST(rotation_keeps_exactly_n_files_with_the_newest),
		CAPTURE_TEST(frame_longer_than_a_file_gets_one_of_its_own),
		CAPTURE_TEST(rotation_that_fails_loses_frames_not_the_bound),
		CAPTURE_TEST(full_disk_loses_whole_frames_and_goes_on_later),
		CAPTURE_TEST(fifo_without_reader_is_refused),
		CAPTURE_TEST(fifo_cant_be_rotated),
		CAPTURE_TEST(stalled_reader_fills_the_ring_and_loses_nothing),
		CAPTURE_TEST(close_writes_all_that_was_accepted),
		CAPTURE_TEST(close_gives_up_on_a_stalled_reader),
		CAPTURE_TEST(reader_that_comes_back_gets_a_whole_capture),
		CAPTURE_TEST(idle_port_wakes_nobody),
		CAPTURE_TEST(frames_of_many_workers_are_each_there_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
