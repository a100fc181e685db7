#include "tests/unit/grants_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Acquire what must be had; returns its handle. */
static uint32_t have(struct rig *r, const char *name, unsigned int slot)
{
	struct port_request rq = rig_ask(r, name);

	assert_int_equal(rig_acquire(r, &rq, slot), 0);
	assert_int_not_equal(r->out.handle, 0);
	return r->out.handle;
}

static struct grant *find(struct rig *r, uint32_t handle, unsigned int slot)
{
	return grants_find(&r->t, handle, slot, false);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool exists(const struct rig *r, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	return access(path, F_OK) == 0;
}

static void make_file(const struct rig *r, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void grant_is_its_slots_until_it_is_released(void **state)
{
	struct rig *r = *state;
	uint32_t h = have(r, "a", 0);
	int fd = r->out.fd[0];

	assert_false(r->out.resumed);
	assert_int_equal(grants_count(&r->t), 1);
	assert_non_null(find(r, h, 0));
	assert_null(find(r, h, 1));
	assert_null(find(r, 0, 0));
	assert_null(find(r, h + 1, 0));
	assert_null(find(r, h + 0x10000, 0));
	grants_release(&r->t, find(r, h, 0), 0);
	assert_int_equal(grants_count(&r->t), 0);
	assert_false(is_open(fd));
	assert_null(find(r, h, 0));
	assert_null(grants_find(&r->t, h, 0, true));
}

static void handle_never_means_another_grant(void **state)
{
	struct rig *r = *state;
	uint32_t a = have(r, "a", 0), b;

	grants_release(&r->t, find(r, a, 0), 0);
	b = have(r, "b", 0);
	assert_int_equal(a & 0xffff, b & 0xffff);
	assert_int_not_equal(a, b);
	assert_null(grants_find(&r->t, a, 0, true));
	assert_string_equal(find(r, b, 0)->rq.name, "b");
}

static void grant_that_both_claim_goes_with_the_last_of_them(void **state)
{
	struct rig *r = *state;

	for (unsigned int first = 0; first < GRANTS_SLOTS; first++) {
		uint32_t h = have(r, "a", 0);
		int fd = r->out.fd[0];

		assert_non_null(grants_find(&r->t, h, 1, true));
		assert_true(find(r, h, 1)->grant.resumed);
		grants_release(&r->t, find(r, h, first), first);
		assert_null(find(r, h, first));
		assert_true(is_open(fd));
		grants_release(&r->t, find(r, h, 1 - first), 1 - first);
		assert_false(is_open(fd));
	}
}

static void what_a_dead_process_held_is_swept_or_adopted(void **state)
{
	struct rig *r = *state;
	uint32_t a = have(r, "a", 0), b = have(r, "b", 0), c;

	grants_unclaim(&r->t, 0);
	assert_null(find(r, a, 0));
	assert_int_equal(grants_count(&r->t), 2);
	assert_non_null(grants_find(&r->t, b, 0, true));
	c = have(r, "c", 1);
	grants_sweep(&r->t);
	assert_int_equal(grants_count(&r->t), 2);
	assert_null(grants_find(&r->t, a, 0, true));
	assert_non_null(find(r, b, 0));
	assert_non_null(find(r, c, 1));
}

static void restarted_process_that_asks_for_the_same_gets_the_same(void **state)
{
	struct rig *r = *state;
	uint32_t h = have(r, "a", 0);
	struct port_request rq = rig_ask(r, "a");
	int fd = r->out.fd[0];

	/* As long as it's somebody's: a second capture into one file. */
	assert_int_equal(rig_acquire(r, &rq, 0), -EBUSY);
	assert_string_equal(r->err.reason, "file-busy");
	grants_unclaim(&r->t, 0);
	assert_int_equal(have(r, "a", 1), h);
	assert_int_equal(r->out.fd[0], fd);
	assert_true(r->out.resumed);
	assert_null(find(r, h, 0));
	assert_non_null(find(r, h, 1));
	assert_int_equal(grants_count(&r->t), 1);
}

static void what_is_held_isnt_given_against_the_policy(void **state)
{
	struct rig *r = *state;
	struct port_request rq = rig_ask(r, "a");
	json_t *allow = json_pack("{s:[]}", "files");

	have(r, "a", 0);
	grants_unclaim(&r->t, 0);
	policy_fini(&r->policy);
	assert_int_equal(policy_init(&r->policy, allow), 0);
	json_decref(allow);
	assert_int_equal(rig_acquire(r, &rq, 0), -EPERM);
	assert_string_equal(r->err.reason, "not-allowed");
}

static void leftover_in_the_way_is_released(void **state)
{
	struct rig *r = *state;
	uint32_t a = have(r, "a", 0), b = have(r, "b", 0);
	struct port_request rq = rig_ask(r, "a");

	grants_unclaim(&r->t, 0);
	assert_non_null(grants_find(&r->t, b, 0, true));
	rq.pcap.snaplen = 100;
	assert_int_equal(rig_acquire(r, &rq, 0), 0);
	assert_false(r->out.resumed);
	assert_null(grants_find(&r->t, a, 0, true));
	assert_int_equal(grants_count(&r->t), 2);
	/* Not what somebody claims. */
	rq = rig_ask(r, "b");
	strcpy(rq.pcap.filter, "arp");
	assert_int_equal(rig_acquire(r, &rq, 0), -EBUSY);
	assert_non_null(find(r, b, 0));
}

static void there_is_a_bound(void **state)
{
	struct rig *r = *state;
	struct port_request rq = rig_ask(r, "more");
	uint32_t h = 0;

	for (char name[2] = "a"; *name < 'a' + 8; (*name)++)
		h = have(r, name, 0);
	assert_int_equal(rig_acquire(r, &rq, 0), -ENOSPC);
	assert_string_equal(r->err.reason, "too-many-ports");
	assert_false(exists(r, "more"));
	grants_release(&r->t, find(r, h, 0), 0);
	assert_int_equal(rig_acquire(r, &rq, 0), 0);
}

static void bound_is_one_that_handles_can_tell(void **state)
{
	struct grants t;

	(void)state;
	grants_init(&t, 65535 + 1024);
	assert_true(t.max < 0xffff);
	grants_fini(&t);
}

static void what_isnt_allowed_leaves_nothing_behind(void **state)
{
	struct rig *r = *state;
	struct port_request rq = rig_ask(r, "a");
	char link[96];

	/* A folder of ours by name, another one in truth. */
	snprintf(link, sizeof(link), "%s/out", r->dir);
	assert_int_equal(symlink("/tmp", link), 0);
	snprintf(rq.pcap.file, sizeof(rq.pcap.file), "%s/test_grants.%d", link,
		 (int)getpid());
	assert_int_equal(rig_acquire(r, &rq, 0), -EPERM);
	assert_int_equal(access(rq.pcap.file, F_OK), -1);
	assert_int_equal(grants_count(&r->t), 0);
	assert_int_equal(fds_count(), r->fds);
}

static void empty_file_that_was_there_stays(void **state)
{
	struct rig *r = *state;
	uint32_t a, b;

	make_file(r, "a");
	a = have(r, "a", 0);
	b = have(r, "b", 0);
	grants_release(&r->t, find(r, a, 0), 0);
	grants_release(&r->t, find(r, b, 0), 0);
	assert_true(exists(r, "a"));
	assert_false(exists(r, "b"));
}

static void adjust_changes_what_can_change(void **state)
{
	struct rig *r = *state;
	struct grant *g = find(r, have(r, "a", 0), 0);
	struct port_request rq = rig_ask(r, "b");

	rq.mtu = 1400;
	rq.enabled = true;
	strcpy(rq.type, "tap");
	assert_int_equal(grants_adjust(g, &rq, &r->err), 0);
	assert_int_equal(g->grant.mtu, 1400);
	assert_true(g->rq.enabled);
	assert_string_equal(g->rq.name, "a");
	assert_string_equal(g->rq.type, "pcap");
}

/* ---- From one life to the next ---- */

/* The table's head and one record's, a second time: a change of them is one
 * that the program before doesn't know. */
struct head {
	uint32_t magic, used, rq_size, grant_size;
};

struct record {
	uint32_t index, generation, claims;
};

#define MAGIC 0x31746e67u

/* What execve does to the memory of this process: all forgotten. */
static void forget(struct rig *r)
{
	free(r->t.g);
	grants_init(&r->t, 8);
}

static void table_is_the_same_after_an_exec(void **state)
{
	struct rig *r = *state;
	uint32_t a = have(r, "a", 0), b = have(r, "b", 0), c = have(r, "c", 1);
	struct grant was;
	int fd;

	grants_release(&r->t, find(r, b, 0), 0);
	was = *find(r, c, 1);
	fd = rig_written(r);
	assert_int_equal(fcntl(was.grant.fd[0], F_GETFD), 0);
	forget(r);
	assert_int_equal(grants_read(&r->t, fd), 0);
	close(fd);
	assert_int_equal(fcntl(was.grant.fd[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(grants_count(&r->t), 2);
	assert_non_null(find(r, a, 0));
	assert_null(find(r, a, 1));
	assert_null(grants_find(&r->t, b, 0, true));
	assert_non_null(find(r, c, 1));
	assert_memory_equal(&find(r, c, 1)->rq, &was.rq, sizeof(was.rq));
	assert_memory_equal(&find(r, c, 1)->grant, &was.grant,
			    sizeof(was.grant));
	assert_int_equal(have(r, "d", 0) & 0xffff, b & 0xffff);
}

/* A table of one grant, as a program would write it whose structs are longer
 * (or shorter) by so many bytes, the last of which is `last`. */
static int resized(const struct grant *g, int more, char last)
{
	struct head h = { MAGIC, 1, (uint32_t)((int)sizeof(g->rq) + more),
			  (uint32_t)((int)sizeof(g->grant) + more) };
	struct record rec = { 0, g->generation, g->claims };
	char rq[sizeof(g->rq) + 64] = { 0 },
				grant[sizeof(g->grant) + 64] = { 0 };
	int fd = memfd_create("grants", MFD_CLOEXEC);

	memcpy(rq, &g->rq, sizeof(g->rq));
	memcpy(grant, &g->grant, sizeof(g->grant));
	if (more > 0)
		grant[h.grant_size - 1] = last;
	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(write(fd, &rec, sizeof(rec)), sizeof(rec));
	assert_int_equal(write(fd, rq, h.rq_size), h.rq_size);
	assert_int_equal(write(fd, grant, h.grant_size), h.grant_size);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void table_of_another_version_is_read_if_it_can_be(void **state)
{
	static const struct {
		int more;
		char last;
		int result;
	} versions[] = { { 16, 0, 0 },
			 { -4, 0, 0 },
			 { 64, 1, -EPROTONOSUPPORT } };
	struct rig *r = *state;
	uint32_t h = have(r, "a", 0);
	struct grant was = *find(r, h, 0);

	for (unsigned int i = 0; i < 3; i++) {
		int fd = resized(&was, versions[i].more, versions[i].last);

		forget(r);
		assert_int_equal(grants_read(&r->t, fd), versions[i].result);
		close(fd);
		assert_int_equal(grants_count(&r->t), versions[i].result == 0);
	}
	/* For the teardown. */
	close(was.grant.fd[0]);
	close(was.grant.fd[1]);
}

/* The program before, which is executed again, needs them all. */
static void table_that_cant_be_read_leaves_descriptors_as_they_were(
	void **state)
{
	struct rig *r = *state;
	struct grant a, b;
	uint32_t handle;
	int fd;

	handle = have(r, "a", 0);
	a = *find(r, handle, 0);
	handle = have(r, "b", 0);
	b = *find(r, handle, 0);
	fd = rig_written(r);
	assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) - 1), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	forget(r);
	assert_true(grants_read(&r->t, fd) < 0);
	assert_int_equal(grants_count(&r->t), 0);
	assert_int_equal(fcntl(a.grant.fd[0], F_GETFD), 0);
	assert_int_equal(fcntl(b.grant.fd[0], F_GETFD), 0);
	close(fd);
	for (unsigned int i = 0; i < 2; i++) {
		close(a.grant.fd[i]);
		close(b.grant.fd[i]);
	}
}

static void lowered_bound_refuses_new_grants_and_keeps_the_old(void **state)
{
	struct rig *r = *state;
	struct port_request rq = rig_ask(r, "more");
	int fd;

	for (char name[2] = "a"; *name < 'a' + 8; (*name)++)
		have(r, name, 0);
	fd = rig_written(r);
	free(r->t.g);
	grants_init(&r->t, 4);
	assert_int_equal(grants_read(&r->t, fd), 0);
	close(fd);
	assert_int_equal(grants_count(&r->t), 8);
	assert_int_equal(rig_acquire(r, &rq, 0), -ENOSPC);
}

/* Change one place of a table of one grant; is it refused? */
static bool refused(struct rig *r, const struct grant *g, size_t at,
		    const void *bytes, size_t n)
{
	int fd = resized(g, 0, 0), result;

	assert_int_equal(pwrite(fd, bytes, n, (off_t)at), n);
	forget(r);
	result = grants_read(&r->t, fd);
	close(fd);
	return result < 0 && grants_count(&r->t) == 0;
}

static void table_that_is_broken_is_refused(void **state)
{
	static const size_t rec = sizeof(struct head),
			    rq = rec + sizeof(struct record),
			    grant = rq + sizeof(struct port_request);
	static const uint32_t two = 2, huge = UINT32_MAX, zero = 0;
	struct rig *r = *state;
	uint32_t handle = have(r, "a", 0);
	struct grant g = *find(r, handle, 0);
	char junk[256];
	int fd = memfd_create("empty", MFD_CLOEXEC);

	memset(junk, 'x', sizeof(junk));
	forget(r);
	assert_true(grants_read(&r->t, fd) < 0);
	close(fd);
	assert_true(refused(r, &g, 0, "?", 1));
	assert_true(refused(r, &g, 4, &two, 4));
	assert_true(refused(r, &g, 4, &huge, 4));
	assert_true(refused(r, &g, 8, &huge, 4));
	assert_true(refused(r, &g, 8, &zero, 4));
	assert_true(refused(r, &g, 12, &huge, 4));
	assert_true(refused(r, &g, rec, &huge, 4));
	assert_true(refused(r, &g, rq, "none", 5));
	assert_true(refused(r, &g, rq, junk, 200));
	assert_true(refused(r, &g, grant, &huge, 4));
	assert_true(refused(r, &g, grant + 4, &huge, 4));
	close(g.grant.fd[0]);
	close(g.grant.fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(grant_is_its_slots_until_it_is_released),
		RIG(handle_never_means_another_grant),
		RIG(grant_that_both_claim_goes_with_the_last_of_them),
		RIG(what_a_dead_process_held_is_swept_or_adopted),
		RIG(restarted_process_that_asks_for_the_same_gets_the_same),
		RIG(what_is_held_isnt_given_against_the_policy),
		RIG(leftover_in_the_way_is_released),
		RIG(there_is_a_bound),
		cmocka_unit_test(bound_is_one_that_handles_can_tell),
		RIG(what_isnt_allowed_leaves_nothing_behind),
		RIG(empty_file_that_was_there_stays),
		RIG(adjust_changes_what_can_change),
		RIG(table_is_the_same_after_an_exec),
		RIG(table_of_another_version_is_read_if_it_can_be),
		RIG(table_that_cant_be_read_leaves_descriptors_as_they_were),
		RIG(lowered_bound_refuses_new_grants_and_keeps_the_old),
		RIG(table_that_is_broken_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
