#include "ports/vhost_call.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CALLERS_MAX 64 /* threads */

/* Between two looks, and from a look to the second one. */
#define LOOK_NS	 100000000L
#define AGAIN_NS 1000000L

/* By default it's ignored: one that comes late hurts nobody. */
#define WAKE_SIGNAL SIGURG

struct caller {
	_Alignas(64) _Atomic uint64_t calls; /* odd: in one */
	_Atomic pid_t tid;		     /* 0: nobody's */
};

static struct caller callers[CALLERS_MAX];
static pthread_key_t caller_key; /* gives the thread's one back */
static pthread_once_t caller_once = PTHREAD_ONCE_INIT;
static _Thread_local struct caller *own;

static _Atomic bool resting; /* the guard; who calls wakes it up */
static sem_t wake;

/* ---- Who calls ---- */

static void give_back(void *arg)
{
	struct caller *c = arg;

	atomic_store(&c->tid, 0);
}

static void make_key(void)
{
	(void)pthread_key_create(&caller_key, give_back);
}

/* This thread's, or NULL. */
static struct caller *take(void)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);
	sigset_t set;

	(void)pthread_once(&caller_once, make_key);
	sigemptyset(&set);
	sigaddset(&set, WAKE_SIGNAL);
	for (unsigned int i = 0; i < CALLERS_MAX; i++) {
		struct caller *c = &callers[i];
		pid_t nobody = 0;

		if (!atomic_compare_exchange_strong(&c->tid, &nobody, tid))
			continue;
		if (pthread_setspecific(caller_key, c)) {
			atomic_store(&c->tid, 0);
			return NULL;
		}
		(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		own = c;
		return c;
	}
	return NULL;
}

int vhost_call(int fd)
{
	struct caller *c = own ? own : take();
	const uint64_t one = 1;
	uint64_t calls;
	int r = 0;

	if (!c)
		return -ENOBUFS;
	calls = atomic_load_explicit(&c->calls, memory_order_relaxed);
	/* In this order, as the guard has the opposite one: one of the two sees
	 * the other. */
	atomic_store(&c->calls, calls + 1);
	if (atomic_load(&resting) && atomic_exchange(&resting, false))
		(void)sem_post(&wake);
	if (write(fd, &one, sizeof(one)) < 0)
		r = -errno;
	atomic_store_explicit(&c->calls, calls + 2, memory_order_release);
	return r;
}

/* ---- The guard ---- */

static void on_wake(int sig)
{
	(void)sig;
}

static void nap(long ns)
{
	const struct timespec t = { .tv_nsec = ns };

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static uint64_t calls_of(unsigned int i)
{
	return atomic_load(&callers[i].calls);
}

/* Note how many calls there were. Returns whether anything is different, or
 * somebody is in one. */
static bool look(uint64_t seen[CALLERS_MAX])
{
	bool busy = false;

	for (unsigned int i = 0; i < CALLERS_MAX; i++) {
		uint64_t calls = calls_of(i);

		busy |= calls != seen[i] || calls & 1;
		seen[i] = calls;
	}
	return busy;
}

/* Who is still in the call that was seen. */
static void wake_up(const uint64_t seen[CALLERS_MAX])
{
	for (unsigned int i = 0; i < CALLERS_MAX; i++) {
		pid_t tid = atomic_load(&callers[i].tid);

		if (tid && seen[i] & 1 && calls_of(i) == seen[i])
			(void)syscall(SYS_tgkill, getpid(), tid, WAKE_SIGNAL);
	}
}

static bool anybody_in(const uint64_t seen[CALLERS_MAX])
{
	for (unsigned int i = 0; i < CALLERS_MAX; i++)
		if (seen[i] & 1)
			return true;
	return false;
}

static void *guard(void *arg)
{
	uint64_t seen[CALLERS_MAX] = { 0 };

	(void)arg;
	pthread_setname_np(pthread_self(), "calls");
	for (;;) {
		if (look(seen)) {
			if (anybody_in(seen)) {
				nap(AGAIN_NS);
				wake_up(seen);
			}
			nap(LOOK_NS);
			continue;
		}
		atomic_store(&resting, true);
		/* Somebody may have come who didn't see that. */
		if (look(seen) && atomic_exchange(&resting, false))
			continue;
		while (sem_wait(&wake) < 0)
			;
	}
	return NULL;
}

static int guard_start(void)
{
	sigset_t all, old;
	pthread_t thread;
	int r;

	if (sem_init(&wake, 0, 0) < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, NULL, guard, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return -r;
	(void)pthread_detach(thread);
	return 0;
}

int vhost_call_guard(void)
{
	/* No SA_RESTART: it ends what waits. */
	struct sigaction sa = { .sa_handler = on_wake };
	static bool there;
	int r;

	if (there)
		return 0;
	sigemptyset(&sa.sa_mask);
	if (sigaction(WAKE_SIGNAL, &sa, NULL) < 0)
		return -errno;
	r = guard_start();
	there = r == 0;
	return r;
}
