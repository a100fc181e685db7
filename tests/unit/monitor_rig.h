/*
 * monitor_rig - a monitor without its loop, and the other end of its calls
 *
 * What the switch process can say to it can be said here, and much more.
 * Everything it may write is in a folder of the test's own; there is no
 * configuration file unless the test makes one.
 */
#ifndef TESTS_UNIT_MONITOR_RIG_H
#define TESTS_UNIT_MONITOR_RIG_H

#include "switchd/monitor_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct monitor_rig {
	char dir[64];
	char config[96]; /* the configuration file, where options.config is */
	struct monitor_options options;
	struct monitor m;
	int ch[GRANTS_SLOTS]; /* the switches' ends */
};

/* What the policy says beside the folder, as members of "allow". */
static inline int monitor_rig_init(struct monitor_rig *r, const char *more)
{
	char text[512];
	json_t *allow;

	memset(r, 0, sizeof(*r));
	strcpy(r->dir, "/tmp/switchd_test.XXXXXX");
	if (!mkdtemp(r->dir))
		return -errno;
	snprintf(r->config, sizeof(r->config), "%s/switchd.conf", r->dir);
	snprintf(text, sizeof(text),
		 "{\"files\":[\"%s/*\"],\"sockets\":[\"%s/*\"]%s}", r->dir,
		 r->dir, more);
	allow = json_loads(text, 0, NULL);
	if (!allow || policy_init(&r->m.policy, allow) < 0)
		return -ENOMEM;
	json_decref(allow);
	r->m.options = &r->options;
	r->m.control.fd = r->m.helper.fd = r->m.signal_fd = -1;
	grants_init(&r->m.grants, 8);
	for (unsigned int i = 0; i < GRANTS_SLOTS; i++) {
		int pair[2];

		if (proto_pair(pair) < 0)
			return -errno;
		r->m.child[i].calls = pair[0];
		r->m.child[i].orders = -1;
		r->ch[i] = pair[1];
		for (int k = 0; k < KEEP_COUNT; k++)
			r->m.child[i].kept[k] = -1;
	}
	return 0;
}

static inline void monitor_rig_fini(struct monitor_rig *r)
{
	char cmd[96];

	for (unsigned int i = 0; i < GRANTS_SLOTS; i++) {
		close(r->m.child[i].calls);
		close(r->ch[i]);
		for (int k = 0; k < KEEP_COUNT; k++)
			if (r->m.child[i].kept[k] >= 0)
				close(r->m.child[i].kept[k]);
	}
	grants_fini(&r->m.grants);
	policy_fini(&r->m.policy);
	json_decref(r->m.daemon);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", r->dir);
	/* The command is this test's own. NOLINTNEXTLINE(cert-env33-c) */
	if (system(cmd) != 0)
		perror(cmd);
}

/*
 * One call and its answer in *m, whose descriptors are fd[PROTO_FDS_MAX], the
 * caller's. Returns the answer's result, or -EPIPE: the monitor has had
 * enough.
 */
static inline int monitor_rig_call(struct monitor_rig *r, unsigned int slot,
				   struct proto_msg *m, const int *send,
				   unsigned int nsend, int *fd)
{
	if (proto_send(r->ch[slot], m, send, nsend) < 0 ||
	    monitor_call(&r->m, slot) < 0 ||
	    proto_receive(r->ch[slot], m, fd, 0) < 0)
		return -EPIPE;
	return m->head.result;
}

#endif
