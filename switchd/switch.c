#include "switchd/switch.h"

#include "base/clock.h"
#include "base/log.h"
#include "switchd/config.h"
#include "switchd/listener.h"
#include "switchd/switch_fast.h"
#include "switchd/switch_fdb.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int workers_new(struct sw *sw, const struct switch_options *o,
		       struct error *err)
{
	for (unsigned int i = 0; i < o->workers; i++) {
		int r = 0;

		sw->worker[i] = worker_new(&sw->shared, i);
		if (!sw->worker[i])
			return error_set(err, errno, "no-worker", NULL,
					 "can't make worker %u: %s", i,
					 strerror(errno));
		sw->nworkers++;
		if (i == 0 && o->cpu_port)
			r = worker_set_cpu_port(sw->worker[i], o->cpu_port);
		if (r == 0 && o->threads)
			r = worker_start(sw->worker[i]);
		if (r < 0)
			return error_set(err, -r, "no-worker", NULL,
					 "can't start worker %u: %s", i,
					 strerror(-r));
	}
	return 0;
}

static int tables_new(struct sw *sw, const struct switch_options *o,
		      struct error *err)
{
	struct fdb_config fdb = FDB_CONFIG_INIT;
	int r;

	fdb.ports = sw->shared.ports_max;
	fdb.secret[0] = o->fdb_secret[0];
	fdb.secret[1] = o->fdb_secret[1];
	if (o->fdb_entries)
		fdb.entries = o->fdb_entries;
	sw->broker = o->broker;
	sw->fastpath = sw->shared.fastpath = o->fastpath;
	sw->cpu_port = o->cpu_port;
	r = o->fastpath ? switch_fdb_make_fast(sw, &fdb, o->fdb_kept)
			: switch_fdb_make(sw, &fdb, o->broker ? o->fdb_fd : -1);
	if (r < 0)
		return error_set(err, -r, "bad-value", "fdb-entries",
				 "can't make an FDB of %u entries: %s",
				 fdb.entries, strerror(-r));
	sw->shared.ledger = ledger_new(1 + o->workers, sw->shared.ports_max);
	if (!sw->shared.ledger)
		return error_set(err, errno, "no-memory", NULL,
				 "can't make the counters of %u ports: %s",
				 sw->shared.ports_max, strerror(errno));
	sw->port = calloc(sw->shared.ports_max, sizeof(sw->port[0]));
	sw->generation = calloc(sw->shared.ports_max, sizeof(uint32_t));
	sw->names = json_object();
	sw->missing = json_object();
	sw->profiles = json_object();
	sw->statics = json_object();
	sw->listeners = listeners_new();
	if (!sw->port || !sw->generation || !sw->names || !sw->missing ||
	    !sw->profiles || !sw->statics || !sw->listeners)
		return error_set(err, ENOMEM, "no-memory", NULL,
				 "no memory for %u ports",
				 sw->shared.ports_max);
	sw->shared.failed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sw->shared.failed_fd < 0)
		return error_set(err, errno, "no-descriptor", NULL,
				 "eventfd: %s", strerror(errno));
	return 0;
}

/* How long workers may look around before they sleep. */
void switch_polling(struct sw *sw)
{
	atomic_store(&sw->shared.poll_ns, sw->settings.poll_us * 1000ull);
}

struct sw *switch_new(const struct switch_options *options, struct error *err)
{
	struct sw *sw = calloc(1, sizeof(*sw));

	if (!sw) {
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		return NULL;
	}
	epoch_init(&sw->shared.epoch);
	sw->shared.ports_max =
		options->ports_max ? options->ports_max : SWITCH_PORTS_DEFAULT;
	sw->shared.failed_fd = -1;
	sw->settings = (struct switch_settings)SWITCH_SETTINGS_INIT;
	switch_polling(sw);
	sw->started_ns = sw->balanced_ns = clock_ns();
	sw->dirty = true;
	if (tables_new(sw, options, err) < 0)
		goto fail;
	switch_commit(sw); /* an empty snapshot, before workers look for it */
	if (!atomic_load(&sw->shared.snapshot)) {
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		goto fail;
	}
	if (workers_new(sw, options, err) < 0)
		goto fail;
	return sw;
fail:
	switch_free(sw);
	return NULL;
}

static void mirrors_free(struct sw *sw)
{
	struct error ignored;

	while (sw->nmirrors)
		if (switch_mirror_remove(sw, sw->mirror[sw->nmirrors - 1]->name,
					 &ignored))
			break;
}

void switch_free(struct sw *sw)
{
	struct switch_port *p = NULL;

	if (!sw)
		return;
	memset(&sw->hooks, 0, sizeof(sw->hooks));
	mirrors_free(sw);
	listeners_free(sw);
	while (sw->port && (p = switch_port_next(sw, NULL)))
		switch_detach(sw, p, "shutdown");
	if (sw->port && sw->shared.fdb)
		switch_commit(sw);
	/* With the workers gone, everything that left is due. */
	for (unsigned int i = 0; i < sw->nworkers; i++)
		worker_stop(sw->worker[i]);
	epoch_fini(&sw->shared.epoch);
	for (unsigned int i = 0; i < sw->nworkers; i++)
		worker_free(sw->worker[i]);
	snapshot_free(atomic_load(&sw->shared.snapshot));
	ledger_free(sw->shared.ledger);
	switch_fdb_free(sw);
	if (sw->shared.failed_fd >= 0)
		close(sw->shared.failed_fd);
	json_decref(sw->names);
	json_decref(sw->missing);
	json_decref(sw->profiles);
	json_decref(sw->statics);
	free(sw->generation);
	free(sw->port);
	free(sw);
}

/* ---- Snapshot ---- */

static uint16_t decide_flags(const struct port_config *c)
{
	return (uint16_t)((c->request.enabled ? DECIDE_ENABLED : 0) |
			  (c->access ? DECIDE_ACCESS : 0) |
			  (c->plain ? DECIDE_PLAIN : 0) |
			  (c->uplink ? DECIDE_UPLINK : 0) |
			  (c->isolated ? DECIDE_ISOLATED : 0) |
			  (c->learn ? DECIDE_LEARN : 0) |
			  (c->flood ? DECIDE_FLOOD : 0));
}

static struct snapshot *snapshot_build(struct sw *sw)
{
	struct snapshot *s = snapshot_new(sw->index_end, sw->nmirrors);

	if (!s)
		return NULL;
	s->tpid = sw->settings.tpid;
	s->forward_reserved = sw->settings.forward_reserved;
	for (uint32_t i = 0; i < sw->index_end; i++) {
		const struct switch_port *p = sw->port[i];

		if (!p || p->leaving)
			continue;
		s->port[i].port = p->port;
		s->port[i].decide.flags = decide_flags(&p->config);
		s->port[i].decide.native = p->config.native;
		for (unsigned int q = 0; q < p->port->queues; q++)
			s->port[i].worker[q] = switch_receiver(p, q);
		memcpy(s->port[i].vlans, p->config.vlans,
		       sizeof(s->port[i].vlans));
		/* It has no receive side: a recorder of mirror copies only. */
		if (!p->port->ops->rx)
			s->port[i].decide.flags |= DECIDE_TARGET;
	}
	switch_mirrors_snapshot(sw, s);
	if (snapshot_finish(s) < 0) {
		snapshot_free(s);
		return NULL;
	}
	return s;
}

static void snapshot_destroy(void *arg)
{
	snapshot_free(arg);
}

void switch_dirty(struct sw *sw)
{
	if (!sw->dirty && sw->hooks.dirty)
		sw->hooks.dirty(sw->hooks.ctx);
	sw->dirty = true;
}

/* ---- Flushes ---- */

struct switch_flush {
	struct switch_flush *next;
	struct epoch_retired retired;
	struct sw *sw;
	int port;
};

static void flush_again(void *arg)
{
	struct switch_flush *f = arg;

	fdb_flush(f->sw->shared.fdb, f->port, FDB_ANY, false);
	free(f);
}

/* A snapshot was published: what went by the old one is over soon. */
static void flushes_retire(struct sw *sw)
{
	while (sw->flushes) {
		struct switch_flush *f = sw->flushes;

		sw->flushes = f->next;
		epoch_retire(&sw->shared.epoch, &f->retired, flush_again, f);
	}
}

void switch_flush(struct sw *sw, int port)
{
	struct switch_flush *f = calloc(1, sizeof(*f));

	fdb_flush(sw->shared.fdb, port, FDB_ANY, false);
	if (!f) { /* what is learned in the next moments has to age */
		log_err("switch", "no memory to flush port %d again", port);
		return;
	}
	f->sw = sw;
	f->port = port;
	f->next = sw->flushes;
	sw->flushes = f;
	switch_dirty(sw);
}

void switch_commit(struct sw *sw)
{
	struct snapshot *s, *old;

	if (!sw->dirty)
		return;
	s = snapshot_build(sw);
	if (!s) { /* the old one stays in force; try again next time */
		log_err("switch", "no memory for a snapshot");
		return;
	}
	sw->dirty = false;
	old = atomic_exchange(&sw->shared.snapshot, s);
	if (old)
		epoch_retire(&sw->shared.epoch, &old->retired, snapshot_destroy,
			     old);
	switch_fast_commit(sw, s);
	flushes_retire(sw);
	switch_moves_retire(sw);
	switch_ports_committed(sw);
}

bool switch_reap(struct sw *sw)
{
	return epoch_reap(&sw->shared.epoch);
}

/* ---- Halt and go on ---- */

void switch_halt(struct sw *sw)
{
	struct switch_port *p = NULL;

	for (unsigned int i = 0; i < sw->nworkers; i++)
		worker_stop(sw->worker[i]);
	while ((p = switch_port_next(sw, p)))
		if (p->port->ops->drain)
			p->port->ops->drain(p->port);
	sw->borrowed = sw->fdb_outlives;
}

int switch_go_on(struct sw *sw)
{
	int r = 0;

	/* Another one may have had it meanwhile. */
	sw->borrowed = false;
	if (sw->fdb_outlives)
		fdb_adopt(sw->shared.fdb);
	switch_control_take_over(sw, true);
	for (unsigned int i = 0; r == 0 && i < sw->nworkers; i++)
		r = worker_start(sw->worker[i]);
	return r;
}

void switch_let_go(struct sw *sw)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(sw, p)))
		/* Who drains has a thread that knows the descriptors; but those
		 * are files, and nobody's but ours. */
		if (!p->port->ops->drain)
			port_grant_close(&p->grant);
	listeners_let_go(sw);
}

/* ---- Settings ---- */

void switch_settings_set(struct sw *sw, const struct switch_settings *s)
{
	bool other_tags = s->tpid != sw->settings.tpid;
	fdb_age_set(sw->shared.fdb, s->age_s);
	sw->settings = *s;
	switch_polling(sw);
	switch_remember(sw, "switch", NULL, config_settings_show(s));
	if (other_tags) /* the VLANs of all that was learned may be others */
		switch_flush(sw, FDB_ANY);
	switch_dirty(sw);
}

void switch_profiles_set(struct sw *sw, json_t *profiles)
{
	json_decref(sw->profiles);
	sw->profiles = json_incref(profiles);
	switch_remember(sw, "profiles", NULL, json_incref(profiles));
}

/* ---- Events ---- */

bool switch_event_wanted(struct sw *sw, const char *topic)
{
	return sw->hooks.event &&
	       (!sw->hooks.wanted || sw->hooks.wanted(sw->hooks.ctx, topic));
}

void switch_event(struct sw *sw, const char *topic, json_t *params)
{
	if (switch_event_wanted(sw, topic))
		sw->hooks.event(sw->hooks.ctx, topic, params);
	else
		json_decref(params);
}
