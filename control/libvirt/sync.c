#include "control/libvirt/sync.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/libvirt/hypervisor.h"
#include "control/libvirt/switch_side.h"

#include <errno.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not all changes have events (<link state> of a running domain has none). */
#define LOOK_MS 30000

/* QEMU that listens (vhostuser, mode='server') waits until the switch connects,
 * and libvirt, before it tells of the domain's start, for QEMU. */
#define STARTED_MS 1000

/* Between the beginnings of two rounds: what comes in bursts is done together.
 */
#define ROUND_MS 50

/* Until something that failed is tried again; doubled each time. */
#define RETRY_MIN_MS   100
#define RECONNECT_MS   5000  /* the longest wait for a connection, */
#define RETRY_ROUND_MS 30000 /* and until a refused change is asked again */

#define PASS_MS 1600 /* what may be over by then isn't complained of */

/* What was complained of in a round; said only where the last one hadn't it. */
struct said {
	char **line;
	size_t n;
};

/* When to try again. */
struct retry {
	uint64_t at; /* now_ms() */
	unsigned int wait;
};

struct sync {
	const struct sync_options *options;
	struct hypervisor *hv;
	struct switch_side *side;
	struct retry hv_retry, side_retry, round_retry;
	bool wanted; /* a round, because something has changed */
	uint64_t next_round, next_look, next_started;
	struct said said, saying;
	int handle, timer; /* of the event loop; handle -1: none */
};

static uint64_t now_ms(void)
{
	return clock_ns() / 1000000;
}

/* ---- Complaints ---- */

static bool was_said(const struct said *s, const char *line)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->line[i], line))
			return true;
	return false;
}

static void said_clear(struct said *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->line[i]);
	free(s->line);
	*s = (struct said){ 0 };
}

static void complain(struct sync *s, const char *line)
{
	char **more;

	if (was_said(&s->saying, line))
		return;
	if (!was_said(&s->said, line))
		log_warning("libvirt", "%s", line);
	more = realloc(s->saying.line, (s->saying.n + 1) * sizeof(*more));
	if (!more)
		return;
	s->saying.line = more;
	more[s->saying.n] = strdup(line);
	if (more[s->saying.n])
		s->saying.n++;
}

/* A round is over: what it hasn't complained of is new again. */
static void complaints_turn(struct sync *s)
{
	said_clear(&s->said);
	s->said = s->saying;
	s->saying = (struct said){ 0 };
}

/*
 * A guest that ends takes its TAP along, which the switch may say before
 * libvirt does. That isn't worth a word unless it lasts.
 */
static bool may_pass(const struct sync *s, const struct error *e)
{
	return !strcmp(e->reason, "no-such-device") && !s->options->once &&
	       s->round_retry.wait < PASS_MS;
}

/* What to do about it, where that isn't plain. */
static const char *advice(const struct error *e)
{
	static const struct {
		const char *reason, *text;
	} list[] = {
		{ "port-exists", ": a port that isn't libvirt's has the name; "
				 "detach it" },
		{ "device-attached",
		  ": leave <script> out of the interface, or "
		  "set attach='no' in its metadata" },
		{ "device-busy", ": is the interface's <target dev> one that "
				 "another program holds?" },
		{ "not-permitted", ": run this program as a user of the group "
				   "switchd, or as an admin: roles in "
				   "switchd.conf(5)" },
		{ "no-such-user", ": -o says whose sockets are" },
		{ "no-such-profile", ": name one that `switchctl profile list` "
				     "has" },
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!strcmp(e->reason, list[i].reason))
			return list[i].text;
	return "";
}

/* ---- A round ---- */

/* A word for the shell: what comes from XML may have anything in it. */
static void print_word(const char *key, const char *value)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz"
				    "0123456789._-/:,=";

	if (value[strspn(value, plain)] == '\0') {
		printf(" %s=%s", key, value);
		return;
	}
	printf(" '%s=", key);
	for (; *value; value++)
		if (*value == '\'')
			fputs("'\\''", stdout);
		else
			putchar((unsigned char)*value < ' ' ? '?' : *value);
	putchar('\'');
}

/* As a call of switchctl. */
static void print_action(const struct action *action)
{
	const char *key;
	json_t *value;

	printf("%.4s %s %s", action_method(action), action_method(action) + 5,
	       action->name);
	json_object_foreach(action->params, key, value) {
		char number[24] = "";

		if (json_is_integer(value))
			snprintf(number, sizeof(number), "%lld",
				 (long long)json_integer_value(value));
		print_word(key, json_is_string(value) ? json_string_value(value)
				: json_is_true(value) ? "yes"
				: json_is_false(value) ? "no"
						       : number);
	}
	if (action->kind == ACTION_ATTACH)
		printf(" transient=yes");
	putchar('\n');
}

/* Returns how many actions failed, or -errno: the connection is lost. */
static int run_plan(struct sync *s, const struct plan *plan)
{
	struct error e = { 0 };
	int failed = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct action *a = &plan->action[i];
		char line[480];
		int r;

		if (s->options->dry_run) {
			print_action(a);
			continue;
		}
		r = switch_side_do(s->side, a, &e);
		if (r == 0) {
			log_info("libvirt", "%s %s", action_method(a), a->name);
			continue;
		}
		snprintf(line, sizeof(line), "%s %s: %s (%s%s%s)%s",
			 action_method(a), a->name, e.message, e.reason,
			 *e.path ? ", at " : "", e.path, advice(&e));
		if (!may_pass(s, &e))
			complain(s, line);
		if (r != -EREMOTEIO)
			return r;
		failed++;
	}
	return failed;
}

/* How many ports can't be what they should. */
static int say_problems(struct sync *s, const struct wanted *w)
{
	char line[WANTED_NAME_MAX + 200];
	int n = 0;

	for (size_t i = 0; i < w->n; i++) {
		if (w->port[i].params)
			continue;
		snprintf(line, sizeof(line), "port %s is left as it is: %s",
			 w->port[i].name, w->port[i].problem);
		complain(s, line);
		n++;
	}
	return n;
}

/* Returns 0, how many things couldn't be done, or -errno with *e: try all of it
 * again. */
static int round_do(struct sync *s, struct error *e)
{
	struct wanted w = { 0 };
	struct actual a = { 0 };
	struct plan plan = { 0 };
	bool complete = false;
	int problems, r;

	r = hypervisor_read(s->hv, &w, &complete, e);
	if (r == 0)
		r = switch_side_ports(s->side, hypervisor_marker(s->hv), &a, e);
	if (r == 0 && converge(&w, &a, complete, &plan) < 0)
		r = error_set(e, ENOMEM, "no-memory", NULL, "no memory");
	if (r < 0)
		goto out;
	problems = say_problems(s, &w) + !complete;
	r = run_plan(s, &plan);
	if (r < 0)
		error_set(e, -r, "connection-lost", NULL,
			  "the connection to the switch is lost");
	else if (plan.n > (size_t)r && !s->options->dry_run)
		log_notice("libvirt", "ports wanted: %zu; changes: %zu", w.n,
			   plan.n - (size_t)r);
	if (r >= 0)
		r += problems;
out:
	wanted_clear(&w);
	actual_clear(&a);
	plan_clear(&plan);
	return r;
}

/* ---- For ever ---- */

static void retry_later(struct retry *retry, unsigned int most)
{
	retry->wait = retry->wait ? retry->wait * 2 : RETRY_MIN_MS;
	if (retry->wait > most)
		retry->wait = most;
	retry->at = now_ms() + retry->wait;
}

static void say_error(struct sync *s, const struct error *e, const char *what)
{
	char line[480];

	snprintf(line, sizeof(line), "%s: %s (%s)%s", what, e->message,
		 e->reason, advice(e));
	complain(s, line);
}

static void connect_hypervisor(struct sync *s)
{
	struct error e = { 0 };

	if (hypervisor_connected(s->hv) || now_ms() < s->hv_retry.at)
		return;
	if (hypervisor_connect(s->hv, &e) < 0) {
		say_error(s, &e, "no connection to libvirt");
		retry_later(&s->hv_retry, RECONNECT_MS);
		return;
	}
	log_notice("libvirt", "connected to %s", hypervisor_marker(s->hv));
	s->hv_retry = (struct retry){ 0 };
	s->wanted = true;
}

static void on_readable(int watch, int fd, int events, void *opaque)
{
	(void)watch;
	(void)fd;
	(void)events;
	(void)opaque; /* the loop looks after each wake-up */
}

static void on_timer(int timer, void *opaque)
{
	(void)opaque;
	virEventUpdateTimeout(timer, -1);
}

/*
 * Have the event loop wait for the connection that there is, or for none: a new
 * one's descriptor may have the number of the one before. Not to be done anew
 * each time: with a removal pending libvirt's loop doesn't wait.
 */
static void watch_side(struct sync *s)
{
	int fd = switch_side_fd(s->side);

	if (fd < 0 && s->handle >= 0) {
		virEventRemoveHandle(s->handle);
		s->handle = -1;
	} else if (fd >= 0 && s->handle < 0) {
		s->handle = virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE,
					      on_readable, s, NULL);
	}
}

static void connect_side(struct sync *s)
{
	struct error e = { 0 };

	watch_side(s);
	if (switch_side_fd(s->side) >= 0 || now_ms() < s->side_retry.at)
		return;
	if (switch_side_connect(s->side, &e) < 0) {
		say_error(s, &e, "no connection to the switch");
		retry_later(&s->side_retry, RECONNECT_MS);
		return;
	}
	log_notice("libvirt", "connected to the switch");
	s->side_retry = (struct retry){ 0 };
	s->wanted = true;
}

static void round_maybe(struct sync *s)
{
	uint64_t now = now_ms();
	struct error e = { 0 };
	int r;

	if (!hypervisor_connected(s->hv) || switch_side_fd(s->side) < 0)
		return;
	if (now >= s->next_look) {
		hypervisor_doubt(s->hv);
		s->next_look = now + LOOK_MS;
	}
	if (now >= s->next_started) {
		hypervisor_look(s->hv);
		s->next_started = now + STARTED_MS;
	}
	if (s->round_retry.wait && now >= s->round_retry.at)
		s->wanted = true;
	if (now < s->next_round || !(s->wanted || hypervisor_changed(s->hv)))
		return;
	s->wanted = false;
	s->next_round = now + ROUND_MS;
	r = round_do(s, &e);
	if (r < 0)
		say_error(s, &e, "what is to be done");
	complaints_turn(s);
	if (r == 0)
		s->round_retry = (struct retry){ 0 };
	else
		retry_later(&s->round_retry, RETRY_ROUND_MS);
	if (r != 0 && hypervisor_changed(s->hv)) /* it couldn't be read */
		s->next_round = s->round_retry.at;
}

static void sooner(uint64_t *when, uint64_t at)
{
	if (at < *when)
		*when = at;
}

/* When there will be something to do though nothing has happened. */
static int wait_ms(struct sync *s)
{
	uint64_t now = now_ms(), when = now + LOOK_MS;
	bool hv = hypervisor_connected(s->hv);
	bool side = switch_side_fd(s->side) >= 0;

	if (!hv)
		sooner(&when, s->hv_retry.at);
	if (!side)
		sooner(&when, s->side_retry.at);
	if (hv && side) {
		sooner(&when, s->next_look);
		sooner(&when, s->next_started);
		if (s->round_retry.wait)
			sooner(&when, s->round_retry.at);
		if (s->wanted || hypervisor_changed(s->hv))
			sooner(&when, s->next_round);
	}
	return when > now ? (int)(when - now) : 0;
}

static int for_ever(struct sync *s)
{
	for (;;) {
		if (switch_side_news(s->side))
			s->wanted = true;
		connect_hypervisor(s);
		connect_side(s);
		round_maybe(s);
		/* What came with the round's answers: its own changes. */
		if (switch_side_news(s->side))
			s->wanted = true;
		watch_side(s);
		virEventUpdateTimeout(s->timer, wait_ms(s));
		if (virEventRunDefaultImpl() < 0) {
			log_err("libvirt", "libvirt's event loop fails");
			return SYNC_UNREACHABLE;
		}
	}
}

static int just_once(struct sync *s)
{
	struct error e = { 0 };
	int r;

	if (hypervisor_connect(s->hv, &e) < 0) {
		say_error(s, &e, "no connection to libvirt");
		return SYNC_UNREACHABLE;
	}
	if (switch_side_connect(s->side, &e) < 0) {
		say_error(s, &e, "no connection to the switch");
		return SYNC_UNREACHABLE;
	}
	r = round_do(s, &e);
	if (r < 0)
		say_error(s, &e, "what is to be done");
	return r < 0 ? SYNC_UNREACHABLE : r ? SYNC_REFUSED : SYNC_DONE;
}

int sync_run(const struct sync_options *options)
{
	struct sync s = { .options = options, .handle = -1, .timer = -1 };
	int status = SYNC_UNREACHABLE;

	if (hypervisor_events() < 0) {
		log_err("libvirt", "libvirt's library can't be used");
		return status;
	}
	s.hv = hypervisor_new(options->uri, options->owner);
	s.side = switch_side_new(options->socket);
	s.timer = virEventAddTimeout(-1, on_timer, NULL, NULL);
	if (!s.hv || !s.side || s.timer < 0)
		log_err("libvirt", "no memory");
	else if (options->once || options->dry_run)
		status = just_once(&s);
	else
		status = for_ever(&s);
	said_clear(&s.said);
	said_clear(&s.saying);
	switch_side_free(s.side);
	hypervisor_free(s.hv);
	return status;
}
