/*
 * grants_rig - a table of grants, for its tests
 *
 * Grants are captures: the one type that needs no privilege. Who ends with
 * another number of descriptors than he has begun with has failed.
 */
#ifndef TESTS_UNIT_GRANTS_RIG_H
#define TESTS_UNIT_GRANTS_RIG_H

#include "switchd/grants.h"
#include "tests/unit/fds.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct rig {
	char dir[64];
	struct policy policy;
	struct grants t;
	struct port_grant out;
	struct error err;
	unsigned int fds;
};

static inline int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	json_t *allow;

	assert_non_null(r);
	strcpy(r->dir, "/tmp/test_grants.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	allow = json_pack("{s:[s+]}", "files", r->dir, "/*");
	assert_int_equal(policy_init(&r->policy, allow), 0);
	json_decref(allow);
	r->fds = fds_count();
	grants_init(&r->t, 8);
	*state = r;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;
	char cmd[96];
	int leaked;

	grants_fini(&r->t);
	leaked = fds_count() != r->fds;
	policy_fini(&r->policy);
	snprintf(cmd, sizeof(cmd), "rm -r %s", r->dir);
	/* The command is this test's own. NOLINTNEXTLINE(cert-env33-c) */
	leaked |= system(cmd) != 0;
	free(r);
	return leaked ? -1 : 0;
}

static inline struct port_request rig_ask(const struct rig *r, const char *name)
{
	struct port_request rq;

	memset(&rq, 0, sizeof(rq));
	strcpy(rq.type, "pcap");
	snprintf(rq.name, sizeof(rq.name), "%s", name);
	snprintf(rq.pcap.file, sizeof(rq.pcap.file), "%.60s/%.60s", r->dir,
		 name);
	return rq;
}

static inline int rig_acquire(struct rig *r, const struct port_request *rq,
			      unsigned int slot)
{
	return grants_acquire(&r->t, &r->policy, rq, slot, &r->out, &r->err);
}

/* A file with the table in it, to be read from its beginning. */
static inline int rig_written(struct rig *r)
{
	int fd = memfd_create("grants", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(grants_write(&r->t, fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

#endif
