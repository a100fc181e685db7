#include "ports/pcap_filter.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One compilation: the caller's until it's abandoned, then the thread's. */
struct job {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done, abandoned; /* under the lock */
	int rc;
	struct bpf_program program;
	struct error err;
	char expression[]; /* a copy: the caller's may be gone */
};

static atomic_uint jobs_late;

/* Takes whatever is left of the program along. */
static void job_free(struct job *job)
{
	pcap_freecode(&job->program);
	pthread_cond_destroy(&job->ended);
	pthread_mutex_destroy(&job->lock);
	free(job);
}

static struct job *job_new(const char *expression)
{
	size_t size = strlen(expression) + 1;
	struct job *job = calloc(1, sizeof(*job) + size);
	pthread_condattr_t attr;

	if (!job)
		return NULL;
	memcpy(job->expression, expression, size);
	pthread_mutex_init(&job->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&job->ended, &attr);
	pthread_condattr_destroy(&attr);
	return job;
}

/* A name may be right and the switch confined: what to do about it? */
static const char *advice(const char *libpcap_said)
{
	return strncmp(libpcap_said, "unknown ", 8)
		       ? ""
		       : ": write addresses and numbers instead of names";
}

static int job_compile(struct job *job)
{
	pcap_t *pc = pcap_open_dead(DLT_EN10MB, PCAP_SNAPLEN_MAX);
	int rc = 0;

	if (!pc)
		return error_set(&job->err, ENOMEM, "no-memory", NULL,
				 "no memory for a filter");
	if (pcap_compile(pc, &job->program, job->expression, 1,
			 PCAP_NETMASK_UNKNOWN) < 0)
		rc = error_set(&job->err, EINVAL, "bad-filter", "filter",
			       "%s%s, in the filter \"%s\"", pcap_geterr(pc),
			       advice(pcap_geterr(pc)), job->expression);
	pcap_close(pc);
	return rc;
}

static void *job_run(void *arg)
{
	struct job *job = arg;
	bool late;

	pthread_setname_np(pthread_self(), "pcap-filter");
	job->rc = job_compile(job);
	pthread_mutex_lock(&job->lock);
	job->done = true;
	late = job->abandoned;
	pthread_cond_signal(&job->ended);
	pthread_mutex_unlock(&job->lock);
	if (late) {
		job_free(job);
		atomic_fetch_sub(&jobs_late, 1);
	}
	return NULL;
}

static int job_start(struct job *job, pthread_t *thread)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, NULL, job_run, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

/* Returns true where it's done; else it belongs to its thread from now on. */
static bool job_wait(struct job *job, pthread_t thread)
{
	uint64_t end = clock_ns() + PCAP_FILTER_NS;
	struct timespec ts = { .tv_sec = (time_t)(end / CLOCK_NS_PER_S),
			       .tv_nsec = (long)(end % CLOCK_NS_PER_S) };
	bool done;

	pthread_mutex_lock(&job->lock);
	while (!job->done && pthread_cond_timedwait(&job->ended, &job->lock,
						    &ts) != ETIMEDOUT)
		;
	done = job->done;
	if (!done) {
		job->abandoned = true;
		atomic_fetch_add(&jobs_late, 1);
		pthread_detach(thread);
	}
	pthread_mutex_unlock(&job->lock);
	if (done)
		pthread_join(thread, NULL);
	return done;
}

int pcap_filter_compile(const char *expression, struct bpf_program *program,
			struct error *err)
{
	pthread_t thread;
	struct job *job;
	int rc;

	if (atomic_load(&jobs_late) >= PCAP_FILTER_LATE)
		return error_set(err, EBUSY, "bad-filter", "filter",
				 "names in %d earlier filters are still being "
				 "looked up",
				 PCAP_FILTER_LATE);
	job = job_new(expression);
	if (!job)
		return error_set(err, ENOMEM, "no-memory", NULL,
				 "no memory for a filter");
	rc = job_start(job, &thread);
	if (rc < 0) {
		error_set(err, -rc, "no-memory", NULL, "thread: %s",
			  strerror(-rc));
		goto out;
	}
	if (!job_wait(job, thread))
		return error_set(err, ETIMEDOUT, "bad-filter", "filter",
				 "a name in the filter didn't resolve within "
				 "%d s: write addresses",
				 (int)(PCAP_FILTER_NS / CLOCK_NS_PER_S));
	rc = job->rc;
	if (rc < 0) {
		if (err)
			*err = job->err;
	} else {
		*program = job->program;
		memset(&job->program, 0, sizeof(job->program));
	}
out:
	job_free(job);
	return rc;
}
