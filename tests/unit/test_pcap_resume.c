/*
 * A capture that outlives the process that began it: what the next one finds
 * and leaves.
 *
 * The "earlier process" is mostly a port that was closed without releasing its
 * grant: what a process leaves that dies, but for the end of its file, which
 * the tests tear themselves.
 */
#include "ports/capfile.h"
#include "tests/unit/capture.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

/* ---- what is in the file ---- */

/* What the grant's file has, up to `max` bytes. */
static size_t content(const struct capture *c, uint8_t *to, size_t max)
{
	ssize_t n = pread(c->grant.fd[0], to, max, 0);

	assert_true(n >= 0);
	return (size_t)n;
}

static void set_content(const struct capture *c, const uint8_t *from, size_t n)
{
	assert_int_equal(ftruncate(c->grant.fd[0], 0), 0);
	assert_int_equal(pwrite(c->grant.fd[0], from, n, 0), n);
}

#define SECTION 0x0a0d0d0a /* first type of a pcapng section */

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* What a pcapng file has; packets by the names of their interfaces. */
struct inventory {
	unsigned int sections, interfaces, vm1, vm2, others;
};

static void count_packet(struct inventory *inv, const uint8_t *const *interface,
			 uint32_t i)
{
	const uint8_t *name = interface[i] + 20; /* its first option */

	if (!memcmp(name, "vm1", 3))
		inv->vm1++;
	else if (!memcmp(name, "vm2", 3))
		inv->vm2++;
	else
		inv->others++;
}

static struct inventory take_inventory(const struct capture *c)
{
	static uint8_t file[8 << 20];
	static const uint8_t *interface[UINT16_MAX];
	size_t size = content(c, file, sizeof(file)), at = 0;
	struct inventory inv = { 0 };
	uint32_t n = 0;

	for (; at < size; at += get32(file + at + 4)) {
		assert_true(size - at >= 12);
		assert_in_range(get32(file + at + 4), 12, size - at);
		switch (get32(file + at)) {
		case SECTION:
			inv.sections++;
			n = 0;
			break;
		case 1:
			assert_true(n < UINT16_MAX);
			interface[n++] = file + at;
			inv.interfaces++;
			break;
		case 6:
			assert_true(get32(file + at + 8) < n);
			count_packet(&inv, interface, get32(file + at + 8));
			break;
		default:
			fail_msg("block type %u", get32(file + at));
		}
	}
	return inv;
}

/* ---- after a clean end ---- */

static void check_goes_on(struct capture *c)
{
	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 1, "vm1"), 0);
	capture_numbers(c, 0, 20, 61);
	capture_stop(c);
	for (uint32_t i = 1; i <= 3; i++) {
		capture_resume(c);
		assert_int_equal(pcap_port_name(c->port, 1, "vm1"), 0);
		capture_numbers(c, i * 20, i * 20 + 20, 61);
		capture_stop(c);
	}
	assert_int_equal(capture_check(c, 0, 0), 80);
}

static void pcapng_goes_on_with_the_names_of_now(void **state)
{
	struct capture *c = *state;
	struct inventory inv;

	check_goes_on(c);
	inv = take_inventory(c);
	assert_int_equal(inv.sections, 1);
	assert_int_equal(inv.vm1, 80);
	capture_resume(c);
	assert_int_equal(pcap_port_name(c->port, 1, "vm2"), 0);
	capture_numbers(c, 80, 90, 61);
	assert_int_equal(pcap_port_name(c->port, 1, NULL), 0);
	capture_numbers(c, 90, 95, 61);
	capture_stop(c);
	inv = take_inventory(c);
	assert_int_equal(inv.sections, 1);
	assert_int_equal(inv.vm1, 80);
	assert_int_equal(inv.vm2, 10);
	assert_int_equal(inv.others, 5);
	assert_int_equal(capture_check(c, 0, 0), 95);
}

static void file_with_too_many_interfaces_gets_a_new_section(void **state)
{
	static uint8_t many[8 << 20];
	struct capture *c = *state;
	struct inventory inv;
	uint32_t size;

	capture_open(c);
	size = pcapng_section(many);
	for (unsigned int n = 0; n < UINT16_MAX; n++)
		size += pcapng_interface(many + size, "old", 0);
	set_content(c, many, size);
	capture_stop(c);
	capture_resume(c);
	assert_int_equal(pcap_port_name(c->port, 1, "vm2"), 0);
	capture_numbers(c, 0, 5, 61);
	capture_stop(c);
	inv = take_inventory(c);
	assert_int_equal(inv.sections, 2);
	assert_int_equal(inv.interfaces, UINT16_MAX + 2);
	assert_int_equal(inv.vm2, 5);
	assert_int_equal(inv.others, 0);
}

static void classic_goes_on_behind_the_last_packet(void **state)
{
	struct capture *c = *state;
	struct stat st;

	c->rq.pcap.classic = true;
	check_goes_on(c);
	assert_int_equal(stat(c->rq.pcap.file, &st), 0);
	assert_int_equal(st.st_size, 24 + 80 * (16 + 61));
}

static void empty_file_begins_as_a_new_one(void **state)
{
	struct capture *c = *state;

	for (int classic = 0; classic < 2; classic++) {
		c->rq.pcap.classic = classic;
		assert_int_equal(capture_acquire(c), 0);
		assert_int_equal(ftruncate(c->grant.fd[0], 0), 0);
		capture_resume(c);
		capture_numbers(c, 0, 3, 60);
		capture_stop(c);
		assert_int_equal(capture_check(c, 0, 0), 3);
		capture_close(c);
	}
}

/* Blocks longer and shorter than a read; some lie across its end. */
static void long_file_is_read_through_to_its_end(void **state)
{
	static uint8_t data[FRAME_LEN_MAX];
	struct capture *c = *state;
	struct frame f;

	for (int classic = 0; classic < 2; classic++) {
		uint32_t n = 0;

		c->rq.pcap.classic = classic;
		capture_open(c);
		while (n < 40) {
			capture_make(&f, data, sizeof(data) - n % 4, n);
			capture_sent(c, &f);
			capture_settled(c, ++n); /* the ring is small */
		}
		capture_stop(c);
		capture_resume(c);
		capture_numbers(c, n, n + 5, 60);
		capture_stop(c);
		assert_int_equal(capture_check(c, 0, 0), n + 5);
		capture_close(c);
	}
}

/* ---- after a kill ---- */

/* Whatever the file is cut down to: a resumed one is whole, and has all packets
 * that were, then the new ones. */
static void check_every_cut(struct capture *c)
{
	uint8_t file[1024];
	uint64_t ends[5];
	size_t size;
	struct stat st;

	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 1, "vm1"), 0);
	for (uint32_t n = 0; n < 4; n++) {
		capture_numbers(c, n, n + 1, 61 + n);
		capture_settled(c, n + 1);
		assert_int_equal(fstat(c->grant.fd[0], &st), 0);
		ends[n] = (uint64_t)st.st_size;
	}
	capture_stop(c);
	size = content(c, file, sizeof(file));
	assert_int_equal(size, ends[3]);
	for (size_t cut = 0; cut <= size; cut++) {
		uint32_t whole = 0, n = 0;
		struct pcap_pkthdr *h;
		const uint8_t *data;
		pcap_t *pc;

		while (whole < 4 && ends[whole] <= cut)
			whole++;
		set_content(c, file, cut);
		capture_resume(c);
		capture_numbers(c, 100, 102, 60);
		capture_stop(c);
		pc = capture_read(c, 0);
		for (; capture_next(pc, &h, &data); n++)
			assert_int_equal(load_be32(data + 14),
					 n < whole ? n : 100 + n - whole);
		pcap_close(pc);
		assert_int_equal(n, whole + 2);
	}
}

static void pcapng_torn_at_any_byte_is_cut_to_its_last_packet(void **state)
{
	check_every_cut(*state);
}

static void classic_torn_at_any_byte_is_cut_to_its_last_packet(void **state)
{
	struct capture *c = *state;

	c->rq.pcap.classic = true;
	check_every_cut(c);
}

static void tail_of_other_bytes_is_cut_off(void **state)
{
	static uint8_t file[1024 + 5000];
	static const uint8_t fill[] = { 0x00, 0xff, 0x06, 0x41 };
	struct capture *c = *state;

	for (int classic = 0; classic < 2; classic++) {
		size_t size;

		c->rq.pcap.classic = classic;
		capture_open(c);
		capture_numbers(c, 0, 5, 62);
		capture_stop(c);
		size = content(c, file, 1024);
		for (unsigned int i = 0; i < sizeof(fill); i++) {
			memset(file + size, fill[i], 5000);
			set_content(c, file, size + 5000);
			capture_resume(c);
			capture_numbers(c, 5, 7, 62);
			capture_stop(c);
			assert_int_equal(capture_check(c, 0, 0), 7);
		}
		capture_close(c);
	}
}

/* Each byte of the last block, damaged each way: as far as libpcap is concerned
 * the file is whole, the packets before it and those after it are there. */
static void file_with_any_byte_damaged_goes_on_whole(void **state)
{
	static const uint8_t damage[] = { 0x01, 0x04, 0x80, 0xff };
	struct capture *c = *state;

	for (int classic = 0; classic < 2; classic++) {
		uint8_t file[1024];
		size_t last, size;

		c->rq.pcap.classic = classic;
		capture_open(c);
		capture_numbers(c, 0, 3, 61);
		capture_settled(c, 3);
		last = content(c, file, sizeof(file));
		capture_numbers(c, 3, 4, 61);
		capture_stop(c);
		size = content(c, file, sizeof(file));
		for (size_t i = 0; i < 4 * (size - last); i++) {
			uint8_t *byte = file + last + i / 4;

			*byte ^= damage[i % 4];
			set_content(c, file, size);
			*byte ^= damage[i % 4];
			capture_resume(c);
			capture_numbers(c, 4, 6, 61);
			capture_stop(c);
			assert_in_range(capture_count(c, 0), 5, 6);
		}
		capture_close(c);
	}
}

/* In the child, which is killed in the middle of it. */
static void write_for_ever(struct capture *c, int ready)
{
	uint8_t data[1500];
	enum drop_reason why;
	struct frame f;
	uint32_t n = 0;

	c->port = port_ops_pcap.open(&c->rq, &c->grant, &c->err);
	if (!c->port)
		_exit(1);
	while (true) {
		capture_make(&f, data, sizeof(data) - n % 7, n);
		n += capture_send(c, &f, &why);
		if (n == 3000 && write(ready, "", 1) != 1)
			_exit(1);
	}
}

static void file_of_a_killed_process_goes_on_whole(void **state)
{
	struct capture *c = *state;
	uint32_t n = 0, next = 0;
	struct pcap_pkthdr *h;
	const uint8_t *data;
	int ready[2], status;
	pcap_t *pc;
	pid_t pid;
	char byte;

	assert_int_equal(capture_acquire(c), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork(); /* shares open files, as SCM_RIGHTS does */
	assert_true(pid >= 0);
	if (pid == 0)
		write_for_ever(c, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	capture_resume(c);
	capture_numbers(c, UINT32_MAX - 10, UINT32_MAX, 60);
	capture_stop(c);
	pc = capture_read(c, 0);
	for (; capture_next(pc, &h, &data); n++) {
		if (load_be32(data + 14) == UINT32_MAX - 10)
			break;
		assert_int_equal(load_be32(data + 14), n);
		assert_int_equal(h->len, 1500 - n % 7);
	}
	for (next = 1; capture_next(pc, &h, &data); next++)
		assert_int_equal(load_be32(data + 14), UINT32_MAX - 10 + next);
	pcap_close(pc);
	assert_int_equal(next, 10);
	/* 4 MB of ring may have been lost, no more. */
	assert_true(n > 0);
}

/* ---- who may touch the file, and when ---- */

static void open_and_close_leave_a_resumed_file_alone(void **state)
{
	static uint8_t before[4096], now[4096];
	struct capture *c = *state;
	struct stat was, is;
	size_t size;

	for (int classic = 0; classic < 2; classic++) {
		c->rq.pcap.classic = classic;
		capture_open(c);
		capture_numbers(c, 0, 5, 61);
		capture_stop(c);
		/* As torn as it is. */
		assert_int_equal(ftruncate(c->grant.fd[0], 300), 0);
		assert_int_equal(lseek(c->grant.fd[0], 17, SEEK_SET), 17);
		size = content(c, before, sizeof(before));
		assert_int_equal(fstat(c->grant.fd[0], &was), 0);
		capture_resume(c);
		poll(NULL, 0, 20); /* its thread has its chance to be wrong */
		capture_stop(c);
		assert_int_equal(fstat(c->grant.fd[0], &is), 0);
		assert_int_equal(content(c, now, sizeof(now)), size);
		assert_memory_equal(now, before, size);
		assert_memory_equal(&is.st_mtim, &was.st_mtim,
				    sizeof(is.st_mtim));
		assert_memory_equal(&is.st_ctim, &was.st_ctim,
				    sizeof(is.st_ctim));
		assert_int_equal(lseek(c->grant.fd[0], 0, SEEK_CUR), 17);
		capture_close(c);
	}
}

static void upgrade_has_the_frames_of_both_processes(void **state)
{
	struct capture *c = *state;

	for (int classic = 0; classic < 2; classic++) {
		struct port_grant grant = { .nfds = 2, .resumed = true };
		struct port *old;

		c->rq.pcap.classic = classic;
		capture_open(c);
		capture_numbers(c, 0, 10, 61);
		capture_settled(c, 10);
		old = c->port;
		for (unsigned int i = 0; i < 2; i++)
			grant.fd[i] = fcntl(c->grant.fd[i], F_DUPFD_CLOEXEC, 0);
		c->port = port_ops_pcap.open(&c->rq, &grant, &c->err);
		assert_non_null(c->port);
		/* The new one is there; the old one still writes. */
		for (uint32_t n = 10; n < 500; n++) {
			enum drop_reason why;
			uint8_t data[100];
			struct frame f, *list = &f;

			capture_make(&f, data, sizeof(data), n);
			assert_int_equal(port_ops_pcap.tx(old, &list, 1, &why),
					 1);
		}
		port_ops_pcap.close(old);
		capture_numbers(c, 500, 520, 61);
		capture_stop(c);
		port_grant_close(&grant);
		assert_int_equal(capture_check(c, 0, 0), 520);
		capture_close(c);
	}
}

static void lock_stays_until_the_last_process_has_gone(void **state)
{
	struct capture *c = *state;
	struct port_grant grant = { 0 };
	int hold[2], status;
	pid_t pid;
	char byte;

	assert_int_equal(capture_acquire(c), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(hold[0]);
	/* As a process closes that ends: not release, which removes. */
	port_grant_close(&c->grant);
	assert_int_equal(port_ops_pcap.acquire(&c->rq, &grant, &c->err),
			 -EBUSY);
	assert_string_equal(c->err.reason, "file-busy");
	close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(capture_acquire(c), 0);
}

static void closing_port_gives_up_reading_and_leaves_the_file(void **state)
{
	struct capture *c = *state;
	struct capfile_source from = { .resumed = true };
	struct capfile cf;
	struct stat st;
	uint64_t cut;
	struct pcapng_walk walk;

	capture_open(c);
	capture_numbers(c, 0, 5, 60);
	capture_stop(c);
	assert_int_equal(ftruncate(c->grant.fd[0], 300), 0);
	from.fd = c->grant.fd[0];
	assert_int_equal(capfile_init(&cf, &from, eventfd(1, EFD_CLOEXEC)), 0);
	cf.deadline = 1; /* long ago */
	assert_int_equal(capfile_resume(&cf, false, &walk, &cut), -ETIMEDOUT);
	assert_int_equal(fstat(from.fd, &st), 0);
	assert_int_equal(st.st_size, 300);
	cf.deadline = 0; /* it has been told only now: there is time */
	assert_int_equal(capfile_resume(&cf, false, &walk, &cut), 0);
	assert_true(walk.packets);
	assert_int_equal(fstat(from.fd, &st), 0);
	assert_int_equal(st.st_size + (off_t)cut, 300);
	assert_int_equal(cf.bytes, st.st_size);
	close(cf.stopfd);
	capfile_fini(&cf);
}

/* ---- streams ---- */

static void check_stream(struct capture *c)
{
	static uint8_t stream[60000];
	char path[PORT_PATH_MAX + 4];
	ssize_t n, more;
	FILE *out;
	int fd;

	assert_int_equal(mkfifo(c->rq.pcap.file, 0600), 0);
	fd = open(c->rq.pcap.file, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	capture_open(c);
	capture_numbers(c, 0, 10, 61);
	capture_stop(c);
	n = read(fd, stream, sizeof(stream));
	assert_true(n > 0);
	capture_resume(c);
	capture_numbers(c, 10, 20, 61);
	capture_stop(c);
	more = read(fd, stream + n, sizeof(stream) - (size_t)n);
	assert_true(more > 0);
	assert_int_equal(get32(stream + n) == SECTION, !c->rq.pcap.classic);
	n += more;
	close(fd);
	snprintf(path, sizeof(path), "%s.1", c->rq.pcap.file);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fwrite(stream, 1, (size_t)n, out), n);
	fclose(out);
	assert_int_equal(capture_check(c, 1, 0), 20);
}

static void pcapng_stream_goes_on(void **state)
{
	check_stream(*state);
}

static void classic_stream_goes_on(void **state)
{
	struct capture *c = *state;

	c->rq.pcap.classic = true;
	check_stream(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CAPTURE_TEST(pcapng_goes_on_with_the_names_of_now),
		CAPTURE_TEST(file_with_too_many_interfaces_gets_a_new_section),
		CAPTURE_TEST(classic_goes_on_behind_the_last_packet),
		CAPTURE_TEST(empty_file_begins_as_a_new_one),
		CAPTURE_TEST(long_file_is_read_through_to_its_end),
		CAPTURE_TEST(pcapng_torn_at_any_byte_is_cut_to_its_last_packet),
		CAPTURE_TEST(
			classic_torn_at_any_byte_is_cut_to_its_last_packet),
		CAPTURE_TEST(tail_of_other_bytes_is_cut_off),
		CAPTURE_TEST(file_with_any_byte_damaged_goes_on_whole),
		CAPTURE_TEST(file_of_a_killed_process_goes_on_whole),
		CAPTURE_TEST(open_and_close_leave_a_resumed_file_alone),
		CAPTURE_TEST(upgrade_has_the_frames_of_both_processes),
		CAPTURE_TEST(lock_stays_until_the_last_process_has_gone),
		CAPTURE_TEST(closing_port_gives_up_reading_and_leaves_the_file),
		CAPTURE_TEST(pcapng_stream_goes_on),
		CAPTURE_TEST(classic_stream_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
