/*
 * switchd: command line, daemonising, exit status. The rest is daemon.c.
 *
 * Exit status: 0 ended by TERM or INT, 1 can't start, 2 wrong usage.
 */
#include "base/log.h"
#include "switchd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define LISTEN_FDS_KEPT 16 /* we take one */

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

/* 0: go on; else exit with *status. */
static int parse_args(int argc, char **argv, struct daemon_options *o,
		      bool *foreground, int *status)
{
	static const struct option long_options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c;

	*status = 2;
	while ((c = getopt_long(argc, argv, "fc:s:w:l:Vh", long_options,
				NULL)) != -1) {
		switch (c) {
		case 'f':
			*foreground = true;
			break;
		case 'c':
			o->config = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'w':
			if (parse_workers(optarg, &o->workers) == 0)
				break;
			fprintf(stderr, "switchd: -w takes 1 to %d\n",
				SWITCH_WORKERS_MAX);
			return -1;
		case 'l':
			if (log_set_level(optarg) == 0)
				break;
			fprintf(stderr,
				"switchd: -l %s: write LEVEL or MODULE=LEVEL; "
				"levels are err, warning, notice, info, debug\n",
				optarg);
			return -1;
		case 'V':
			puts(PACKAGE_STRING);
			*status = 0;
			return -1;
		case 'h':
			usage(stdout);
			*status = 0;
			return -1;
		default:
			usage(stderr);
			return -1;
		}
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

int main(int argc, char **argv)
{
	static char config[PATH_MAX], sock[PATH_MAX];
	struct daemon_options o = { 0 };
	struct error err = { 0 };
	bool foreground = false;
	struct daemon *d;
	int status, fd = -1;

	if (parse_args(argc, argv, &o, &foreground, &status) < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	close_inherited();
	raise_descriptors();
	o.config = absolute(o.config, config, sizeof(config));
	o.socket = absolute(o.socket, sock, sizeof(sock));
	if (!foreground && (fd = background()) < 0) {
		fprintf(stderr, "switchd: %s\n", strerror(errno));
		return 1;
	}
	d = daemon_new(&o, &err);
	if (!d) {
		fprintf(stderr, "switchd: %s%s%s (%s)\n", err.message,
			*err.path ? ", at " : "", err.path, err.reason);
		return 1;
	}
	if (!foreground)
		detach(fd);
	status = daemon_run(d);
	daemon_free(d);
	return status;
}
