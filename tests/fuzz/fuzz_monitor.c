/*
 * fuzz_monitor - what a switch process that was taken over says to the monitor
 *
 * The input is a sequence of calls: two bytes of length, two that say who asks
 * and what comes along, then the message but for its header's first half, which
 * is right in half of them. Nothing on the host is touched: no device is
 * allowed, and files and sockets only in a folder of our own, which ports and
 * saved configurations have by relative names (a '%' in a text becomes the
 * folder).
 *
 * Whatever is said: the monitor answers or breaks the channel, its descriptors
 * don't become more, and nothing appears outside the folder.
 */
#include "base/fds.h"
#include "base/memfd.h"
#include "tests/unit/fds.h"
#include "tests/unit/monitor_rig.h"

#include <stddef.h>

#define CALLS_MAX 64

/* place() is told one of them and means both. */
_Static_assert(
	offsetof(struct port_request, pcap.file) ==
			offsetof(struct port_request, vhost_user.path) &&
		sizeof(((struct port_request *)0)->pcap.file) ==
			sizeof(((struct port_request *)0)->vhost_user.path),
	"a socket's path is where a capture's file is");

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct monitor_rig rig;
/* What can come along; the first one is filled with the message's text. */
static int things[6];

struct step {
	uint16_t len;
	uint8_t who; /* bit 0: the slot; 1: the header is right; 2: upgrade */
	uint8_t fds; /* a number, and which one is the first */
};

static void clean_up(void)
{
	monitor_rig_fini(&rig);
}

/* Without it the defaults would be in force, which allow a lot. */
static void write_config(void)
{
	FILE *f = fopen(rig.config, "we");

	if (!f ||
	    fprintf(f,
		    "{\"daemon\":{\"allow\":{\"files\":[\"%s/*\"],"
		    "\"sockets\":[\"%s/*\"],\"tap\":[],\"netdev\":[],"
		    "\"udp\":[]}}}",
		    rig.dir, rig.dir) < 0 ||
	    fclose(f) != 0)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct error err = { 0 };

	(void)argc;
	(void)argv;
	if (monitor_rig_init(&rig, "") < 0)
		abort();
	atexit(clean_up);
	rig.options.config = rig.config;
	write_config();
	if (monitor_settings_load(&rig.m, NULL, &err) < 0)
		abort();
	things[0] = memfd_new("fuzz", 0);
	things[1] = memfd_new("fuzz", 1 << 16);
	things[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
	things[3] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (pipe2(things + 4, O_CLOEXEC) < 0)
		abort();
	rig.m.control.fd = rig.m.helper.fd = things[2];
	return 0;
}

/* "%x" is the file x in our folder. */
static void place(char *text, size_t size)
{
	char name[PORT_PATH_MAX];

	if (text[0] != '%' || !memchr(text, '\0', size))
		return;
	memcpy(name, text + 1, size - 1);
	snprintf(text, size, "%s/%.100s", rig.dir, name);
}

static void drain(int channel)
{
	struct proto_msg m;
	int fd[PROTO_FDS_MAX];

	while (proto_receive(channel, &m, fd, 0) == 0)
		proto_close_fds(fd, m.head.nfds);
}

/* The JSON of a SAVE is what's behind the path; of a KEEP, whatever. */
static void fill(const uint8_t *data, size_t len)
{
	if (ftruncate(things[0], 0) < 0 ||
	    pwrite(things[0], data, len, 0) != (ssize_t)len)
		abort();
}

static void call(const struct step *s, const uint8_t *data)
{
	unsigned int slot = s->who & 1, nfds = s->fds % (PROTO_FDS_MAX + 1);
	int send[PROTO_FDS_MAX], ch = rig.ch[slot];
	struct proto_msg m;

	memset(&m, 0, sizeof(m));
	memcpy(&m, data, s->len < sizeof(m) ? s->len : sizeof(m));
	for (unsigned int i = 0; i < nfds; i++)
		send[i] = things[(s->fds / 16 + i) % 6];
	rig.m.upgrade = s->who & 4 ? UPGRADE_LOADING : UPGRADE_NONE;
	if (m.head.type == PROTO_ACQUIRE) /* or a socket's path */
		place(m.request.pcap.file, sizeof(m.request.pcap.file));
	else
		place(m.text, sizeof(m.text));
	if (m.head.type == PROTO_SAVE && s->len > 64)
		fill(data + 64, s->len - 64);
	if (s->who & 2) {
		if (proto_send(ch, &m, send, nfds) < 0)
			abort();
	} else if (write(ch, data, s->len) != s->len) {
		abort();
	}
	(void)!monitor_call(&rig.m, slot);
	drain(ch);
}

static void end(void)
{
	for (unsigned int i = 0; i < GRANTS_SLOTS; i++) {
		for (int k = 0; k < KEEP_COUNT; k++) {
			int *kept = &rig.m.child[i].kept[k];

			if (*kept >= 0)
				close(*kept);
			*kept = -1;
		}
		/* Whatever was said is answered. */
		(void)!monitor_call(&rig.m, i);
		drain(rig.ch[i]);
		grants_unclaim(&rig.m.grants, i);
	}
	grants_sweep(&rig.m.grants);
}

/* Every input begins with the same folder. */
static void empty_folder(void)
{
	DIR *d = opendir(rig.dir);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (*e->d_name != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	write_config();
}

/* What fds_discard has others close may still be open where the machine is
 * busy, and the next one finds that it isn't any more. */
static bool settled(unsigned int before)
{
	for (int i = 0; i < 10 && fds_count() != before; i++) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (fds_discard(&null, 1) < 0)
			close(null);
	}
	return fds_count() == before;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int before = fds_count();
	struct step s;

	for (int i = 0; i < CALLS_MAX && size > sizeof(s); i++) {
		memcpy(&s, data, sizeof(s));
		data += sizeof(s);
		size -= sizeof(s);
		if (s.len > size)
			s.len = (uint16_t)size;
		call(&s, data);
		data += s.len;
		size -= s.len;
	}
	end();
	empty_folder();
	if (grants_count(&rig.m.grants) || !settled(before))
		abort();
	return 0;
}
