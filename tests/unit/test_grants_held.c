/* What the monitor holds with a grant for the switch process to come. */
#include "switchd/grants_held.h"

#include "switchd/proto.h"
#include "tests/unit/grants_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The grants are had in the order of their indexes. */
static struct grant *have(struct rig *r, const char *name)
{
	struct port_request rq = rig_ask(r, name);

	assert_int_equal(rig_acquire(r, &rq, 0), 0);
	return grants_find(&r->t, r->out.handle, 0, false);
}

static int event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* Hold a new eventfd; it is told by the number in it. */
static void hold(struct grant *g, uint32_t number, uint64_t told)
{
	int fd = event();

	assert_int_equal(write(fd, &told, sizeof(told)), sizeof(told));
	assert_int_equal(grants_held_put(&g->held, number, fd), 0);
	close(fd);
}

static uint64_t told(const struct grant *g, uint32_t number)
{
	int fd = grants_held_get(g->held, number);
	uint64_t n = 0;

	assert_true(fd >= 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
	return n;
}

static void what_is_held_is_a_copy_by_its_number(void **state)
{
	struct rig *r = *state;
	struct grant *g = have(r, "a");

	assert_int_equal(grants_held_get(g->held, 0), -ENOENT);
	hold(g, 0, 100);
	hold(g, PORT_HELD_MAX - 1, 200);
	assert_int_equal(told(g, 0), 100);
	assert_int_equal(told(g, PORT_HELD_MAX - 1), 200);
	assert_int_equal(grants_held_get(g->held, 1), -ENOENT);
	assert_int_equal(grants_held_get(g->held, PORT_HELD_MAX), -ENOENT);
	assert_int_equal(grants_held_get(g->held, UINT32_MAX), -ENOENT);
	assert_int_equal(grants_held_count(g->held), 2);
	assert_int_equal(fcntl(grants_held_get(g->held, 0), F_GETFD),
			 FD_CLOEXEC);
}

static void what_has_a_number_gives_way(void **state)
{
	struct rig *r = *state;
	struct grant *g = have(r, "a");
	unsigned int before;

	hold(g, 7, 1);
	before = fds_count();
	hold(g, 7, 2);
	assert_int_equal(fds_count(), before);
	assert_int_equal(told(g, 7), 2);
	assert_int_equal(grants_held_put(&g->held, 7, -1), 0);
	assert_int_equal(fds_count(), before - 1);
	assert_int_equal(grants_held_get(g->held, 7), -ENOENT);
	assert_int_equal(grants_held_count(g->held), 0);
	/* There is nothing (any more). */
	assert_int_equal(grants_held_put(&g->held, 7, -1), 0);
	assert_int_equal(grants_held_put(&g->held, 8, -1), 0);
}

static void number_that_there_isnt_is_refused(void **state)
{
	struct rig *r = *state;
	struct grant *g = have(r, "a");
	int fd = event();

	assert_int_equal(grants_held_put(&g->held, PORT_HELD_MAX, fd), -EINVAL);
	assert_int_equal(grants_held_put(&g->held, UINT32_MAX, fd), -EINVAL);
	assert_int_equal(grants_held_put(&g->held, PORT_HELD_MAX, -1), -EINVAL);
	assert_int_equal(grants_held_count(g->held), 0);
	close(fd);
}

static void what_is_held_goes_with_its_grant(void **state)
{
	struct rig *r = *state;
	struct grant *a = have(r, "a"), *b = have(r, "b");
	unsigned int before;

	before = fds_count();
	hold(a, 1, 1);
	hold(a, 2, 1);
	hold(b, 1, 3);
	grants_release(&r->t, a, 0);
	/* The grant's own two as well. */
	assert_int_equal(fds_count(), before + 3 - 2 - 2);
	assert_int_equal(told(b, 1), 3);
	/* The next one in its place has nothing of it. */
	a = have(r, "c");
	assert_int_equal(grants_held_get(a->held, 1), -ENOENT);
}

/* It is what the process that comes goes on with. */
static void what_is_held_outlives_the_process(void **state)
{
	struct rig *r = *state;
	struct grant *g = have(r, "a");

	hold(g, 1, 5);
	grants_unclaim(&r->t, 0);
	assert_ptr_equal(have(r, "a"), g);
	assert_true(g->grant.resumed);
	assert_int_equal(told(g, 1), 5);
}

static void monitor_keeps_descriptors_for_itself(void **state)
{
	struct rig *r = *state;
	struct grant *g = have(r, "a");
	struct rlimit was, low;
	int fd = event(), next[10], result = 0;
	uint32_t n = 0;

	/* The numbers of the next ten, and what is kept free behind them. */
	for (int i = 0; i < 10; i++)
		next[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	proto_close_fds(next, 10);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = (rlim_t)next[9] + 1 + 128;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < PORT_HELD_MAX &&
	       (result = grants_held_put(&g->held, n, fd)) == 0)
		n++;
	assert_int_equal(result, -EMFILE);
	assert_int_equal(n, 10);
	assert_int_equal(grants_held_count(g->held), 10);
	/* What is there stays where there is no place for the new one. */
	assert_int_equal(grants_held_put(&g->held, 0, fd), -EMFILE);
	assert_true(grants_held_get(g->held, 0) >= 0);
	/* Other work goes on. */
	have(r, "b");
	assert_int_equal(grants_held_put(&g->held, 0, -1), 0);
	assert_int_equal(grants_held_count(g->held), 9);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	close(fd);
}

/* ---- From one life to the next ---- */

/* What is behind the grants' records, a second time: a change of it is one that
 * the program before doesn't know. */
struct head {
	uint32_t magic, count;
};

struct record {
	uint32_t grant, number;
	int32_t fd;
};

/* What execve does to the memory of this process: all forgotten. */
static void forget(struct rig *r)
{
	for (uint32_t i = 0; i < r->t.n; i++)
		grants_held_disown(r->t.g[i].held);
	free(r->t.g);
	grants_init(&r->t, 8);
}

static void what_is_held_is_the_same_after_an_exec(void **state)
{
	struct rig *r = *state;
	struct grant *a = have(r, "a"), *b = have(r, "b");
	int first, second, fd;

	grants_release(&r->t, a, 0);
	hold(b, 3, 33);
	hold(b, 255, 44);
	first = grants_held_get(b->held, 3);
	second = grants_held_get(b->held, 255);
	fd = rig_written(r);
	assert_int_equal(fcntl(first, F_GETFD), 0);
	assert_int_equal(fcntl(second, F_GETFD), 0);
	forget(r);
	assert_int_equal(grants_read(&r->t, fd), 0);
	close(fd);
	b = &r->t.g[1];
	assert_int_equal(grants_held_get(b->held, 3), first);
	assert_int_equal(grants_held_get(b->held, 255), second);
	assert_int_equal(grants_held_count(b->held), 2);
	assert_int_equal(told(b, 3), 33);
	assert_int_equal(told(b, 255), 44);
	assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(second, F_GETFD), FD_CLOEXEC);
}

/* One that held nothing ends behind its grants. */
static void table_of_an_earlier_version_is_read(void **state)
{
	struct rig *r = *state;
	int fd;

	have(r, "a");
	fd = rig_written(r);
	assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) -
					       (off_t)sizeof(struct head)),
			 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	forget(r);
	assert_int_equal(grants_read(&r->t, fd), 0);
	close(fd);
	assert_int_equal(grants_count(&r->t), 1);
	assert_int_equal(grants_held_count(r->t.g[0].held), 0);
}

#define CLOSED 60000 /* a number that no descriptor has here */

/* The end of a table: two descriptors of one grant. */
struct tail {
	struct head head;
	struct record rec[2];
};

/* A table that ends so: it isn't read, and the program before has all that it
 * needs. `cut`: bytes that are missing. */
static void tail_is_refused(struct rig *r, const struct grant *g,
			    const struct tail *tail, off_t cut)
{
	off_t at = (off_t)(4 * sizeof(uint32_t) + 3 * sizeof(uint32_t) +
			   sizeof(g->rq) + sizeof(g->grant));
	uint32_t head[] = { 0x31746e67u, 1, sizeof(g->rq), sizeof(g->grant) };
	uint32_t rec[] = { 0, g->generation, g->claims };
	int fd = memfd_create("grants", MFD_CLOEXEC);

	assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
	assert_int_equal(write(fd, rec, sizeof(rec)), sizeof(rec));
	assert_int_equal(write(fd, &g->rq, sizeof(g->rq)), sizeof(g->rq));
	assert_int_equal(write(fd, &g->grant, sizeof(g->grant)),
			 sizeof(g->grant));
	assert_int_equal(write(fd, tail, sizeof(*tail)), sizeof(*tail));
	assert_int_equal(ftruncate(fd, at + (off_t)sizeof(*tail) - cut), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	forget(r);
	assert_true(grants_read(&r->t, fd) < 0);
	close(fd);
	assert_int_equal(grants_count(&r->t), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(fcntl(g->grant.fd[i], F_GETFD), 0);
		if (tail->rec[i].fd >= 0 && tail->rec[i].fd != CLOSED)
			assert_true(fcntl(tail->rec[i].fd, F_GETFD) >= 0);
	}
}

static void tail_that_is_broken_is_refused(void **state)
{
	struct rig *r = *state;
	struct grant g = *have(r, "a");
	const int first = event(), second = event();
	const struct tail good = { { 0x31646c68u, 2 },
				   { { 0, 3, first }, { 0, 4, second } } };
	struct tail t = good;

	t.head.magic++;
	tail_is_refused(r, &g, &t, 0);
	t = good;
	t.head.count = 3;
	tail_is_refused(r, &g, &t, 0);
	t.head.count = UINT32_MAX;
	tail_is_refused(r, &g, &t, 0);
	t = good;
	t.rec[1].grant = 1;
	tail_is_refused(r, &g, &t, 0);
	t.rec[1].grant = UINT32_MAX;
	tail_is_refused(r, &g, &t, 0);
	t = good;
	t.rec[1].number = PORT_HELD_MAX;
	tail_is_refused(r, &g, &t, 0);
	t.rec[1].number = 3; /* twice */
	tail_is_refused(r, &g, &t, 0);
	t = good;
	t.rec[1].fd = -1;
	tail_is_refused(r, &g, &t, 0);
	t.rec[1].fd = CLOSED;
	tail_is_refused(r, &g, &t, 0);
	tail_is_refused(r, &g, &good, 1);
	tail_is_refused(r, &g, &good, sizeof(struct record));
	tail_is_refused(r, &g, &good, sizeof(t) - 1);
	close(first);
	close(second);
	close(g.grant.fd[0]);
	close(g.grant.fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(what_is_held_is_a_copy_by_its_number),
		RIG(what_has_a_number_gives_way),
		RIG(number_that_there_isnt_is_refused),
		RIG(what_is_held_goes_with_its_grant),
		RIG(what_is_held_outlives_the_process),
		RIG(monitor_keeps_descriptors_for_itself),
		RIG(what_is_held_is_the_same_after_an_exec),
		RIG(table_of_an_earlier_version_is_read),
		RIG(tail_that_is_broken_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
