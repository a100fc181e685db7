/*
 * switchd-helper - a TAP on the switch for a QEMU without root
 *
 * Takes the place of qemu-bridge-helper: QEMU's `-netdev tap,helper=PROG`
 * runs it with `--use-vnet --fd=N --br=PROFILE` and expects a TAP's
 * descriptor over the Unix socket N. We ask the daemon for one; it checks who
 * we are (SO_PEERCRED) and its access list. So this program needs no
 * privilege and must not have any.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/rpc_client.h"

/* QEMU's own start waits for us. */
#define CALL_MS 30000

static void usage(FILE *out)
{
	fputs("usage: switchd-helper [--use-vnet] --fd=N --br=PROFILE\n"
	      "For QEMU: -netdev tap,id=net0,br=PROFILE,helper=PATH\n",
	      out);
}

/* The daemon picks the port's name. Its answer brings the descriptor. */
static int tap_get(struct rpc_client *client, const char *profile, int *fd,
		   struct error *e)
{
	json_t *params = json_pack("{s:s}", "profile", profile);
	int err;

	err = rpc_client_call(client, "helper.attach", params, NULL, fd,
			      CALL_MS, e);
	if (!err && *fd < 0)
		return error_set(e, EPROTO, "bad-reply", NULL,
				 "the daemon sent no descriptor");
	return err;
}

/*
 * The daemon's socket for us is named by $SWITCHD_HELPER_SOCKET, or lies
 * beside its control socket, which $SWITCHD_SOCKET names; else it's the
 * system's.
 */
static struct rpc_client *daemon_connect(struct error *e)
{
	const char *named = getenv("SWITCHD_HELPER_SOCKET");
	const char *beside = getenv("SWITCHD_SOCKET");
	char path[PATH_MAX];
	const char *slash;

	if (named && *named)
		return rpc_client_connect(named, e);
	if (!beside || !*beside)
		beside = RPC_SYSTEM_SOCKET;
	slash = strrchr(beside, '/');
	snprintf(path, sizeof(path), "%.*shelper.sock",
		 slash ? (int)(slash + 1 - beside) : 0, beside);
	return rpc_client_connect(path, e);
}

/* As qemu-bridge-helper does it: one byte, the descriptor with it. */
static int fd_send(int sock, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int complain(const struct error *e)
{
	fprintf(stderr, "switchd-helper: %s (%s%s%s)\n", e->message, e->reason,
		*e->path ? ", at " : "", e->path);
	return EXIT_FAILURE;
}

static int help_qemu(int sock, const char *profile)
{
	struct error e = { 0 };
	struct rpc_client *client = daemon_connect(&e);
	int fd, err;

	if (!client)
		return complain(&e);
	err = tap_get(client, profile, &fd, &e);
	rpc_client_free(client);
	if (err)
		return complain(&e);
	err = fd_send(sock, fd);
	close(fd);
	if (err) {
		fprintf(stderr,
			"switchd-helper: passing the TAP over descriptor %d: "
			"%s\n",
			sock, strerror(-err));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* A descriptor's number, or -1. */
static int fd_number(const char *text)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	return errno || end == text || *end || n < 0 || n > INT_MAX ? -1
								    : (int)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "use-vnet", no_argument, NULL, 'v' },
		{ "br", required_argument, NULL, 'b' },
		{ "fd", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	const char *profile = NULL;
	int opt, sock = -1;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'v':
			/*
			 * The TAP has a virtio_net_hdr in any case: QEMU asks
			 * the device (TUNGETIFF) and does as it says.
			 */
			break;
		case 'b':
			profile = optarg;
			break;
		case 'f':
			sock = fd_number(optarg);
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("switchd-helper " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return EXIT_FAILURE;
		}
	}
	if (!profile || sock < 0 || optind != argc) {
		usage(stderr);
		return EXIT_FAILURE;
	}
	return help_qemu(sock, profile);
}
