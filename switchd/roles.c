#include "switchd/roles.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "switchd/portconf.h"

#define ROLE_COUNT (ROLE_ADMIN + 1)

static const char *const role_words[ROLE_COUNT] = { "none", "viewer",
						    "operator", "admin" };

/* Whom an entry names. */
struct who {
	bool all, group;
	uint32_t id;
};

struct user {
	struct who who;
	json_t *profiles; /* array of strings */
};

struct roles {
	struct who *who[ROLE_COUNT];
	size_t n[ROLE_COUNT];
	struct user *user;
	size_t n_users;
	bool configured;
	gid_t socket_gid;
	uid_t self;
	roles_resolve_fn *resolve; /* NULL: just check */
	void *ctx;
};

/* Where something stands in the configuration, for errors. */
struct place {
	char path[sizeof(((struct error *)NULL)->path)];
};

const char *roles_word(enum role role)
{
	return role_words[role];
}

enum role roles_needed(const char *word)
{
	for (int role = ROLE_VIEWER; word && role < ROLE_COUNT; role++)
		if (!strcmp(role_words[role], word))
			return (enum role)role;
	return ROLE_ADMIN;
}

/* ---- Names ---- */

int roles_resolve_system(void *ctx, bool group, const char *name, uint32_t *id)
{
	const struct passwd *u = NULL;
	const struct group *g = NULL;

	(void)ctx;
	errno = 0;
	if (group)
		g = getgrnam(name);
	else
		u = getpwnam(name);
	if (g)
		*id = g->gr_gid;
	if (u)
		*id = u->pw_uid;
	if (g || u)
		return 0;
	/* "Not found" has many faces, see getpwnam(3). */
	if (errno == 0 || errno == ESRCH || errno == EBADF || errno == EPERM)
		return -ENOENT;
	return -errno;
}

static bool name_good(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > ROLES_NAME_MAX - 2)
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || strchr("@*,:/", *name))
			return false;
	return true;
}

/* A whole number that can be an id: (uid_t)-1 means "none" to the kernel. */
static bool number_read(const char *text, uint32_t *id)
{
	char *end;
	unsigned long long n;

	if (strspn(text, "0123456789") != strlen(text) || strlen(text) > 10)
		return false;
	n = strtoull(text, &end, 10);
	*id = (uint32_t)n;
	return n < UINT32_MAX;
}

static int name_bad(const struct place *at, struct error *err)
{
	return error_set(err, EINVAL, "bad-name", at->path,
			 "write the name or number of a user, @ and that of a "
			 "group, or * for everybody");
}

/* "alice", "1000", "@ops", "@1000", "*". */
static int who_read(const struct roles *roles, const char *text,
		    struct who *who, const struct place *at, struct error *err)
{
	const char *name = text + (*text == '@');
	int r;

	who->all = !strcmp(text, "*");
	who->group = *text == '@';
	if (who->all)
		return 0;
	if (!name_good(name))
		return name_bad(at, err);
	if (number_read(name, &who->id))
		return 0;
	if (strspn(name, "0123456789") == strlen(name))
		return name_bad(at, err);
	r = roles->resolve
		    ? roles->resolve(roles->ctx, who->group, name, &who->id)
		    : 0;
	if (r == 0)
		return 0;
	return error_set(err, -r, who->group ? "no-such-group" : "no-such-user",
			 at->path,
			 r == -ENOENT ? "there is no %s \"%s\""
				      : "can't look up the %s \"%s\"",
			 who->group ? "group" : "user", name);
}

/* ---- Reading ---- */

static struct place place_of(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static struct place place_of(const char *fmt, ...)
{
	struct place at;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(at.path, sizeof(at.path), fmt, ap);
	va_end(ap);
	return at;
}

static int wrong_type(const struct place *at, const char *is, struct error *err)
{
	return error_set(err, EINVAL, "wrong-type", at->path, "%s must be %s",
			 at->path, is);
}

static int unknown(const struct place *at, const char *known, struct error *err)
{
	return error_set(err, EINVAL, "unknown-parameter", at->path,
			 "there is only %s here", known);
}

/* An array of at most `max` strings. */
static int strings_check(const json_t *list, size_t max, const struct place *at,
			 struct error *err)
{
	const json_t *s;
	size_t i;

	if (!json_is_array(list))
		return wrong_type(at, "an array of strings", err);
	if (json_array_size(list) > max)
		return error_set(err, EINVAL, "too-long", at->path,
				 "%s has more than %zu elements", at->path,
				 max);
	json_array_foreach(list, i, s) {
		struct place element = place_of("%.80s[%zu]", at->path, i);

		if (!json_is_string(s))
			return wrong_type(&element, "a string", err);
	}
	return 0;
}

static int role_read(struct roles *roles, enum role role, const json_t *list,
		     struct error *err)
{
	struct place at = place_of("daemon.roles.%s", role_words[role]);
	size_t n = json_array_size(list), i;
	int r = strings_check(list, ROLES_ENTRIES_MAX, &at, err);

	if (r < 0 || n == 0)
		return r;
	roles->who[role] = calloc(n, sizeof(struct who));
	if (!roles->who[role])
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	roles->n[role] = n;
	for (i = 0; i < n; i++) {
		at = place_of("daemon.roles.%s[%zu]", role_words[role], i);
		r = who_read(roles, json_string_value(json_array_get(list, i)),
			     &roles->who[role][i], &at, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int list_read(struct roles *roles, json_t *object, struct error *err)
{
	struct place at = place_of("daemon.roles");
	const char *key;
	json_t *list;

	if (!json_is_object(object))
		return wrong_type(&at, "an object", err);
	json_object_foreach(object, key, list) {
		enum role role = roles_needed(key);
		int r;

		if (strcmp(role_words[role], key)) {
			at = place_of("daemon.roles.%.70s", key);
			return unknown(&at, "admin, operator and viewer", err);
		}
		r = role_read(roles, role, list, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* { "profiles": [..] } and nothing else. */
static int user_check(const json_t *entry, const struct place *at,
		      struct error *err)
{
	const json_t *profiles = json_object_get(entry, "profiles"), *value;
	struct place in = place_of("%.80s.profiles", at->path);
	const char *key;
	size_t i;
	int r;

	if (!json_is_object(entry))
		return wrong_type(at, "an object", err);
	/* The macro drops const; nothing is changed through it. */
	json_object_foreach((json_t *)(uintptr_t)entry, key, value) {
		if (!strcmp(key, "profiles"))
			continue;
		in = place_of("%.60s.%.30s", at->path, key);
		return unknown(&in, "profiles", err);
	}
	if (!profiles)
		return error_set(err, EINVAL, "missing-parameter", in.path,
				 "profiles is missing");
	r = strings_check(profiles, ROLES_PROFILES_MAX, &in, err);
	if (r < 0)
		return r;
	json_array_foreach(profiles, i, value) {
		struct error why = { 0 };
		struct place element = place_of("%.80s[%zu]", in.path, i);

		if (portconf_check_name(json_string_value(value), &why) < 0)
			return error_set(err, EINVAL, why.reason, element.path,
					 "%s", why.message);
	}
	return 0;
}

static int users_read(struct roles *roles, json_t *object, struct error *err)
{
	struct place at = place_of("daemon.users");
	const char *name;
	json_t *entry;

	if (!json_is_object(object))
		return wrong_type(&at, "an object", err);
	if (json_object_size(object) > ROLES_USERS_MAX)
		return error_set(err, EINVAL, "too-long", at.path,
				 "%s has more than %d entries", at.path,
				 ROLES_USERS_MAX);
	if (!json_object_size(object))
		return 0;
	roles->user = calloc(json_object_size(object), sizeof(struct user));
	if (!roles->user)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	json_object_foreach(object, name, entry) {
		struct user *user = &roles->user[roles->n_users];
		int r;

		at = place_of("daemon.users.%.64s", name);
		r = user_check(entry, &at, err);
		if (r == 0)
			r = who_read(roles, name, &user->who, &at, err);
		if (r < 0)
			return r;
		user->profiles =
			json_deep_copy(json_object_get(entry, "profiles"));
		if (!user->profiles)
			return error_set(err, ENOMEM, "no-memory", NULL,
					 "no memory");
		roles->n_users++;
	}
	return 0;
}

/* One walk checks and loads: they can't differ. */
static int read_all(struct roles *roles, const json_t *daemon_object,
		    struct error *err)
{
	json_t *list = json_object_get(daemon_object, "roles");
	json_t *users = json_object_get(daemon_object, "users");
	int r = 0;

	roles->configured = list != NULL;
	if (list)
		r = list_read(roles, list, err);
	if (r < 0 || !users)
		return r;
	/* Without roles there is nobody whom it could restrict. */
	if (!list)
		return error_set(err, EINVAL, "missing-parameter",
				 "daemon.users",
				 "users restricts operators: it needs roles, "
				 "which says who they are");
	return users_read(roles, users, err);
}

int roles_check(const json_t *daemon_object, struct error *err)
{
	struct roles *roles = calloc(1, sizeof(*roles));
	int r;

	if (!roles)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	r = read_all(roles, daemon_object, err);
	roles_free(roles);
	return r;
}

int roles_load(const json_t *daemon_object, gid_t socket_gid,
	       roles_resolve_fn *resolve, void *ctx, struct roles **out,
	       struct error *err)
{
	struct roles *roles = calloc(1, sizeof(*roles));
	int r;

	if (!roles)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	roles->socket_gid = socket_gid;
	roles->self = geteuid();
	roles->resolve = resolve;
	roles->ctx = ctx;
	r = read_all(roles, daemon_object, err);
	if (r < 0)
		roles_free(roles);
	else
		*out = roles;
	return r;
}

int roles_reload(const struct roles *roles, const json_t *daemon_object,
		 struct roles **out, struct error *err)
{
	return roles_load(daemon_object, roles->socket_gid, roles->resolve,
			  roles->ctx, out, err);
}

void roles_free(struct roles *roles)
{
	if (!roles)
		return;
	for (int role = 0; role < ROLE_COUNT; role++)
		free(roles->who[role]);
	for (size_t i = 0; i < roles->n_users; i++)
		json_decref(roles->user[i].profiles);
	free(roles->user);
	free(roles);
}

bool roles_configured(const json_t *daemon_object)
{
	return json_object_get(daemon_object, "roles") != NULL;
}

int roles_adopt(json_t **daemon_object, const json_t *from)
{
	static const char *const keys[] = { "roles", "users" };
	json_t *o = *daemon_object ? json_copy(*daemon_object) : json_object();
	int r = o ? 0 : -ENOMEM;

	for (unsigned int i = 0; r == 0 && i < 2; i++) {
		json_t *value = json_object_get(from, keys[i]);

		json_object_del(o, keys[i]);
		if (value && json_object_set(o, keys[i], value) < 0)
			r = -ENOMEM;
	}
	if (r < 0) {
		json_decref(o);
		return r;
	}
	json_decref(*daemon_object);
	*daemon_object = o;
	return 0;
}

/* ---- Asking ---- */

static bool in_group(const struct roles_peer *peer, gid_t gid)
{
	if (peer->gid == gid)
		return true;
	for (size_t i = 0; i < peer->n_groups; i++)
		if (peer->groups[i] == gid)
			return true;
	return false;
}

static bool who_is(const struct who *who, const struct roles_peer *peer)
{
	if (who->all)
		return true;
	return who->group ? in_group(peer, who->id) : peer->uid == who->id;
}

enum role roles_of(const struct roles *roles, const struct roles_peer *peer)
{
	if (peer->uid == 0 || peer->uid == roles->self)
		return ROLE_ADMIN;
	if (!roles->configured)
		return roles->socket_gid != (gid_t)-1 &&
				       in_group(peer, roles->socket_gid)
			       ? ROLE_ADMIN
			       : ROLE_NONE;
	for (int role = ROLE_ADMIN; role > ROLE_NONE; role--)
		for (size_t i = 0; i < roles->n[role]; i++)
			if (who_is(&roles->who[role][i], peer))
				return (enum role)role;
	return ROLE_NONE;
}

bool roles_restricted(const struct roles *roles, const struct roles_peer *peer)
{
	for (size_t i = 0; i < roles->n_users; i++)
		if (who_is(&roles->user[i].who, peer))
			return true;
	return false;
}

bool roles_profile_allowed(const struct roles *roles,
			   const struct roles_peer *peer, const char *profile)
{
	for (size_t i = 0; i < roles->n_users; i++) {
		const struct user *user = &roles->user[i];
		const json_t *allowed;
		size_t k;

		if (!who_is(&user->who, peer))
			continue;
		json_array_foreach(user->profiles, k, allowed)
			if (!strcmp(json_string_value(allowed), profile))
				return true;
	}
	return false;
}
