#include "switchd/helper.h"

#include "base/log.h"
#include "switchd/methods.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define ACL_INCLUDE_MAX 8 /* files that include files */

struct acl {
	const char *profile;
	struct error *err;
	bool allowed, denied;
};

static int acl_read(struct acl *a, const char *file, int depth);

static int acl_bad(struct acl *a, const char *file, unsigned int line)
{
	return error_set(a->err, EINVAL, "bad-acl", NULL,
			 "%s:%u: write allow NAME, deny NAME or include FILE",
			 file, line);
}

/* One line without its comment: a word and its argument, or nothing. */
static int acl_line(struct acl *a, char *line, const char *file, unsigned int n,
		    int depth)
{
	char *save = NULL, *word = strtok_r(line, " \t\r", &save);
	const char *arg = strtok_r(NULL, " \t\r", &save);
	bool matches;

	if (!word)
		return 0;
	if (!arg || strtok_r(NULL, " \t\r", &save))
		return acl_bad(a, file, n);
	matches = !strcmp(arg, "all") || !strcmp(arg, a->profile);
	if (!strcmp(word, "allow"))
		a->allowed |= matches;
	else if (!strcmp(word, "deny"))
		a->denied |= matches;
	else if (!strcmp(word, "include") && depth < ACL_INCLUDE_MAX)
		return acl_read(a, arg, depth + 1);
	else
		return acl_bad(a, file, n);
	return 0;
}

/* What can't be read to its end may have held a `deny`: an error. */
static int acl_read(struct acl *a, const char *file, int depth)
{
	FILE *f = fopen(file, "re");
	unsigned int n = 0;
	size_t size = 0;
	char *line = NULL;
	int r = 0;

	if (!f && depth > 0 && errno == ENOENT)
		return 0;
	if (!f)
		return error_set(a->err, errno, "bad-acl", NULL,
				 "can't read the ACL %s: %s", file,
				 strerror(errno));
	while (r == 0 && getline(&line, &size, f) >= 0) {
		line[strcspn(line, "#\n")] = '\0';
		r = acl_line(a, line, file, ++n, depth);
	}
	if (r == 0 && ferror(f))
		r = error_set(a->err, EIO, "bad-acl", NULL,
			      "can't read the ACL %s", file);
	free(line);
	fclose(f);
	return r;
}

int helper_acl_check(const char *file, const char *profile, struct error *err)
{
	struct acl a = { .profile = profile, .err = err };
	int r = acl_read(&a, file, 0);

	if (r < 0)
		return r;
	if (a.allowed && !a.denied)
		return 0;
	return error_set(err, EACCES, "helper-denied", "profile",
			 "%s doesn't allow profile \"%s\": it needs a line "
			 "\"allow %s\" and no deny for it",
			 file, profile, profile);
}

/* A user can't fill the switch with ports. */
static int check_share(struct daemon *d, uid_t uid, struct error *err)
{
	struct switch_port *p = NULL;
	uint32_t n = 0;

	while ((p = switch_port_next(d->sw, p)))
		n += p->origin == SWITCH_ORIGIN_TRANSIENT && p->uid == uid;
	if (n < d->settings.helper_max)
		return 0;
	return error_set(err, ENOSPC, "too-many-ports", NULL,
			 "user %u has %u ports already (the configuration's "
			 "helper-max)",
			 (unsigned int)uid, n);
}

static int check_profile(struct daemon *d, const char *profile,
			 struct error *err)
{
	if (json_object_get(d->sw->profiles, profile))
		return 0;
	return error_set(err, ENOENT, "no-such-profile", "profile",
			 "there is no profile \"%s\"", profile);
}

/* A TAP whose descriptor is the guest's; only the device's name is ours. */
static int tap_make(struct daemon *d, uid_t uid, struct port_request *rq,
		    struct port_grant *grant, struct error *err)
{
	memset(rq, 0, sizeof(*rq));
	snprintf(rq->type, sizeof(rq->type), "tap");
	snprintf(rq->tap.ifname, sizeof(rq->tap.ifname), "swh%%d");
	rq->tap.handover = true;
	snprintf(rq->tap.owner, sizeof(rq->tap.owner), "%u", (unsigned int)uid);
	rq->enabled = true;
	return broker_acquire(d->broker, rq, grant, err);
}

void method_helper_attach(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	const char *profile = rpc_get_string(params, "profile", "");
	uid_t uid = rpc_call_peer(call)->uid;
	struct port_grant grant = { 0 };
	struct port_request rq;
	struct error err = { 0 };
	struct switch_port *p;
	json_t *port;
	int fd;

	/* The ACL comes first: it isn't for everybody to know what profiles
	 * there are. */
	if (portconf_check_name(profile, &err) < 0 ||
	    broker_acl(d->broker, d->settings.helper_acl, profile, &err) < 0 ||
	    check_profile(d, profile, &err) < 0 ||
	    check_share(d, uid, &err) < 0 ||
	    tap_make(d, uid, &rq, &grant, &err) < 0) {
		log_notice("helper", "uid %u refused: %s", (unsigned int)uid,
			   err.message);
		rpc_error(call, &err);
		return;
	}
	port = json_pack("{s:s,s:s,s:s}", "type", "netdev", "ifname",
			 grant.ifname, "profile", profile);
	p = switch_attach(d->sw, grant.ifname, port, SWITCH_ORIGIN_TRANSIENT,
			  uid, &err);
	json_decref(port);
	fd = p ? fcntl(grant.fd[0], F_DUPFD_CLOEXEC, 0) : -1;
	if (p && fd < 0) {
		error_set(&err, errno, "no-descriptor", NULL, "%s",
			  strerror(errno));
		switch_detach(d->sw, p, "no-descriptor");
	}
	if (fd >= 0)
		rpc_reply_fd(call,
			     json_pack("{s:s,s:s}", "name",
				       p->config.request.name, "ifname",
				       grant.ifname),
			     fd);
	else
		rpc_error(call, &err);
	broker_release(d->broker, &rq, &grant);
}
