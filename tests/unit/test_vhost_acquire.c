/*
 * The sockets that vhost-user ports listen on: whose they are, what they
 * replace, what is left of them. Some of it is root's, some is tried as a user.
 */
#include "ports/vhost_state.h"
#include "tests/unit/vhost_acquire.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define USER  61234 /* nobody's */
#define GROUP 61235

static void socket_is_its_owners_and_somebody_can_connect(void **state)
{
	struct rig *r = *state;
	struct stat st;
	int other;

	serve(r, "s");
	assert_int_equal(r->g.nfds, VHOST_GRANT_FILE + 1);
	for (unsigned int i = 0; i < r->g.nfds; i++)
		assert_int_equal(fcntl(r->g.fd[i], F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(r->g.fd[VHOST_GRANT_SOCKET], F_GETFL) & O_NONBLOCK);
	st = look(path(r, "s"));
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(
		accept4(r->g.fd[VHOST_GRANT_SOCKET], NULL, NULL, SOCK_CLOEXEC),
		-1);
	assert_int_equal(errno, EAGAIN);
	other = other_connects(path(r, "s"));
	accepts(r->g.fd[VHOST_GRANT_SOCKET], other);
	close(other);
	release(r);
	assert_false(exists(path(r, "s")));
}

static void mtu_is_a_bridges_unless_it_is_given(void **state)
{
	struct rig *r = *state;

	ask(r, false, "s");
	r->rq.enabled = false;
	assert_int_equal(acquire(r), 0);
	assert_int_equal(r->g.mtu, 1500);
	assert_int_equal(r->g.tx_offloads, 0);
	assert_int_equal(r->g.ifindex, 0);
	assert_false(r->g.carrier);
	r->rq.mtu = 9000;
	r->rq.enabled = true;
	assert_int_equal(vhost_user_adjust(&r->rq, &r->g, &r->err), 0);
	assert_int_equal(r->g.mtu, 9000);
	assert_true(r->g.carrier);
	r->rq.mtu = PORT_MTU_MAX + 1;
	assert_int_equal(vhost_user_adjust(&r->rq, &r->g, &r->err), -EINVAL);
	assert_string_equal(r->err.path, "mtu");
	assert_int_equal(r->g.mtu, 9000);
	r->rq.mtu = 0;
	assert_int_equal(vhost_user_adjust(&r->rq, &r->g, &r->err), 0);
	assert_int_equal(r->g.mtu, 1500);
	release(r);
}

static void state_is_empty_and_keeps_its_size(void **state)
{
	struct rig *r = *state;
	struct vhost_state *s;
	int fd;

	serve(r, "s");
	fd = r->g.fd[VHOST_GRANT_STATE];
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 2 * VHOST_STATE_SIZE), -1);
	assert_int_equal(errno, EPERM);
	s = mmap(NULL, VHOST_STATE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(s, MAP_FAILED);
	assert_true(vhost_state_sane(s));
	assert_int_equal(s->connection, VHOST_SLOT_NONE);
	munmap(s, VHOST_STATE_SIZE);
	release(r);
}

static void umask_takes_nothing_from_the_mode(void **state)
{
	struct rig *r = *state;
	mode_t was = umask(0777);

	serve(r, "s");
	umask(0);
	assert_int_equal(look(path(r, "s")).st_mode & 07777, 0600);
	release(r);
	serve(r, "s");
	umask(was);
	assert_int_equal(look(path(r, "s")).st_mode & 07777, 0600);
	release(r);
}

static void stale_socket_is_replaced(void **state)
{
	struct rig *r = *state;
	ino_t was;

	close(other_listens(path(r, "s"), SOCK_STREAM, 1));
	was = look(path(r, "s")).st_ino;
	/* Its inode number isn't given out again, for this one has it still. */
	assert_int_equal(link(path(r, "s"), path(r, "link")), 0);
	serve(r, "s");
	assert_int_not_equal(look(path(r, "s")).st_ino, was);
	assert_true(somebody_listens(path(r, "s")));
	release(r);
}

static void socket_that_somebody_listens_on_is_left_alone(void **state)
{
	struct rig *r = *state;
	int fd = other_listens(path(r, "s"), SOCK_STREAM, 0), waiting;
	int datagrams = other_listens(path(r, "d"), SOCK_DGRAM, 0);
	struct rig second;

	ask(r, false, "s");
	refused(r, EADDRINUSE, "in-use", "path");
	/* One that has no room for more is there as well. */
	waiting = other_connects(path(r, "s"));
	refused(r, EADDRINUSE, "in-use", "path");
	if (waiting >= 0)
		close(waiting);
	assert_true(exists(path(r, "s")));
	ask(r, false, "d");
	refused(r, EADDRINUSE, "in-use", "path");
	assert_true(exists(path(r, "d")));
	close(datagrams);
	close(fd);
	/* And one of our own. */
	serve(r, "s");
	second = *r;
	refused(&second, EADDRINUSE, "in-use", "path");
	assert_true(somebody_listens(path(r, "s")));
	release(r);
}

static void what_is_no_socket_is_never_removed(void **state)
{
	static const char *const names[] = { "file", "folder", "fifo", "link",
					     "nowhere" };
	struct rig *r = *state;

	make_file(path(r, "file"), "text");
	assert_int_equal(mkdir(path(r, "folder"), 0700), 0);
	assert_int_equal(mkfifo(path(r, "fifo"), 0600), 0);
	/* To a stale socket: it isn't what was asked for. */
	close(other_listens(path(r, "stale"), SOCK_STREAM, 1));
	assert_int_equal(symlink("stale", path(r, "link")), 0);
	assert_int_equal(symlink("none", path(r, "nowhere")), 0);
	for (unsigned int i = 0; i < 5; i++) {
		struct stat was = look(path(r, names[i])), is;

		ask(r, false, names[i]);
		refused(r, EEXIST, "not-a-socket", "path");
		ask(r, true, names[i]);
		refused(r, EEXIST, "not-a-socket", "path");
		is = look(path(r, names[i]));
		assert_int_equal(was.st_ino, is.st_ino);
		assert_int_equal(was.st_mode, is.st_mode);
	}
	assert_int_equal(look(path(r, "file")).st_size, 4);
	assert_true(exists(path(r, "stale")));
	assert_false(exists(path(r, "none")));
}

static void path_that_is_none_is_refused(void **state)
{
	static const char *const paths[] = { "s",	"./s",	"/",
					     "/tmp/",	"",	"/tmp/.",
					     "/tmp/..", "../s", "/tmp/a\nb" };
	struct rig *r = *state;

	for (unsigned int i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		for (int client = 0; client < 2; client++) {
			ask(r, client, "s");
			strcpy(r->rq.vhost_user.path, paths[i]);
			refused(r, EINVAL, "bad-path", "path");
		}
	}
}

static void folder_has_to_be_there(void **state)
{
	struct rig *r = *state;

	make_file(path(r, "file"), "");
	for (int client = 0; client < 2; client++) {
		ask(r, client, "none/s");
		refused(r, ENOENT, "no-folder", "path");
		ask(r, client, "file/s");
		refused(r, ENOTDIR, "no-folder", "path");
	}
}

static void values_that_cant_be_are_refused(void **state)
{
	struct rig *r = *state;

	ask(r, false, "s")->queues = VHOST_QUEUES_MAX + 1;
	refused(r, EINVAL, "bad-value", "queues");
	ask(r, false, "s");
	r->rq.mtu = PORT_MTU_MIN - 1;
	refused(r, EINVAL, "bad-value", "mtu");
	strcpy(ask(r, true, "s")->owner, "root");
	refused(r, EINVAL, "bad-value", "owner");
	strcpy(ask(r, true, "s")->group, "root");
	refused(r, EINVAL, "bad-value", "group");
	ask(r, true, "s");
	r->rq.socket_mode = 0666;
	refused(r, EINVAL, "bad-value", "socket-mode");
	assert_false(exists(path(r, "s")));
}

/* A sockaddr_un has room for 107 bytes. */
static void only_the_name_has_to_be_short(void **state)
{
	struct rig *r = *state;
	char folder[101], name[96], at[PORT_PATH_MAX], link[PORT_PATH_MAX];
	struct rig client;
	int other;

	memset(folder, 'f', sizeof(folder) - 1);
	folder[sizeof(folder) - 1] = '\0';
	memset(name, 'n', sizeof(name) - 1);
	name[80] = '\0';
	assert_int_equal(mkdir(path(r, folder), 0700), 0);
	snprintf(at, sizeof(at), "%s/%s", folder, name);
	serve(r, at);
	snprintf(link, sizeof(link), "%s", path(r, "l"));
	assert_int_equal(symlink(path(r, at), link), 0);
	other = other_connects(link);
	accepts(r->g.fd[VHOST_GRANT_SOCKET], other);
	close(other);
	client = *r;
	ask(&client, true, at);
	assert_int_equal(acquire(&client), 0);
	accepts(r->g.fd[VHOST_GRANT_SOCKET], client.g.fd[VHOST_GRANT_SOCKET]);
	release(&client);
	release(r);
	assert_false(exists(path(r, at)));
	name[80] = 'n';
	ask(r, false, name);
	refused(r, ENAMETOOLONG, "bad-path", "path");
}

static void folder_that_is_exchanged_changes_nothing(void **state)
{
	struct rig *r = *state;

	assert_int_equal(mkdir(path(r, "a"), 0700), 0);
	serve(r, "a/s");
	assert_int_equal(rename(path(r, "a"), path(r, "b")), 0);
	assert_int_equal(mkdir(path(r, "a"), 0700), 0);
	close(other_listens(path(r, "a/s"), SOCK_STREAM, 1));
	assert_true(somebody_listens(path(r, "b/s")));
	release(r);
	assert_false(exists(path(r, "b/s")));
	assert_true(exists(path(r, "a/s")));
}

static void socket_that_isnt_ours_any_more_isnt_removed(void **state)
{
	struct rig *r = *state;
	int fd;

	serve(r, "s");
	assert_int_equal(unlink(path(r, "s")), 0);
	fd = other_listens(path(r, "s"), SOCK_STREAM, 1);
	release(r);
	assert_true(somebody_listens(path(r, "s")));
	close(fd);
	unlink(path(r, "s"));
	/* Nor is it a mistake where there is nothing at all. */
	serve(r, "s");
	assert_int_equal(unlink(path(r, "s")), 0);
	release(r);
}

static void server_can_listen_anew(void **state)
{
	struct rig *r = *state;
	int was, other;

	serve(r, "s");
	was = r->g.fd[VHOST_GRANT_SOCKET];
	/* Somebody has removed it. */
	assert_int_equal(unlink(path(r, "s")), 0);
	assert_int_equal(renew(r), 0);
	assert_true(somebody_listens(path(r, "s")));
	/* A switch gone mad has shut it down. */
	assert_int_equal(shutdown(was, SHUT_RDWR), 0);
	assert_false(somebody_listens(path(r, "s")));
	assert_int_equal(renew(r), 0);
	assert_int_equal(r->g.fd[VHOST_GRANT_SOCKET], was);
	assert_int_equal(fcntl(was, F_GETFD), FD_CLOEXEC);
	/* There was nothing to do. */
	assert_int_equal(renew(r), 0);
	other = other_connects(path(r, "s"));
	accepts(was, other);
	close(other);
	release(r);
	assert_false(exists(path(r, "s")));
}

static void server_that_cant_listen_anew_is_as_it_was(void **state)
{
	struct rig *r = *state;
	int other, theirs;

	serve(r, "s");
	other = other_connects(path(r, "s"));
	assert_int_equal(unlink(path(r, "s")), 0);
	theirs = other_listens(path(r, "s"), SOCK_STREAM, 1);
	assert_int_equal(renew(r), -EADDRINUSE);
	assert_string_equal(r->err.reason, "in-use");
	accepts(r->g.fd[VHOST_GRANT_SOCKET], other);
	close(other);
	close(theirs);
	assert_int_equal(renew(r), 0);
	assert_true(somebody_listens(path(r, "s")));
	release(r);
}

static void renewal_of_what_isnt_a_whole_grant_is_refused(void **state)
{
	struct rig *r = *state;

	serve(r, "s");
	r->g.nfds = VHOST_GRANT_RUN_FDS; /* what the other half has */
	assert_int_equal(renew(r), -EINVAL);
	assert_string_equal(r->err.reason, "bad-grant");
	r->g.nfds = VHOST_GRANT_FILE + 1;
	release(r);
}

/* ---- Whose it is ---- */

static void need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void owner_and_group_are_those_that_were_asked_for(void **state)
{
	struct rig *r = *state;
	struct vhost_user_params *p;
	struct stat st;

	need_root();
	p = ask(r, false, "s");
	snprintf(p->owner, sizeof(p->owner), "%d", USER);
	assert_int_equal(acquire(r), 0);
	st = look(path(r, "s"));
	assert_int_equal(st.st_uid, USER);
	assert_int_equal(st.st_gid, getegid());
	assert_int_equal(st.st_mode & 07777, 0600);
	/* It is ours all the same. */
	assert_int_equal(unlink(path(r, "s")), 0);
	assert_int_equal(renew(r), 0);
	assert_int_equal(look(path(r, "s")).st_uid, USER);
	release(r);
	assert_false(exists(path(r, "s")));
	snprintf(p->group, sizeof(p->group), "%d", GROUP);
	assert_int_equal(acquire(r), 0);
	st = look(path(r, "s"));
	assert_int_equal(st.st_uid, USER);
	assert_int_equal(st.st_gid, GROUP);
	assert_int_equal(st.st_mode & 07777, 0660);
	release(r);
	strcpy(p->owner, "");
	assert_int_equal(acquire(r), 0);
	assert_int_equal(look(path(r, "s")).st_uid, 0);
	assert_int_equal(look(path(r, "s")).st_gid, GROUP);
	release(r);
	/* What it left to somebody, who has died, is replaced. */
	close(other_listens(path(r, "s"), SOCK_STREAM, 1));
	assert_int_equal(chown(path(r, "s"), USER, GROUP), 0);
	assert_int_equal(acquire(r), 0);
	release(r);
}

static void mode_is_what_was_asked_for_after_a_renewal_too(void **state)
{
	struct rig *r = *state;

	ask(r, false, "s");
	r->rq.socket_mode = 0666;
	assert_int_equal(acquire(r), 0);
	assert_int_equal(look(path(r, "s")).st_mode & 07777, 0666);
	assert_int_equal(unlink(path(r, "s")), 0);
	assert_int_equal(renew(r), 0);
	assert_int_equal(look(path(r, "s")).st_mode & 07777, 0666);
	release(r);
}

static void owner_whom_nobody_knows_leaves_nothing_behind(void **state)
{
	struct rig *r = *state;

	strcpy(ask(r, false, "s")->owner, "no such user");
	refused(r, ENOENT, "no-such-user", "owner");
	strcpy(ask(r, false, "s")->group, "no such group");
	refused(r, ENOENT, "no-such-group", "group");
	assert_false(exists(path(r, "s")));
}

/* As a user, in a child: whether it ended well. */
static bool as_user(struct rig *r, void (*fn)(struct rig *r))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (setresgid(GROUP, GROUP, GROUP) < 0 ||
		    setresuid(USER, USER, USER) < 0)
			_exit(2);
		fn(r); /* a failed assertion calls exit() there */
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* In the child: cmocka's own asserts would go on with the other tests. */
#define CHECK(expression)                                                      \
	do {                                                                   \
		if (!(expression)) {                                           \
			dprintf(STDERR_FILENO, "line %d: %s (%s)\n", __LINE__, \
				#expression, r->err.message);                  \
			_exit(1);                                              \
		}                                                              \
	} while (0)

static bool not_permitted(struct rig *r, const char *param)
{
	unsigned int before = fds_count();

	return acquire(r) < 0 && !strcmp(r->err.reason, "not-permitted") &&
	       !strcmp(r->err.path, param) && fds_count() == before;
}

static void user_works_in_a_folder_of_his_own(struct rig *r)
{
	ask(r, false, "mine/s");
	CHECK(acquire(r) == 0);
	CHECK(look(path(r, "mine/s")).st_uid == USER);
	CHECK(somebody_listens(path(r, "mine/s")));
	vhost_user_release(&r->rq, &r->g);
	CHECK(!exists(path(r, "mine/s")));
	/* He can't give it away. */
	strcpy(ask(r, false, "mine/s")->owner, "root");
	CHECK(not_permitted(r, "owner"));
	strcpy(ask(r, false, "mine/s")->group, "root");
	CHECK(not_permitted(r, "group"));
	CHECK(!exists(path(r, "mine/s")));
}

static void user_is_refused_elsewhere(struct rig *r)
{
	ask(r, false, "theirs/new");
	CHECK(not_permitted(r, "path"));
	ask(r, false, "theirs/stale");
	CHECK(not_permitted(r, "path"));
	ask(r, true, "theirs/live");
	CHECK(not_permitted(r, "path"));
	ask(r, false, "theirs/live");
	CHECK(not_permitted(r, "path"));
	ask(r, true, "closed/s");
	CHECK(not_permitted(r, "path"));
	CHECK(exists(path(r, "theirs/stale")));
	CHECK(exists(path(r, "theirs/live")));
}

static void user_can_do_what_the_files_let_him(void **state)
{
	struct rig *r = *state;
	int live;

	need_root();
	assert_int_equal(chmod(r->dir, 0755), 0);
	assert_int_equal(mkdir(path(r, "mine"), 0700), 0);
	assert_int_equal(chown(path(r, "mine"), USER, GROUP), 0);
	assert_true(as_user(r, user_works_in_a_folder_of_his_own));
	assert_int_equal(mkdir(path(r, "theirs"), 0755), 0);
	assert_int_equal(mkdir(path(r, "closed"), 0700), 0);
	close(other_listens(path(r, "theirs/stale"), SOCK_STREAM, 1));
	live = other_listens(path(r, "theirs/live"), SOCK_STREAM, 8);
	assert_int_equal(chmod(path(r, "theirs/live"), 0600), 0);
	assert_true(as_user(r, user_is_refused_elsewhere));
	close(live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(socket_is_its_owners_and_somebody_can_connect),
		RIG(mtu_is_a_bridges_unless_it_is_given),
		RIG(state_is_empty_and_keeps_its_size),
		RIG(umask_takes_nothing_from_the_mode),
		RIG(stale_socket_is_replaced),
		RIG(socket_that_somebody_listens_on_is_left_alone),
		RIG(what_is_no_socket_is_never_removed),
		RIG(path_that_is_none_is_refused),
		RIG(folder_has_to_be_there),
		RIG(values_that_cant_be_are_refused),
		RIG(only_the_name_has_to_be_short),
		RIG(folder_that_is_exchanged_changes_nothing),
		RIG(socket_that_isnt_ours_any_more_isnt_removed),
		RIG(server_can_listen_anew),
		RIG(server_that_cant_listen_anew_is_as_it_was),
		RIG(renewal_of_what_isnt_a_whole_grant_is_refused),
		RIG(owner_and_group_are_those_that_were_asked_for),
		RIG(mode_is_what_was_asked_for_after_a_renewal_too),
		RIG(owner_whom_nobody_knows_leaves_nothing_behind),
		RIG(user_can_do_what_the_files_let_him),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
