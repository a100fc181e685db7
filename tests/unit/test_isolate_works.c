/* What the switch needs, and an isolated process still can. */
#include "ports/pcap_filter.h"
#include "ports/vhost_mem.h"
#include "tests/unit/fds.h"
#include "tests/unit/isolate_fixture.h"

#include <event2/event.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static void *thread_main(void *arg)
{
	pthread_setname_np(pthread_self(), "worker7");
	free(malloc(1000000));
	return arg;
}

static void child_uses_threads(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec now;
	pthread_t t[3];
	sigset_t all;
	void *out;

	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
	for (uintptr_t i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, thread_main, (void *)i) == 0);
	for (uintptr_t i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], &out) == 0 && out == (void *)i);
	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&lock);
	CHECK(pthread_cond_timedwait(&cond, &lock, &now) == ETIMEDOUT);
	pthread_mutex_unlock(&lock);
	CHECK(sched_yield() == 0);
	CHECK(pthread_kill(pthread_self(), 0) == 0);
}

static void threads_work(void **state)
{
	(void)state;
	HOLDS(child_uses_threads);
}

static void child_shares_memory(void)
{
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint32_t *a, *b, word;

	CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
	a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(a != MAP_FAILED && b != MAP_FAILED);
	*a = 42;
	CHECK(*(volatile uint32_t *)b == 42);
	CHECK(pread(fd, &word, sizeof(word), 0) == sizeof(word) && word == 42);
	CHECK(pwrite(fd, &word, sizeof(word), 8) == sizeof(word) && b[2] == 42);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	CHECK_ERRNO(ftruncate(fd, 0), EPERM);
	(void)madvise(a, 4096, MADV_HUGEPAGE);
	CHECK(munmap(a, 4096) == 0 && munmap(b, 4096) == 0);
}

static void memory_is_shared(void **state)
{
	(void)state;
	HOLDS(child_shares_memory);
}

static void child_loses_a_guests_memory(void)
{
	int fd = memfd_create("x", MFD_CLOEXEC);
	struct vhost_mem mem = { 0 };
	volatile uint8_t *p;

	CHECK(fd >= 0 && ftruncate(fd, 8192) == 0);
	CHECK(vhost_mem_add(&mem, 0, 8192, 0, 0, fd, NULL) == 0);
	p = mem.region[0].host;
	*p = 1;
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(*p == 0 && vhost_mem_lost(&mem));
	vhost_mem_fini(&mem);
}

static void guests_memory_can_be_taken_away(void **state)
{
	(void)state;
	HOLDS(child_loses_a_guests_memory);
}

static void child_waits_for_events(void)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1 };
	struct epoll_event ev = { .events = EPOLLIN }, got[2];
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t n = 3;

	CHECK(ep >= 0 && efd >= 0 && tfd >= 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, efd, &ev) == 0);
	CHECK(write(efd, &n, sizeof(n)) == sizeof(n));
	CHECK(epoll_wait(ep, got, 2, 10000) == 1);
	CHECK(read(efd, &n, sizeof(n)) == sizeof(n) && n == 3);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, tfd, &ev) == 0);
	CHECK(timerfd_settime(tfd, 0, &soon, NULL) == 0);
	CHECK(epoll_wait(ep, got, 2, 10000) == 1);
}

static void events_and_timers_work(void **state)
{
	(void)state;
	HOLDS(child_waits_for_events);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	event_base_loopbreak(arg);
}

static void child_runs_a_loop(void)
{
	struct event_base *base = event_base_new();
	struct timeval deadline = { .tv_sec = 10 };
	struct event *term;

	CHECK(base);
	term = evsignal_new(base, SIGTERM, on_signal, base);
	CHECK(term && event_add(term, NULL) == 0);
	CHECK(event_base_loopexit(base, &deadline) == 0);
	CHECK(raise(SIGTERM) == 0);
	CHECK(event_base_dispatch(base) == 0);
	CHECK(event_base_got_break(base));
	event_free(term);
	event_base_free(base);
}

static void libevents_loop_and_signals_work(void **state)
{
	(void)state;
	HOLDS(child_runs_a_loop);
}

/* The monitor's end and the switch's, with a descriptor on its way. */
static int calls[2];

static void child_receives(void)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd;

	CHECK(recvmsg(calls[1], &msg, MSG_CMSG_CLOEXEC) == 1);
	c = CMSG_FIRSTHDR(&msg);
	CHECK(c && c->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	CHECK(write(fd, "taken", 5) == 5);
	CHECK(send(calls[1], "ok", 2, MSG_NOSIGNAL) == 2);
}

static void descriptors_come_and_are_written_to(void **state)
{
	int fds[2], status;
	char text[8];

	(void)state;
	need_root();
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, calls),
		0);
	assert_int_equal(fds_send(calls[0], "x", 1, &fds[1], 1), 1);
	status = run(child_receives);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], text, sizeof(text)), 5);
	assert_int_equal(recv(calls[0], text, sizeof(text), 0), 2);
	close(fds[0]);
	close(fds[1]);
	close(calls[0]);
	close(calls[1]);
}

/* ---- A vhost-user port: a socket that the monitor has bound ---- */

#define MEMORY 8192 /* two pages */

static int listener;

static void receive_memory(int from, int fds[2])
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(2 * sizeof(int))];
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;

	CHECK(recvmsg(from, &msg, MSG_CMSG_CLOEXEC) == 1);
	c = CMSG_FIRSTHDR(&msg);
	CHECK(c && c->cmsg_len == CMSG_LEN(2 * sizeof(int)));
	memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
}

/* Whose memory is cut short under us, too. */
static void child_speaks_with_a_front_end(void)
{
	struct vhost_mem mem = { .n = 0 };
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int fds[2]; /* of memory, an event's */
	uint64_t one = 1, room = MEMORY;
	uint32_t hint = 0;
	struct error err;
	uint8_t *at;

	CHECK(fd >= 0);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0);
	CHECK(peer.uid == 0);
	receive_memory(fd, fds);
	CHECK(vhost_mem_guard() == 0);
	CHECK(vhost_mem_add(&mem, 0, MEMORY, 0x10000, 0, fds[0], &err) == 0);
	at = vhost_mem_at(&mem, 0, &room, &hint);
	CHECK(at && room == MEMORY && !memcmp(at, "guest", 5) &&
	      memcpy(at, "taken", 5));
	CHECK(write(fds[1], &one, sizeof(one)) == sizeof(one));
	CHECK(!vhost_mem_lost(&mem));
	CHECK(ftruncate(fds[0], MEMORY / 2) == 0);
	CHECK(*(volatile uint8_t *)(at + MEMORY / 2) == 0);
	CHECK(vhost_mem_lost(&mem));
	vhost_mem_fini(&mem);
	CHECK(shutdown(fd, SHUT_RDWR) == 0);
}

static void front_end_is_spoken_with_and_its_memory_guarded(void **state)
{
	static const char name[] = "switchd_test_isolate_works";
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len;
	int other, status, fds[2];
	char text[8] = "";
	uint64_t n;

	(void)state;
	need_root();
	/* An abstract name: the child couldn't reach it, nor need it. */
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			  (unsigned int)snprintf(a.sun_path + 1,
						 sizeof(a.sun_path) - 1,
						 "%s.%d", name, (int)getpid()));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(connect(other, (struct sockaddr *)&a, len), 0);
	fds[0] = memfd_create("guest", MFD_CLOEXEC);
	fds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(ftruncate(fds[0], MEMORY), 0);
	assert_int_equal(pwrite(fds[0], "guest", 5, 0), 5);
	assert_int_equal(fds_send(other, "x", 1, fds, 2), 1);
	status = run(child_speaks_with_a_front_end);
	assert_int_equal(status, 0);
	assert_int_equal(pread(fds[0], text, 5, 0), 5);
	assert_string_equal(text, "taken");
	assert_int_equal(read(fds[1], &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	close(other);
	close(listener);
	close(fds[0]);
	close(fds[1]);
}

static void child_asks_netlink(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} ask = { .h = { .nlmsg_len = sizeof(ask),
			 .nlmsg_type = RTM_GETLINK,
			 .nlmsg_flags = NLM_F_REQUEST },
		  .i = { .ifi_index = 1 } };
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_LINK };
	struct nlmsghdr answer[1024];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int size = 65536;
	char name[IF_NAMESIZE];

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&nl, sizeof(nl)) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
	nl.nl_groups = 0;
	CHECK(sendto(fd, &ask, sizeof(ask), 0, (struct sockaddr *)&nl,
		     sizeof(nl)) == sizeof(ask));
	CHECK(recv(fd, answer, sizeof(answer), 0) > 0);
	CHECK(answer[0].nlmsg_type == RTM_NEWLINK);
	ask.h.nlmsg_type = RTM_DELLINK;
	ask.h.nlmsg_flags |= NLM_F_ACK;
	CHECK(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	CHECK(recv(fd, answer, sizeof(answer), 0) > 0);
	CHECK(answer[0].nlmsg_type == NLMSG_ERROR);
	CHECK(((struct nlmsgerr *)NLMSG_DATA(answer))->error == -EPERM);
	CHECK(if_nametoindex("lo") == 1 && if_indextoname(1, name));
}

static void links_can_be_asked_for_but_not_changed(void **state)
{
	(void)state;
	HOLDS(child_asks_netlink);
}

static void child_compiles(void)
{
	struct bpf_program program;
	struct error err;

	CHECK(pcap_filter_compile("arp or icmp", &program, &err) == 0);
	pcap_freecode(&program);
}

static void filters_compile_on_their_thread(void **state)
{
	(void)state;
	HOLDS(child_compiles);
}

static void child_reads_json(void)
{
	json_t *j = json_loads("{\"a\":[1,2.5,\"x\"]}", 0, NULL);
	char *text = json_dumps(j, JSON_COMPACT);

	CHECK(text && !strcmp(text, "{\"a\":[1,2.5,\"x\"]}"));
	free(text);
	json_decref(j);
}

static void json_works(void **state)
{
	(void)state;
	HOLDS(child_reads_json);
}

/* With everything that runs then: LeakSanitizer, where there is one. */
static void child_exits(void)
{
	exit(0);
}

static void process_exits_as_usual(void **state)
{
	(void)state;
	HOLDS(child_exits);
}

static void child_aborts(void)
{
	abort();
}

static void abort_is_seen_as_such(void **state)
{
	int status = run(child_aborts);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_work),
		cmocka_unit_test(memory_is_shared),
		cmocka_unit_test(guests_memory_can_be_taken_away),
		cmocka_unit_test(events_and_timers_work),
		cmocka_unit_test(libevents_loop_and_signals_work),
		cmocka_unit_test(descriptors_come_and_are_written_to),
		cmocka_unit_test(
			front_end_is_spoken_with_and_its_memory_guarded),
		cmocka_unit_test(links_can_be_asked_for_but_not_changed),
		cmocka_unit_test(filters_compile_on_their_thread),
		cmocka_unit_test(json_works),
		cmocka_unit_test(process_exits_as_usual),
		cmocka_unit_test(abort_is_seen_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
