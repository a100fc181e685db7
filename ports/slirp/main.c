/*
 * switchd-slirp: the other end of a `slirp` port. switchd starts it, with a
 * socket of frames as descriptor 3, and it ends with that; nobody else has a
 * use for it. See ports/slirp.h.
 *
 * Exit status: 0 the switch has closed the socket, 1 it can't do its work.
 */
#include "base/log.h"
#include "ports/slirp.h"
#include "ports/slirp/confine.h"
#include "ports/slirp/nat.h"

#include <errno.h>
#include <getopt.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct command {
	struct slirp_params params;
	struct slirp_settings settings;
	uint32_t mtu;
	uid_t uid;
	gid_t gid;
};

static void usage(FILE *to)
{
	fputs("usage: switchd-slirp [-4 NETWORK] [-6 PREFIX] [-f HOSTFWD] "
	      "[-n HOSTNAME]\n"
	      "                     [-m MTU] [-u UID:GID] [-l] [-r] [-V]\n"
	      "switchd starts it, see switchd-slirp(8)\n",
	      to);
}

static void take(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text);
}

/* 0: go on; else exit with *status. */
static int parse_args(int argc, char **argv, struct command *c, int *status)
{
	struct slirp_params *p = &c->params;
	int option;

	while ((option = getopt(argc, argv, "4:6:f:n:m:u:lrVh")) != -1) {
		*status = option == 'V' || option == 'h' ? 0 : 1;
		if (option == '4')
			take(p->ipv4, sizeof(p->ipv4), optarg);
		else if (option == '6')
			take(p->ipv6, sizeof(p->ipv6), optarg);
		else if (option == 'f')
			take(p->hostfwd, sizeof(p->hostfwd), optarg);
		else if (option == 'n')
			take(p->hostname, sizeof(p->hostname), optarg);
		else if (option == 'm')
			c->mtu = (uint32_t)strtoul(optarg, NULL, 10);
		else if (option == 'u' &&
			 sscanf(optarg, "%u:%u", &c->uid, &c->gid) == 2)
			continue;
		else if (option == 'l')
			p->loopback = true;
		else if (option == 'r')
			p->restricted = true;
		else {
			if (option == 'V')
				puts("switchd-slirp " PACKAGE_VERSION);
			else
				usage(*status ? stderr : stdout);
			return -1;
		}
	}
	*status = 1;
	if (optind == argc)
		return 0;
	usage(stderr);
	return -1;
}

/* What libslirp says a guest can make it say: not more often than log does. */
static void on_glib(const char *domain, GLogLevelFlags level, const char *text,
		    void *ctx)
{
	(void)domain;
	(void)ctx;
	if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
		log_warning("slirp", "%s", text);
	else
		log_debug("slirp", "%s", text);
}

/* Is somebody there to speak frames with? */
static int check_socket(struct error *err)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(SLIRP_CHILD_FD, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_SEQPACKET)
		return 0;
	return error_set(err, ENOTSOCK, "no-socket", NULL,
			 "descriptor %d isn't switchd's socket",
			 SLIRP_CHILD_FD);
}

/* All that can fail. */
static struct nat *start(struct command *c, struct error *err)
{
	struct nat *n;

	if (check_socket(err) < 0 || confine_begin(c->uid, c->gid, err) < 0 ||
	    slirp_settings_parse(&c->params, c->mtu, &c->settings, err) < 0)
		return NULL;
	n = nat_new(&c->params, &c->settings, SLIRP_CHILD_FD, err);
	if (n && confine_calls(err) < 0) {
		nat_free(n);
		return NULL;
	}
	return n;
}

static void say(const struct error *err)
{
	char word[SLIRP_WORD_MAX];
	int n = snprintf(word, sizeof(word), "ok");

	if (err)
		n = snprintf(word, sizeof(word), "%d %s %s %s", err->err,
			     err->reason, *err->path ? err->path : "-",
			     err->message);
	if (send(SLIRP_CHILD_FD, word, (size_t)n, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "switchd-slirp: %s\n",
			err ? err->message : strerror(errno));
}

int main(int argc, char **argv)
{
	/* Its end is that of the socket: whoever tells all processes to end
	 * tells the switch first. */
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };
	struct error err = { 0 };
	struct command c = { .mtu = 0 };
	struct nat *n;
	int status, r;

	if (parse_args(argc, argv, &c, &status) < 0)
		return status;
	for (unsigned int i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	g_log_set_default_handler(on_glib, NULL);
	n = start(&c, &err);
	say(n ? NULL : &err);
	if (!n)
		return 1;
	r = nat_run(n);
	nat_free(n);
	if (r < 0)
		log_err("slirp", "it ends: %s", strerror(-r));
	return r < 0;
}
