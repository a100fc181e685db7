#include "ports/pcap.h"

#include "ports/offload.h"
#include "tests/unit/capture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- reading a pcapng file by hand ---- */

struct block {
	uint32_t type, len;
	const uint8_t *body; /* behind type and length */
};

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Cut FILE into blocks; checks that lengths agree and nothing is left. */
static unsigned int read_blocks(const struct capture *c, struct block *b,
				unsigned int max)
{
	static uint8_t file[1 << 20];
	FILE *in = fopen(c->rq.pcap.file, "r");
	unsigned int n = 0;
	size_t size, at = 0;

	assert_non_null(in);
	for (unsigned int i = 0; i < max; i++)
		b[i] = (struct block){ .body = file };
	size = fread(file, 1, sizeof(file), in);
	fclose(in);
	while (at < size) {
		assert_true(n < max && size - at >= 12);
		b[n].type = get32(file + at);
		b[n].len = get32(file + at + 4);
		b[n].body = file + at + 8;
		assert_int_equal(b[n].len % 4, 0);
		assert_true(b[n].len >= 12 && b[n].len <= size - at);
		assert_int_equal(get32(file + at + b[n].len - 4), b[n].len);
		at += b[n++].len;
	}
	return n;
}

/* An option's value behind the block's fixed part, or NULL. */
static const uint8_t *block_option(const struct block *b, uint32_t fixed,
				   uint16_t code, uint16_t *len)
{
	const uint8_t *p = b->body + fixed, *end = b->body + b->len - 12;

	*len = 0;
	while (p + 4 <= end && get16(p)) {
		*len = get16(p + 2);
		if (get16(p) == code)
			return p + 4;
		p += 4 + ((*len + 3) & ~3);
	}
	return NULL;
}

static void assert_interface(const struct block *b, const char *name)
{
	const uint8_t *value;
	uint16_t len;

	assert_int_equal(b->type, 1);
	assert_int_equal(get16(b->body), 1); /* LINKTYPE_ETHERNET */
	value = block_option(b, 8, 2, &len);
	assert_non_null(value);
	assert_int_equal(len, strlen(name));
	assert_memory_equal(value, name, len);
	value = block_option(b, 8, 9, &len);
	assert_non_null(value);
	assert_int_equal(len, 1);
	assert_int_equal(value[0], 9);
}

/* flags: 1 inbound, 2 outbound, 0 no such option. */
static void assert_packet(const struct block *b, uint32_t interface,
			  uint32_t flags, uint32_t n)
{
	const uint8_t *value;
	uint32_t caplen;
	uint16_t len;

	assert_int_equal(b->type, 6);
	assert_int_equal(get32(b->body), interface);
	caplen = get32(b->body + 12);
	assert_int_equal(load_be32(b->body + 20 + 14), n);
	value = block_option(b, 20 + ((caplen + 3) & ~3u), 2, &len);
	if (!flags) {
		assert_null(value);
		return;
	}
	assert_non_null(value);
	assert_int_equal(len, 4);
	assert_int_equal(get32(value), flags);
}

/* ---- formats ---- */

static void empty_capture_can_be_read(void **state)
{
	struct capture *c = *state;

	for (int classic = 0; classic < 2; classic++) {
		c->rq.pcap.classic = classic;
		capture_open(c);
		assert_int_equal(capture_count(c, 0), 0);
		capture_close(c);
		assert_int_equal(capture_count(c, 0), 0);
	}
}

/* Frames of all lengths, so that all paddings occur. */
static void check_frames_lengths_and_times(struct capture *c)
{
	uint64_t before = clock_wall_ns(), last = before, after;
	struct pcap_pkthdr *h;
	const uint8_t *data;
	pcap_t *pc;

	capture_open(c);
	for (uint32_t n = 0; n < 200; n++)
		capture_number(c, 18 + n, n, 3, FRAME_DIR_IN);
	after = clock_wall_ns();
	capture_close(c);
	pc = capture_read(c, 0);
	for (uint32_t n = 0; n < 200; n++) {
		uint8_t want[2048];
		struct frame f;
		uint64_t ns;

		capture_make(&f, want, 18 + n, n);
		assert_true(capture_next(pc, &h, &data));
		assert_int_equal(h->len, 18 + n);
		assert_int_equal(h->caplen, 18 + n);
		assert_memory_equal(data, want, h->len);
		ns = (uint64_t)h->ts.tv_sec * CLOCK_NS_PER_S +
		     (uint64_t)h->ts.tv_usec; /* nanoseconds as asked for */
		assert_true(ns >= last && ns <= after);
		last = ns;
	}
	assert_false(capture_next(pc, &h, &data));
	pcap_close(pc);
}

static void pcapng_has_frames_lengths_and_nanoseconds(void **state)
{
	check_frames_lengths_and_times(*state);
}

static void classic_has_frames_lengths_and_nanoseconds(void **state)
{
	struct capture *c = *state;
	uint8_t magic[4];
	int fd;

	c->rq.pcap.classic = true;
	check_frames_lengths_and_times(c);
	fd = open(c->rq.pcap.file, O_RDONLY);
	assert_int_equal(read(fd, magic, 4), 4);
	close(fd);
	assert_int_equal(get32(magic), 0xa1b23c4d);
}

static void blocks_name_interface_and_direction(void **state)
{
	struct capture *c = *state;
	struct block b[16];

	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 7, "vm7"), 0);
	assert_int_equal(pcap_port_name(c->port, 9, "uplink"), 0);
	capture_number(c, 60, 100, 9, FRAME_DIR_OUT);
	capture_number(c, 61, 101, 7, FRAME_DIR_IN);
	capture_number(c, 62, 102, 9, FRAME_DIR_IN);
	capture_close(c);
	assert_int_equal(read_blocks(c, b, 16), 7);
	assert_int_equal(b[0].type, 0x0a0d0d0a);
	assert_int_equal(get32(b[0].body), 0x1a2b3c4d);
	assert_int_equal(get16(b[0].body + 4), 1);
	assert_interface(&b[1], "switch");
	assert_interface(&b[2], "uplink");
	assert_packet(&b[3], 1, 2, 100);
	assert_interface(&b[4], "vm7");
	assert_packet(&b[5], 2, 1, 101);
	assert_packet(&b[6], 1, 1, 102);
}

static void frame_without_direction_is_the_switchs(void **state)
{
	struct capture *c = *state;
	struct block b[8];

	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 0, "vm0"), 0);
	capture_number(c, 60, 5, 0, FRAME_DIR_NONE);
	capture_close(c);
	assert_int_equal(read_blocks(c, b, 8), 3);
	assert_interface(&b[1], "switch");
	assert_packet(&b[2], 0, 0, 5);
}

static void reused_index_gets_the_new_names_interface(void **state)
{
	struct capture *c = *state;
	struct block b[16];

	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 2, "old"), 0);
	capture_number(c, 60, 0, 2, FRAME_DIR_IN);
	assert_int_equal(pcap_port_name(c->port, 2, NULL), 0);
	capture_number(c, 60, 1, 2, FRAME_DIR_IN);
	assert_int_equal(pcap_port_name(c->port, 2, "new"), 0);
	capture_number(c, 60, 2, 2, FRAME_DIR_IN);
	assert_int_equal(pcap_port_name(c->port, 5, "old"), 0);
	capture_number(c, 60, 3, 5, FRAME_DIR_IN);
	capture_close(c);
	assert_int_equal(read_blocks(c, b, 16), 8);
	assert_interface(&b[2], "old");
	assert_packet(&b[3], 1, 1, 0);
	assert_packet(&b[4], 0, 1, 1);
	assert_interface(&b[5], "new");
	assert_packet(&b[6], 2, 1, 2);
	assert_packet(&b[7], 1, 1, 3);
}

static void too_many_names_are_the_switch(void **state)
{
	struct capture *c = *state;
	unsigned int n = 0;
	struct block b[4];
	char name[32];
	int rc;

	capture_open(c);
	do {
		snprintf(name, sizeof(name), "vm%u", n++);
		rc = pcap_port_name(c->port, 1, name);
	} while (rc == 0 && n < 100000);
	assert_int_equal(rc, -ENOSPC);
	capture_number(c, 60, 8, 1, FRAME_DIR_IN);
	capture_close(c);
	assert_int_equal(read_blocks(c, b, 4), 3);
	assert_packet(&b[2], 0, 1, 8);
}

/* ---- what is written ---- */

static void filter_keeps_what_it_wants(void **state)
{
	struct capture *c = *state;
	struct pcap_port_stats s;

	snprintf(c->rq.pcap.filter, sizeof(c->rq.pcap.filter),
		 "ether[14:4] < 10 and greater 100");
	capture_open(c);
	for (uint32_t n = 0; n < 30; n++)
		capture_number(c, n % 2 ? 99 : 100, n, 0, FRAME_DIR_IN);
	s = capture_settled(c, 30);
	assert_int_equal(s.written, 5);
	assert_int_equal(s.filtered, 25);
	assert_int_equal(s.lost, 0);
	capture_close(c);
	assert_int_equal(capture_count(c, 0), 5);
}

static void bad_filter_is_named_and_nothing_is_changed(void **state)
{
	struct capture *c = *state;

	capture_open(c);
	capture_number(c, 60, 1, 0, FRAME_DIR_IN);
	capture_close(c);
	snprintf(c->rq.pcap.filter, sizeof(c->rq.pcap.filter), "tcp portt 5");
	assert_int_equal(capture_acquire(c), 0);
	assert_null(port_ops_pcap.open(&c->rq, &c->grant, &c->err));
	assert_string_equal(c->err.reason, "bad-filter");
	assert_string_equal(c->err.path, "filter");
	assert_non_null(strstr(c->err.message, "syntax error"));
	port_ops_pcap.release(&c->rq, &c->grant);
	assert_int_equal(capture_count(c, 0), 1);
	/* And a file that acquire has made is gone. */
	unlink(c->rq.pcap.file);
	assert_int_equal(capture_acquire(c), 0);
	assert_null(port_ops_pcap.open(&c->rq, &c->grant, &c->err));
	assert_int_equal(capture_files(c), 1);
	port_ops_pcap.release(&c->rq, &c->grant);
	assert_int_equal(capture_files(c), 0);
}

/* From now on this process has no socket() any more. */
static bool forbid_sockets(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static struct sock_fprog prog = { sizeof(code) / sizeof(code[0]),
					  code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

/* Returns 0, or which check failed. */
static int confined_filter(struct capture *c)
{
	uint64_t start;

	if (!forbid_sockets())
		return 1;
	start = clock_ns();
	if (port_ops_pcap.open(&c->rq, &c->grant, &c->err))
		return 2;
	if (clock_ns() - start >= CLOCK_NS_PER_S)
		return 3;
	if (strcmp(c->err.reason, "bad-filter"))
		return 4;
	return strstr(c->err.message, "write addresses") ? 0 : 5;
}

static void host_name_is_refused_at_once_where_there_are_no_sockets(
	void **state)
{
	struct capture *c = *state;
	int status;
	pid_t pid;

	snprintf(c->rq.pcap.filter, sizeof(c->rq.pcap.filter),
		 "host nobody.example");
	assert_int_equal(capture_acquire(c), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(confined_filter(c));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void snaplen_cuts_and_keeps_the_length(void **state)
{
	struct capture *c = *state;
	struct pcap_pkthdr *h;
	const uint8_t *data;

	c->rq.pcap.snaplen = 64;
	for (int classic = 0; classic < 2; classic++) {
		pcap_t *pc;

		c->rq.pcap.classic = classic;
		capture_open(c);
		capture_number(c, 1514, 77, 0, FRAME_DIR_IN);
		capture_number(c, 60, 78, 0, FRAME_DIR_IN);
		capture_close(c);
		pc = capture_read(c, 0);
		assert_int_equal(pcap_snapshot(pc), 64);
		assert_true(capture_next(pc, &h, &data));
		assert_int_equal(h->len, 1514);
		assert_int_equal(h->caplen, 64);
		assert_int_equal(load_be32(data + 14), 77);
		assert_true(capture_next(pc, &h, &data));
		assert_int_equal(h->len, 60);
		assert_int_equal(h->caplen, 60);
		assert_false(capture_next(pc, &h, &data));
		pcap_close(pc);
	}
}

static void frame_in_segments_is_put_together(void **state)
{
	struct capture *c = *state;
	uint8_t data[1000];
	struct iovec segs[2] = { { data + 100, 300 }, { data + 400, 600 } };
	struct pcap_pkthdr *h;
	const uint8_t *got;
	struct frame f;
	pcap_t *pc;

	capture_make(&f, data, sizeof(data), 1);
	for (unsigned int i = 18; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	f.head_len = 100;
	f.segs = segs;
	f.nsegs = 2;
	capture_open(c);
	capture_sent(c, &f);
	capture_close(c);
	pc = capture_read(c, 0);
	assert_true(capture_next(pc, &h, &got));
	assert_int_equal(h->caplen, sizeof(data));
	assert_memory_equal(got, data, sizeof(data));
	pcap_close(pc);
}

/* ---- offloads ---- */

#define L4 (ETHER_HEADER_LEN + 20)

static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* RFC 793 and 768: the sum over pseudo-header and segment, folded. */
static uint32_t l4_sum(const uint8_t *data, uint32_t len)
{
	uint8_t pseudo[4] = { 0, data[23] };

	store_be16(pseudo + 2, (uint16_t)(len - L4));
	return sum_bytes(sum_bytes(sum_bytes(0, data + 26, 8), pseudo, 4),
			 data + L4, len - L4);
}

/* IPv4 and TCP or UDP, partial checksum as Linux leaves it. */
static void make_partial(struct frame *f, uint8_t *data, uint32_t len,
			 uint8_t proto)
{
	uint32_t field = proto == IPPROTO_TCP ? 16 : 6;
	uint8_t pseudo[4] = { 0, proto };

	capture_make(f, data, len, 0);
	for (uint32_t i = L4; i < len; i++)
		data[i] = (uint8_t)(i * 13 + i / 256);
	store_be16(data + 12, 0x0800);
	memset(data + 14, 0, 20);
	data[14] = 0x45;
	store_be16(data + 16, (uint16_t)(len - 14));
	store_be16(data + 18, 0x1234);
	data[22] = 64;
	data[23] = proto;
	store_be32(data + 26, 0x0a000001);
	store_be32(data + 30, 0x0a000002);
	store_be16(data + 24,
		   (uint16_t)~sum_bytes(0, data + ETHER_HEADER_LEN, 20));
	if (proto == IPPROTO_TCP) {
		store_be32(data + L4 + 4, 1000);    /* sequence number */
		store_be16(data + L4 + 12, 0x5018); /* no options, PSH ACK */
	} else {
		store_be16(data + L4 + 4, (uint16_t)(len - L4));
	}
	store_be16(pseudo + 2, (uint16_t)(len - L4));
	store_be16(data + L4 + field,
		   (uint16_t)sum_bytes(sum_bytes(0, data + 26, 8), pseudo, 4));
	f->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->vnet.csum_start = L4;
	f->vnet.csum_offset = (uint16_t)field;
}

static void make_super(struct frame *f, uint8_t *data, uint32_t len,
		       uint16_t mss)
{
	make_partial(f, data, len, IPPROTO_TCP);
	f->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	f->vnet.gso_size = mss;
	f->vnet.hdr_len = L4 + 20;
}

static void checksums_are_completed(void **state)
{
	static const uint8_t proto[] = { IPPROTO_TCP, IPPROTO_UDP };
	struct capture *c = *state;
	uint8_t data[2][700], before[700];
	struct frame f[2];
	struct pcap_pkthdr *h;
	const uint8_t *got;
	pcap_t *pc;

	capture_open(c);
	for (unsigned int i = 0; i < 2; i++) {
		make_partial(&f[i], data[i], 601 + i, proto[i]);
		assert_int_not_equal(l4_sum(data[i], f[i].len), 0xffff);
		memcpy(before, data[i], f[i].len);
		capture_sent(c, &f[i]);
		/* Others still get the frame as it was. */
		assert_memory_equal(data[i], before, f[i].len);
		assert_true(frame_has_offload(&f[i]));
	}
	capture_close(c);
	pc = capture_read(c, 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(capture_next(pc, &h, &got));
		assert_int_equal(h->caplen, f[i].len);
		assert_int_equal(l4_sum(got, h->caplen), 0xffff);
		assert_memory_equal(got + L4 + 20, data[i] + L4 + 20,
				    h->caplen - L4 - 20);
	}
	pcap_close(pc);
}

static void checksum_is_right_though_snaplen_cuts(void **state)
{
	struct capture *c = *state;
	uint8_t data[600];
	struct pcap_pkthdr *h;
	const uint8_t *got;
	struct frame f;
	pcap_t *pc;

	c->rq.pcap.snaplen = 100;
	capture_open(c);
	make_partial(&f, data, sizeof(data), IPPROTO_TCP);
	capture_sent(c, &f);
	capture_close(c);
	offload_complete_csum(&f);
	assert_int_equal(l4_sum(data, sizeof(data)), 0xffff);
	pc = capture_read(c, 0);
	assert_true(capture_next(pc, &h, &got));
	assert_int_equal(h->caplen, 100);
	assert_memory_equal(got, data, 100);
	pcap_close(pc);
}

static void super_frame_is_whole_with_its_checksum(void **state)
{
	static uint8_t data[64000];
	struct capture *c = *state;
	struct pcap_pkthdr *h;
	const uint8_t *got;
	struct frame f;
	pcap_t *pc;

	capture_open(c);
	make_super(&f, data, sizeof(data), 1448);
	capture_sent(c, &f);
	capture_close(c);
	pc = capture_read(c, 0);
	assert_true(capture_next(pc, &h, &got));
	assert_int_equal(h->caplen, sizeof(data));
	assert_int_equal(h->len, sizeof(data));
	assert_int_equal(l4_sum(got, h->caplen), 0xffff);
	assert_false(capture_next(pc, &h, &got));
	pcap_close(pc);
}

static void segmented_super_frame_is_its_segments(void **state)
{
	static uint8_t data[L4 + 20 + 44 * 1400 + 7];
	struct capture *c = *state;
	uint32_t payload = 0;
	struct pcap_port_stats s;
	struct pcap_pkthdr *h;
	const uint8_t *got;
	struct frame f;
	pcap_t *pc;

	c->rq.pcap.segment = true;
	capture_open(c);
	make_super(&f, data, sizeof(data), 1400);
	capture_sent(c, &f);
	s = capture_settled(c, 1);
	assert_int_equal(s.written, 1);
	assert_int_equal(s.packets, 45);
	capture_close(c);
	pc = capture_read(c, 0);
	for (unsigned int i = 0; i < 45; i++) {
		uint32_t n;

		assert_true(capture_next(pc, &h, &got));
		n = h->caplen - L4 - 20;
		assert_int_equal(n, i < 44 ? 1400 : 7);
		assert_int_equal(h->len, h->caplen);
		assert_int_equal(load_be16(got + 16), h->len - 14);
		assert_int_equal(sum_bytes(0, got + 14, 20), 0xffff);
		assert_int_equal(load_be32(got + L4 + 4), 1000 + payload);
		assert_int_equal(l4_sum(got, h->caplen), 0xffff);
		assert_memory_equal(got + L4 + 20, data + L4 + 20 + payload, n);
		payload += n;
	}
	assert_false(capture_next(pc, &h, &got));
	pcap_close(pc);
}

static void frame_is_lost_where_only_its_last_segment_is_written(void **state)
{
	static uint8_t data[L4 + 20 + 6 * 1400];
	struct capture *c = *state;
	struct rlimit old, small;
	struct pcap_port_stats s;
	struct frame f;

	c->rq.pcap.segment = true;
	c->rq.pcap.rotate_bytes = 8192; /* five segments, not six */
	c->rq.pcap.rotate_files = 2;
	capture_open(c);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 4000; /* one, not five */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	make_super(&f, data, sizeof(data), 1400);
	capture_sent(c, &f);
	s = capture_settled(c, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(s.files, 2);
	assert_int_equal(s.lost, 1);
	assert_int_equal(s.written, 0);
	capture_close(c);
	assert_int_equal(capture_count(c, 1), 0);
	assert_int_equal(capture_count(c, 0), 1);
}

static void filter_judges_segments(void **state)
{
	static uint8_t data[L4 + 20 + 10 * 1400 + 7];
	struct capture *c = *state;
	struct pcap_port_stats s;
	struct frame f;

	c->rq.pcap.segment = true;
	snprintf(c->rq.pcap.filter, sizeof(c->rq.pcap.filter), "less 100");
	capture_open(c);
	make_super(&f, data, sizeof(data), 1400);
	capture_sent(c, &f);
	s = capture_settled(c, 1);
	assert_int_equal(s.written, 1);
	assert_int_equal(s.packets, 1);
	capture_close(c);
	assert_int_equal(capture_count(c, 0), 1);
}

static void super_frame_that_cant_be_cut_is_whole(void **state)
{
	struct capture *c = *state;
	uint8_t data[3000];
	struct frame f;

	c->rq.pcap.segment = true;
	capture_open(c);
	capture_make(&f, data, sizeof(data), 1); /* no IP at all */
	f.vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	f.vnet.gso_size = 1000;
	capture_sent(c, &f);
	capture_close(c);
	assert_int_equal(capture_count(c, 0), 1);
}

static void too_long_frame_is_refused(void **state)
{
	static uint8_t data[FRAME_LEN_MAX + 1];
	enum drop_reason why = DROP_REASON_COUNT;
	struct capture *c = *state;
	struct frame f;

	capture_open(c);
	capture_make(&f, data, sizeof(data), 1);
	assert_int_equal(capture_send(c, &f, &why), 0);
	assert_int_equal(why, DROP_TOO_LONG);
	f.len = f.head_len = FRAME_LEN_MAX;
	capture_sent(c, &f);
	capture_close(c);
	assert_int_equal(capture_count(c, 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CAPTURE_TEST(empty_capture_can_be_read),
		CAPTURE_TEST(pcapng_has_frames_lengths_and_nanoseconds),
		CAPTURE_TEST(classic_has_frames_lengths_and_nanoseconds),
		CAPTURE_TEST(blocks_name_interface_and_direction),
		CAPTURE_TEST(frame_without_direction_is_the_switchs),
		CAPTURE_TEST(reused_index_gets_the_new_names_interface),
		CAPTURE_TEST(too_many_names_are_the_switch),
		CAPTURE_TEST(filter_keeps_what_it_wants),
		CAPTURE_TEST(bad_filter_is_named_and_nothing_is_changed),
		CAPTURE_TEST(
			host_name_is_refused_at_once_where_there_are_no_sockets),
		CAPTURE_TEST(snaplen_cuts_and_keeps_the_length),
		CAPTURE_TEST(frame_in_segments_is_put_together),
		CAPTURE_TEST(checksums_are_completed),
		CAPTURE_TEST(checksum_is_right_though_snaplen_cuts),
		CAPTURE_TEST(super_frame_is_whole_with_its_checksum),
		CAPTURE_TEST(segmented_super_frame_is_its_segments),
		CAPTURE_TEST(
			frame_is_lost_where_only_its_last_segment_is_written),
		CAPTURE_TEST(filter_judges_segments),
		CAPTURE_TEST(super_frame_that_cant_be_cut_is_whole),
		CAPTURE_TEST(too_long_frame_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
