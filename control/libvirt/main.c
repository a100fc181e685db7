/*
 * switchd-libvirt - ports for libvirt's guests
 *
 * Follows the domains of a libvirt connection and has the switch have a port
 * for each of their interfaces that is ours to serve. It keeps nothing of its
 * own: what there should be says libvirt, what there is the switch. So it may
 * end at any moment, and does so at once when asked, whatever it waits for.
 */
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/libvirt/sync.h"

static void usage(FILE *out)
{
	fputs("usage: switchd-libvirt [-1n] [-c URI] [-l MODULE=LEVEL] "
	      "[-o OWNER] [-s SOCKET]\n",
	      out);
}

/* As whom libvirt's system instance runs QEMU, if there is one: Debian's name
 * and others'. A session's QEMU runs as the user himself. */
static const char *default_owner(const char *uri)
{
	static const char *const names[] = { "libvirt-qemu", "qemu" };

	if (uri ? strstr(uri, "/session") != NULL : geteuid() != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (getpwnam(names[i]))
			return names[i];
	return NULL;
}

static void on_signal(int number)
{
	(void)number;
	_exit(EXIT_SUCCESS);
}

static void end_when_asked(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* Returns an exit status, or -1: go on. */
static int options_read(int argc, char **argv, struct sync_options *o)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	bool owner = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "1c:hl:no:s:V", options, NULL)) !=
	       -1) {
		switch (opt) {
		case '1':
			o->once = true;
			break;
		case 'c':
			o->uri = optarg;
			break;
		case 'h':
			usage(stdout);
			return SYNC_DONE;
		case 'l':
			if (log_set_level(optarg) < 0) {
				usage(stderr);
				return SYNC_USAGE;
			}
			break;
		case 'n':
			o->dry_run = true;
			break;
		case 'o':
			o->owner = *optarg ? optarg : NULL;
			owner = true;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'V':
			puts("switchd-libvirt " PACKAGE_VERSION);
			return SYNC_DONE;
		default:
			usage(stderr);
			return SYNC_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return SYNC_USAGE;
	}
	if (!owner)
		o->owner = default_owner(o->uri);
	return -1;
}

int main(int argc, char **argv)
{
	struct sync_options options = { 0 };
	int status = options_read(argc, argv, &options);

	if (status >= 0)
		return status;
	end_when_asked();
	status = sync_run(&options);
	if (fflush(stdout) && !status) {
		perror("switchd-libvirt: standard output");
		status = SYNC_REFUSED;
	}
	return status;
}
