/*
 * switchd: command line, daemonising, exit status. The program is one of three:
 * the monitor (monitor.c) where root starts it, the switch process that a
 * monitor makes (daemon.c, confined by isolate.c), or both in one without
 * privilege.
 *
 * Exit status: 0 ended by TERM or INT, 1 can't start, 2 wrong usage.
 */
#include "base/log.h"
#include "switchd/broker.h"
#include "switchd/daemon.h"
#include "switchd/isolate.h"
#include "switchd/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef HAVE_BPF
#define BUILT_WITHOUT ""
#else
#define BUILT_WITHOUT " (without the kernel fast path)"
#endif

#define LISTEN_FDS_KEPT 16 /* we take one */
#define ARGS_MAX	48 /* of the processes that the monitor makes */

/* What the command line says. */
struct command {
	struct daemon_options daemon;
	bool foreground;
	/* The monitor's own arguments, see monitor.h. */
	bool is_switch;
	unsigned int uid, gid;
	int resume_fd, fallback_fd;
	/* The same line again, for other processes. */
	char *argv[ARGS_MAX + 1];
	unsigned int argc;
};

enum { OPT_SWITCH = 256, OPT_RESUME, OPT_FALLBACK };

static void usage(FILE *to)
{
	fputs("usage: switchd [-f] [-c CONFIG] [-s SOCKET] [-w WORKERS] "
	      "[-l MODULE=LEVEL] [-V]\n"
	      "  -f  stay in the foreground\n"
	      "  -c  configuration file, see switchd.conf(5)\n"
	      "  -s  control socket\n"
	      "  -w  datapath threads, 1 to 8\n"
	      "  -l  log level, such as debug or port=debug,control=err\n"
	      "  -V  print the version\n",
	      to);
}

static int parse_workers(const char *text, unsigned int *workers)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || n < 1 || n > SWITCH_WORKERS_MAX)
		return -1;
	*workers = (unsigned int)n;
	return 0;
}

/* Have an option again in the processes to come. */
static void argv_add(struct command *c, const char *option, char *value)
{
	if (c->argc + 2 > ARGS_MAX)
		return;
	c->argv[c->argc++] = (char *)(uintptr_t)option;
	if (value)
		c->argv[c->argc++] = value;
}

static int parse_number(const char *text, int *n)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 0 || value > INT_MAX)
		return -1;
	*n = (int)value;
	return 0;
}

/* Of those by which the monitor starts itself and the switch. */
static int parse_internal(struct command *c, int option, const char *value)
{
	switch (option) {
	case OPT_SWITCH:
		c->is_switch = true;
		return sscanf(value, "%u:%u", &c->uid, &c->gid) == 2 ? 0 : -1;
	case OPT_RESUME:
		return parse_number(value, &c->resume_fd);
	case OPT_FALLBACK:
		return parse_number(value, &c->fallback_fd);
	default:
		return -1;
	}
}

static int parse_level(struct command *c, char *spec)
{
	if (log_set_level(spec) == 0) {
		argv_add(c, "-l", spec);
		return 0;
	}
	fprintf(stderr,
		"switchd: -l %s: write LEVEL or MODULE=LEVEL; levels are err, "
		"warning, notice, info, debug\n",
		spec);
	return -1;
}

static int parse_option(struct command *c, int option, char *value)
{
	switch (option) {
	case 'f':
		c->foreground = true;
		return 0;
	case 'c':
		c->daemon.config = value;
		return 0;
	case 's':
		c->daemon.socket = value;
		return 0;
	case 'w':
		if (parse_workers(value, &c->daemon.workers) == 0) {
			argv_add(c, "-w", value);
			return 0;
		}
		fprintf(stderr, "switchd: -w takes 1 to %d\n",
			SWITCH_WORKERS_MAX);
		return -1;
	case 'l':
		return parse_level(c, value);
	default:
		if (parse_internal(c, option, value) == 0)
			return 0;
		usage(stderr);
		return -1;
	}
}

/* 0: go on; else exit with *status. */
static int parse_args(int argc, char **argv, struct command *c, int *status)
{
	static const struct option long_options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "switch", required_argument, NULL, OPT_SWITCH },
		{ "resume", required_argument, NULL, OPT_RESUME },
		{ "fallback", required_argument, NULL, OPT_FALLBACK },
		{ 0 },
	};
	int option;

	*status = 2;
	while ((option = getopt_long(argc, argv, "fc:s:w:l:Vh", long_options,
				     NULL)) != -1) {
		if (option == 'V' || option == 'h') {
			*status = 0;
			if (option == 'V')
				puts(PACKAGE_STRING BUILT_WITHOUT);
			else
				usage(stdout);
			return -1;
		}
		if (parse_option(c, option, optarg) < 0)
			return -1;
	}
	if (optind == argc)
		return 0;
	usage(stderr);
	return -1;
}

/*
 * Fork into the background. The parent stays until the child says through the
 * pipe that it's ready, so that `switchd && switchctl ..` works; then exits
 * with the child's word. Returns the pipe's end in the child, or -1.
 */
static int background(void)
{
	char word = 1;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid > 0) {
		close(fds[1]);
		if (read(fds[0], &word, 1) != 1)
			word = 1; /* died without a word: it has said why */
		_exit(word);
	}
	close(fds[0]);
	setsid();
	return fds[1];
}

/*
 * A path that still means the same file after chdir("/"); `path` itself where
 * it is one already or can't be resolved.
 */
static const char *absolute(const char *path, char *buf, size_t size)
{
	char cwd[PATH_MAX];

	if (!path || path[0] == '/' || !getcwd(cwd, sizeof(cwd)) ||
	    snprintf(buf, size, "%s/%s", cwd, path) >= (int)size)
		return path;
	return buf;
}

/* Tell the parent that all is well, and let go of the terminal. */
static void detach(int fd)
{
	char word = 0;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (chdir("/") < 0 || write(fd, &word, 1) != 1)
		log_warning("daemon", "%s", strerror(errno));
	close(fd);
}

/*
 * Descriptors that whoever started us forgot to close, a lock perhaps, aren't
 * ours to hold; but those of LISTEN_FDS are.
 */
static void close_inherited(void)
{
	const char *fds = getenv("LISTEN_FDS");
	unsigned int n = fds ? (unsigned int)strtoul(fds, NULL, 10) : 0;

	if (n > LISTEN_FDS_KEPT)
		n = LISTEN_FDS_KEPT;
	if (close_range(STDERR_FILENO + 1 + n, ~0U, 0) < 0)
		log_warning("daemon", "close_range: %s", strerror(errno));
}

/* A port takes up to four descriptors; the usual soft limit is 1024. */
static void raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur == r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		log_warning("daemon", "RLIMIT_NOFILE: %s", strerror(errno));
}

static void say_error(const struct error *err)
{
	fprintf(stderr, "switchd: %s%s%s (%s)\n", err->message,
		*err->path ? ", at " : "", err->path, err->reason);
}

static void ready(void *ctx)
{
	const int *fd = ctx;

	if (*fd >= 0)
		detach(*fd);
}

/* The whole switch, or a monitor's switch process. */
static int run_daemon(struct command *c, int background_fd)
{
	struct error err = { 0 };
	/* Static: where another process takes over it's never freed. */
	static struct daemon *d;
	int status;

	c->daemon.monitored = c->is_switch;
	d = daemon_new(&c->daemon, &err);
	if (!d) {
		say_error(&err);
		return 1;
	}
	ready(&background_fd);
	status = daemon_run(d);
	if (!d->handed_over)
		daemon_free(d);
	return status;
}

static int run_switch(struct command *c)
{
	struct error err = { 0 };

	json_object_seed(0); /* from /dev/urandom, while there is one */
	if (isolate(c->uid, c->gid, &err) < 0) {
		say_error(&err);
		return 1;
	}
	return run_daemon(c, -1);
}

static int run_monitor(struct command *c, int background_fd)
{
	struct monitor_options o = {
		.config = c->daemon.config,
		.socket = c->daemon.socket,
		.argv = c->argv,
		.resume_fd = c->resume_fd,
		.fallback_fd = c->fallback_fd,
		.ready = ready,
		.ctx = &background_fd,
	};

	return monitor_run(&o);
}

int main(int argc, char **argv)
{
	static char config[PATH_MAX], sock[PATH_MAX], name[] = "switchd";
	struct command c = { .resume_fd = -1, .fallback_fd = -1 };
	int status, fd = -1;

	argv_add(&c, name, NULL);
	argv_add(&c, "-f", NULL);
	if (parse_args(argc, argv, &c, &status) < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if (c.is_switch)
		return run_switch(&c);
	if (c.resume_fd < 0) {
		close_inherited();
		raise_descriptors();
	}
	c.daemon.config = absolute(c.daemon.config, config, sizeof(config));
	c.daemon.socket = absolute(c.daemon.socket, sock, sizeof(sock));
	if (c.daemon.config)
		argv_add(&c, "-c", (char *)(uintptr_t)c.daemon.config);
	if (c.daemon.socket)
		argv_add(&c, "-s", (char *)(uintptr_t)c.daemon.socket);
	if (!c.foreground && (fd = background()) < 0) {
		fprintf(stderr, "switchd: %s\n", strerror(errno));
		return 1;
	}
	return geteuid() == 0 ? run_monitor(&c, fd) : run_daemon(&c, fd);
}
