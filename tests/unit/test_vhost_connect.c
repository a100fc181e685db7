/* vhost-user ports that connect to a socket: at once, later, and again. */
#include "tests/unit/vhost_acquire.h"

static bool is_connected(int fd)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);

	return getpeername(fd, (struct sockaddr *)&a, &len) == 0;
}

static void client_connects_where_somebody_listens(void **state)
{
	struct rig *r = *state;
	int fd = other_listens(path(r, "s"), SOCK_STREAM, 1);

	ask(r, true, "s");
	assert_int_equal(acquire(r), 0);
	assert_int_equal(r->g.nfds, VHOST_GRANT_FOLDER + 1);
	for (unsigned int i = 0; i < r->g.nfds; i++)
		assert_int_equal(fcntl(r->g.fd[i], F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(r->g.fd[VHOST_GRANT_SOCKET], F_GETFL) & O_NONBLOCK);
	assert_int_equal(r->g.mtu, 1500);
	accepts(fd, r->g.fd[VHOST_GRANT_SOCKET]);
	release(r);
	assert_true(exists(path(r, "s"))); /* it's the server's */
	close(fd);
}

static void client_whose_server_isnt_there_yet_connects_later(void **state)
{
	struct rig *r = *state;
	int fd, was;

	ask(r, true, "s");
	assert_int_equal(acquire(r), 0);
	was = r->g.fd[VHOST_GRANT_SOCKET];
	assert_false(is_connected(was));
	assert_int_equal(renew(r), -ENOENT);
	assert_string_equal(r->err.reason, "nobody-there");
	/* There, but it doesn't listen (any more). */
	fd = other_listens(path(r, "s"), SOCK_STREAM, -1);
	assert_int_equal(renew(r), -ECONNREFUSED);
	assert_string_equal(r->err.reason, "nobody-there");
	assert_false(is_connected(was));
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(renew(r), 0);
	assert_int_equal(r->g.fd[VHOST_GRANT_SOCKET], was);
	assert_int_equal(fcntl(was, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(was, F_GETFL) & O_NONBLOCK);
	accepts(fd, was);
	/* And again: the first connection is over. */
	assert_int_equal(renew(r), 0);
	accepts(fd, was);
	close(fd);
	release(r);
}

static void stale_socket_and_busy_server_are_nobody_yet(void **state)
{
	struct rig *r = *state;
	int fd, last, waiting[8], n = 0;

	close(other_listens(path(r, "s"), SOCK_STREAM, 1));
	ask(r, true, "s");
	assert_int_equal(acquire(r), 0);
	assert_false(is_connected(r->g.fd[VHOST_GRANT_SOCKET]));
	release(r);
	fd = other_listens(path(r, "busy"), SOCK_STREAM, 0);
	while ((last = other_connects(path(r, "busy"))) >= 0 && n < 8)
		waiting[n++] = last;
	assert_int_equal(last, -EAGAIN);
	ask(r, true, "busy");
	assert_int_equal(acquire(r), 0); /* without waiting */
	assert_false(is_connected(r->g.fd[VHOST_GRANT_SOCKET]));
	assert_int_equal(renew(r), -EAGAIN);
	assert_string_equal(r->err.reason, "nobody-there");
	while (n--)
		close(waiting[n]);
	close(fd);
	release(r);
}

static void socket_of_another_kind_isnt_connected_to(void **state)
{
	struct rig *r = *state;
	int fd = other_listens(path(r, "s"), SOCK_DGRAM, 0);

	ask(r, true, "s");
	refused(r, EPROTOTYPE, "not-a-socket", "path");
	close(fd);
}

static void client_finds_a_folder_that_was_made_anew(void **state)
{
	struct rig *r = *state;
	int fd;

	assert_int_equal(mkdir(path(r, "a"), 0700), 0);
	ask(r, true, "a/s");
	assert_int_equal(acquire(r), 0);
	assert_int_equal(rmdir(path(r, "a")), 0);
	assert_int_equal(renew(r), -ENOENT);
	assert_int_equal(mkdir(path(r, "a"), 0700), 0);
	fd = other_listens(path(r, "a/s"), SOCK_STREAM, 1);
	assert_int_equal(renew(r), 0);
	accepts(fd, r->g.fd[VHOST_GRANT_SOCKET]);
	close(fd);
	release(r);
}

/* That it may go to the first one is all that anybody has looked at. */
static void client_isnt_led_to_another_folder(void **state)
{
	struct rig *r = *state;
	int fd;

	assert_int_equal(mkdir(path(r, "a"), 0700), 0);
	assert_int_equal(mkdir(path(r, "b"), 0700), 0);
	fd = other_listens(path(r, "b/s"), SOCK_STREAM, 1);
	ask(r, true, "a/s");
	assert_int_equal(acquire(r), 0);
	assert_int_equal(rename(path(r, "a"), path(r, "c")), 0);
	assert_int_equal(symlink("b", path(r, "a")), 0);
	assert_int_equal(renew(r), -ENOENT);
	close(fd);
	fd = other_listens(path(r, "c/s"), SOCK_STREAM, 1);
	assert_int_equal(renew(r), 0);
	accepts(fd, r->g.fd[VHOST_GRANT_SOCKET]);
	close(fd);
	release(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(client_connects_where_somebody_listens),
		RIG(client_whose_server_isnt_there_yet_connects_later),
		RIG(stale_socket_and_busy_server_are_nobody_yet),
		RIG(socket_of_another_kind_isnt_connected_to),
		RIG(client_finds_a_folder_that_was_made_anew),
		RIG(client_isnt_led_to_another_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
