/*
 * capture - what the tests of the pcap port share: a port on a file in a
 * folder of its own, and reading back what it wrote
 */
#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H

#include "base/clock.h"
#include "ports/pcap.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEADLINE_NS 20000000000ull /* only a failing test waits so long */

struct capture {
	char dir[64];
	struct port_request rq;
	struct port_grant grant;
	struct error err;
	struct port *port;
};

static inline int capture_setup(void **state)
{
	struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		return -1;
	snprintf(c->dir, sizeof(c->dir), "/tmp/test_pcap.XXXXXX");
	if (!mkdtemp(c->dir)) {
		free(c);
		return -1;
	}
	snprintf(c->rq.type, sizeof(c->rq.type), "pcap");
	snprintf(c->rq.name, sizeof(c->rq.name), "rec");
	snprintf(c->rq.pcap.file, sizeof(c->rq.pcap.file), "%s/f", c->dir);
	c->rq.enabled = true;
	*state = c;
	return 0;
}

static inline int capture_acquire(struct capture *c)
{
	return port_ops_pcap.acquire(&c->rq, &c->grant, &c->err);
}

static inline void capture_open(struct capture *c)
{
	assert_int_equal(capture_acquire(c), 0);
	c->port = port_ops_pcap.open(&c->rq, &c->grant, &c->err);
	assert_non_null(c->port);
	assert_int_equal(c->port->queue_fd[0], -1);
}

static inline void capture_close(struct capture *c)
{
	if (c->port)
		port_ops_pcap.close(c->port);
	c->port = NULL;
	if (c->grant.nfds)
		port_ops_pcap.release(&c->rq, &c->grant);
}

/* End the port, but not its grant: what a process leaves that dies. */
static inline void capture_stop(struct capture *c)
{
	port_ops_pcap.close(c->port);
	c->port = NULL;
}

/* And the next process's port on that. */
static inline void capture_resume(struct capture *c)
{
	c->grant.resumed = true;
	c->port = port_ops_pcap.open(&c->rq, &c->grant, &c->err);
	assert_non_null(c->port);
}

/* How many files are in the capture's folder? */
static inline unsigned int capture_files(const struct capture *c)
{
	DIR *d = opendir(c->dir);
	struct dirent *e;
	unsigned int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static inline int capture_teardown(void **state)
{
	struct capture *c = *state;
	DIR *d = opendir(c->dir);
	struct dirent *e;

	capture_close(c);
	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(c->dir);
	free(c);
	return 0;
}

/* An Ethernet frame of `len` bytes that carries `n` behind its header. */
static inline void capture_make(struct frame *f, uint8_t *data, uint32_t len,
				uint32_t n)
{
	memset(data, 0xee, len);
	mac_store(data, 0x525400000001);
	mac_store(data + 6, 0x525400000002);
	store_be16(data + 12, 0x88b5); /* IEEE 802 local experimental */
	store_be32(data + 14, n);
	frame_init(f, data, len);
}

static inline unsigned int capture_send(struct capture *c, struct frame *f,
					enum drop_reason *why)
{
	return port_ops_pcap.tx(c->port, &f, 1, why);
}

/* Send a frame that must be accepted. */
static inline void capture_sent(struct capture *c, struct frame *f)
{
	enum drop_reason why = DROP_REASON_COUNT;

	assert_int_equal(capture_send(c, f, &why), 1);
}

/* Send a numbered frame as the mirror copy of a port and direction. */
static inline void capture_number(struct capture *c, uint32_t len, uint32_t n,
				  uint16_t port, enum frame_dir dir)
{
	uint8_t data[2048];
	struct frame f;

	capture_make(&f, data, len, n);
	f.mirror_port = port;
	f.mirror_dir = dir;
	capture_sent(c, &f);
}

/* Those from `from` to `to` - 1, of port 1. */
static inline void capture_numbers(struct capture *c, uint32_t from,
				   uint32_t to, uint32_t len)
{
	for (uint32_t n = from; n < to; n++)
		capture_number(c, len, n, 1, FRAME_DIR_IN);
}

/* Wait until the writer is done with n frames in all. */
static inline struct pcap_port_stats capture_settled(struct capture *c,
						     uint64_t n)
{
	uint64_t end = clock_ns() + DEADLINE_NS;
	struct pcap_port_stats s;

	do {
		pcap_port_stats(c->port, &s);
		if (s.written + s.filtered + s.lost == n)
			return s;
		poll(NULL, 0, 1);
	} while (clock_ns() < end);
	fail_msg("after the deadline only %llu of %llu frames are settled",
		 (unsigned long long)(s.written + s.filtered + s.lost),
		 (unsigned long long)n);
	return s;
}

/* Open FILE, or FILE.i for i > 0, with libpcap. */
static inline pcap_t *capture_read(const struct capture *c, unsigned int i)
{
	char path[PORT_PATH_MAX + 16], msg[PCAP_ERRBUF_SIZE];
	pcap_t *pc;

	if (i)
		snprintf(path, sizeof(path), "%s.%u", c->rq.pcap.file, i);
	else
		snprintf(path, sizeof(path), "%s", c->rq.pcap.file);
	pc = pcap_open_offline_with_tstamp_precision(
		path, PCAP_TSTAMP_PRECISION_NANO, msg);
	if (!pc)
		fail_msg("%s: %s", path, msg);
	assert_int_equal(pcap_datalink(pc), DLT_EN10MB);
	return pc;
}

/* The next packet; false at the end of a file that is whole. */
static inline bool capture_next(pcap_t *pc, struct pcap_pkthdr **h,
				const uint8_t **data)
{
	int rc = pcap_next_ex(pc, h, data);

	if (rc == PCAP_ERROR)
		fail_msg("%s", pcap_geterr(pc));
	return rc == 1;
}

/* How many packets has FILE.i? */
static inline unsigned int capture_count(const struct capture *c,
					 unsigned int i)
{
	pcap_t *pc = capture_read(c, i);
	struct pcap_pkthdr *h;
	const uint8_t *data;
	unsigned int n = 0;

	while (capture_next(pc, &h, &data))
		n++;
	pcap_close(pc);
	return n;
}

/* FILE.i's packets must be numbered from `n` on; returns the next number. */
static inline uint32_t capture_check(const struct capture *c, unsigned int i,
				     uint32_t n)
{
	pcap_t *pc = capture_read(c, i);
	struct pcap_pkthdr *h;
	const uint8_t *data;

	while (capture_next(pc, &h, &data))
		assert_int_equal(load_be32(data + 14), n++);
	pcap_close(pc);
	return n;
}

#define CAPTURE_TEST(f) \
	cmocka_unit_test_setup_teardown(f, capture_setup, capture_teardown)

#endif
