#include "tests/sim/sim.h"

#include "tests/sim/sim_kernel.h"

#include <stdlib.h>

#define ROUNDS_MAX 1000 /* a port that is never quiet is an error */

/* What the harness remembers about a port index. */
struct sim_ledger {
	uint64_t sent;			      /* frames put in */
	uint64_t expected[DROP_REASON_COUNT]; /* drops the test knows of */
};

static void fail_at(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), noreturn));

static void fail_at(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_error("%s:%d: %s\n", file, line, text);
	_fail(file, line);
	abort(); /* _fail has jumped */
}

/* ---- The switch ---- */

struct sim *sim_new(unsigned int workers)
{
	return sim_new_fdb(workers, 0);
}

struct sim *sim_new_fdb(unsigned int workers, uint32_t entries)
{
	struct switch_options o = {
		.workers = workers,
		.ports_max = SIM_PORTS_MAX,
		.fdb_entries = entries,
		.fdb_secret = { 0x0123456789abcdefull, 0xfedcba987654321ull },
	};
	struct sim *s = calloc(1, sizeof(*s));
	struct error err = { 0 };

	assert_non_null(s);
	s->ledger = calloc(SIM_PORTS_MAX, sizeof(s->ledger[0]));
	assert_non_null(s->ledger);
	s->now_s = SIM_START_S;
	s->fastpath = o.fastpath = sim_kernel_open(entries);
	s->sw = switch_new(&o, &err);
	if (!s->sw)
		fail_at(__FILE__, __LINE__, "switch_new: %s", err.message);
	return s;
}

/* Every drop so far was one that the test expected. */
static void check_drops(struct sim *s, const char *file, int line)
{
	struct switch_port *p = NULL;
	struct port_counters c;

	while ((p = switch_port_next(s->sw, p))) {
		const struct sim_ledger *l = &s->ledger[p->port->index];

		switch_port_counters(s->sw, p, &c);
		for (int r = 0; r < DROP_REASON_COUNT; r++) {
			uint64_t n = counter_get(&c.rx_drop[r]) +
				     counter_get(&c.tx_drop[r]);

			if (n != l->expected[r])
				fail_at(file, line,
					"%s dropped %d for \"%s\", not %d",
					p->port->name, (int)n,
					drop_name((enum drop_reason)r),
					(int)l->expected[r]);
		}
	}
}

static void nothing_left(struct sim *s, const char *file, int line)
{
	sim_expect_none_at(s, file, line);
	check_drops(s, file, line);
}

void sim_free(struct sim *s)
{
	nothing_left(s, __FILE__, __LINE__);
	switch_free(s->sw);
	sim_kernel_close(s->fastpath);
	free(s->ledger);
	free(s);
}

int sim_setup(void **state)
{
	*state = sim_new(1);
	return 0;
}

int sim_teardown(void **state)
{
	sim_free(*state);
	return 0;
}

static void check_ledger(struct sim *s, struct switch_port *p, const char *file,
			 int line)
{
	uint64_t rx_drops = 0, tx_drops = 0;
	struct port_counters c;

	switch_port_counters(s->sw, p, &c);
	for (int r = 0; r < DROP_REASON_COUNT; r++) {
		rx_drops += counter_get(&c.rx_drop[r]);
		tx_drops += counter_get(&c.tx_drop[r]);
	}
	if (counter_get(&c.rx_frames) != s->ledger[p->port->index].sent)
		fail_at(file, line, "%s: %d frames were put in, %d received",
			p->port->name, (int)s->ledger[p->port->index].sent,
			(int)counter_get(&c.rx_frames));
	if (counter_get(&c.rx_frames) !=
	    counter_get(&c.rx_forwarded) + rx_drops)
		fail_at(file, line,
			"%s: received %d != forwarded %d + drops %d",
			p->port->name, (int)counter_get(&c.rx_frames),
			(int)counter_get(&c.rx_forwarded), (int)rx_drops);
	if (counter_get(&c.tx_copies) != counter_get(&c.tx_frames) + tx_drops)
		fail_at(file, line, "%s: copies %d != sent %d + drops %d",
			p->port->name, (int)counter_get(&c.tx_copies),
			(int)counter_get(&c.tx_frames), (int)tx_drops);
}

/* One batch from each port that has frames. Returns whether any had. */
static bool poll_all(struct sim *s, const char *file, int line)
{
	struct switch_port *p = NULL;
	bool any = false;

	while ((p = switch_port_next(s->sw, p))) {
		if (!dummy_pending(p->port))
			continue;
		any = true;
		if (s->fastpath)
			sim_kernel_poll(s, p, file, line);
		else
			worker_poll(p->worker[0], p->port->index,
				    p->port->generation, s->now_s);
	}
	return any;
}

void sim_run_at(struct sim *s, const char *file, int line)
{
	struct switch_port *p = NULL;
	unsigned int rounds = 0;

	nothing_left(s, file, line);
	switch_commit(s->sw);
	while (poll_all(s, file, line))
		if (++rounds == ROUNDS_MAX)
			fail_at(file, line, "frames that nobody receives");
	switch_reap(s->sw);
	while ((p = switch_port_next(s->sw, p)))
		check_ledger(s, p, file, line);
}

void sim_advance(struct sim *s, uint32_t seconds)
{
	s->now_s += seconds;
	fdb_age(s->sw->shared.fdb, s->now_s, UINT32_MAX);
}

/* ---- Ports ---- */

static json_t *param_value(const struct rpc_param *p, const char *text)
{
	json_t *list;
	char *end, *copy, *save = NULL;

	if (!*text)
		return json_null();
	switch (p ? p->type : RPC_STRING) {
	case RPC_INT:
		return json_integer(strtoll(text, &end, 10));
	case RPC_BOOL:
		return json_boolean(!strcmp(text, "yes"));
	case RPC_STRINGS:
		list = json_array();
		copy = strdup(text);
		assert_non_null(copy);
		for (char *w = strtok_r(copy, ",", &save); w;
		     w = strtok_r(NULL, ",", &save))
			json_array_append_new(list, json_string(w));
		free(copy);
		return list;
	default:
		return json_string(text);
	}
}

json_t *sim_params(const struct rpc_param *table, const char *words)
{
	json_t *params = json_object();
	char *copy = strdup(words), *save = NULL;

	assert_non_null(copy);
	for (char *w = strtok_r(copy, " ", &save); w;
	     w = strtok_r(NULL, " ", &save)) {
		char *value = strchr(w, '=');

		assert_non_null(value);
		*value++ = '\0';
		json_object_set_new(
			params, w,
			param_value(rpc_param_find(table, w), value));
	}
	free(copy);
	return params;
}

/* As port.attach does it: the table first, then the switch. */
static struct switch_port *attach(struct sim *s, const char *name,
				  const char *words, struct error *err)
{
	json_t *params = sim_params(portconf_params, words);
	struct switch_port *p = NULL;

	if (!json_object_get(params, "type") &&
	    !json_object_get(params, "profile"))
		json_object_set_new(params, "type", json_string("dummy"));
	if (rpc_params_check_some(portconf_params, params, false, err) == 0)
		p = switch_attach(s->sw, name, params, SWITCH_ORIGIN_CONTROL, 0,
				  err);
	json_decref(params);
	return p;
}

struct switch_port *sim_attach_at(struct sim *s, const char *name,
				  const char *words, const char *file, int line)
{
	struct error err = { 0 };
	struct switch_port *p = attach(s, name, words, &err);

	if (!p)
		fail_at(file, line, "%s %s: %s", name, words, err.message);
	p->grant.fast = s->fastpath && !strcmp(p->port->ops->type, "dummy");
	memset(&s->ledger[p->port->index], 0, sizeof(s->ledger[0]));
	return p;
}

/* An error says which parameter and, in a sentence for people, why. */
static void check_error(const struct error *err, const char *reason,
			const char *path)
{
	assert_string_equal(err->reason, reason);
	assert_string_equal(err->path, path);
	assert_true(err->err > 0);
	assert_true(strlen(err->message) > 10);
}

void sim_attach_fails(struct sim *s, const char *name, const char *words,
		      const char *reason, const char *path)
{
	uint32_t ports = s->sw->nports;
	struct error err = { 0 };

	if (attach(s, name, words, &err))
		fail_at(__FILE__, __LINE__, "\"%s\" was accepted", words);
	check_error(&err, reason, path);
	assert_int_equal(s->sw->nports, ports);
}

void sim_detach(struct sim *s, const char *name)
{
	switch_detach(s->sw, sim_port(s, name), "request");
}

static int port_set(struct sim *s, const char *name, const char *words,
		    struct error *err)
{
	json_t *params = sim_params(portconf_params, words);
	int r = switch_port_set(s->sw, sim_port(s, name), params, err);

	json_decref(params);
	return r;
}

void sim_set(struct sim *s, const char *name, const char *words)
{
	struct error err = { 0 };

	if (port_set(s, name, words, &err) < 0)
		fail_at(__FILE__, __LINE__, "%s %s: %s", name, words,
			err.message);
}

void sim_set_fails(struct sim *s, const char *name, const char *words,
		   const char *reason, const char *path)
{
	const struct switch_port *p = sim_port(s, name);
	const struct port_config before = p->config;
	struct error err = { 0 };

	assert_true(port_set(s, name, words, &err) < 0);
	check_error(&err, reason, path);
	assert_memory_equal(&before, &p->config, sizeof(before));
}

void sim_mirror(struct sim *s, const char *name, const char *words)
{
	json_t *params = sim_params(config_mirror_params, words);
	struct error err = { 0 };

	if (switch_mirror_add(s->sw, name, params, SWITCH_ORIGIN_CONTROL,
			      &err) < 0)
		fail_at(__FILE__, __LINE__, "%s %s: %s", name, words,
			err.message);
	json_decref(params);
}

struct switch_port *sim_port(struct sim *s, const char *name)
{
	struct switch_port *p = switch_port_find(s->sw, name);

	if (!p)
		fail_at(__FILE__, __LINE__, "there is no port %s", name);
	return p;
}

struct port *sim_dummy(struct sim *s, const char *name)
{
	return sim_port(s, name)->port;
}

/* ---- Frames ---- */

uint32_t sim_build(const struct sim_frame *f, uint8_t *p)
{
	uint32_t payload = f->payload ? f->payload : 46;
	uint8_t *at = p + 12;

	mac_store(p, f->dst);
	mac_store(p + 6, f->src);
	for (unsigned int i = 0; i < 3 && f->tag[i]; i++, at += 4)
		store_be32(at, f->tag[i]);
	store_be16(at, f->type ? f->type : 0x88b5);
	at += 2;
	for (uint32_t i = 0; i < payload; i++)
		at[i] = (uint8_t)(i * 7 + i / 251 + f->id);
	if (payload >= 2)
		store_be16(at, f->id);
	return (uint32_t)(at - p) + payload;
}

void sim_send_bytes(struct sim *s, const char *port, const uint8_t *data,
		    uint32_t len, const struct virtio_net_hdr_v1 *vnet,
		    uint32_t head)
{
	struct switch_port *p = sim_port(s, port);

	assert_int_equal(dummy_inject(p->port, data, len, vnet, head), 0);
	s->ledger[p->port->index].sent++;
}

void sim_send(struct sim *s, const char *port, struct sim_frame f)
{
	uint8_t *data = malloc(FRAME_LEN_MAX + 64);

	assert_non_null(data);
	sim_send_bytes(s, port, data, sim_build(&f, data), NULL, f.head);
	free(data);
}

void sim_seen(struct sim *s, const char *port, uint64_t mac)
{
	uint16_t vid = sim_port(s, port)->config.native;
	struct switch_port *p = NULL;

	sim_step(s, port, FRAME(.src = mac, .dst = MAC_BROADCAST));
	while ((p = switch_port_next(s->sw, p)))
		sim_drain(s, p->port->name);
	assert_string_equal(sim_where(s, vid, mac), port);
}

static void print_frame(const char *title, const uint8_t *p, uint32_t len)
{
	print_error("%s (%u bytes):", title, len);
	for (uint32_t i = 0; i < len && i < 40; i++)
		print_error("%s%02x", i % 2 ? "" : " ", p[i]);
	print_error("%s\n", len > 40 ? " .." : "");
}

/* Take the next frame and compare; returns what came beside the bytes. */
static struct dummy_frame take(struct sim *s, const char *port,
			       const uint8_t *data, uint32_t len,
			       const char *file, int line)
{
	struct dummy_frame got = { 0 };

	if (!dummy_take(sim_dummy(s, port), &got)) {
		print_frame("expected", data, len);
		fail_at(file, line, "%s got no frame", port);
	}
	if (got.len != len || memcmp(got.data, data, len) != 0) {
		uint32_t i = 0;

		while (i < len && i < got.len && got.data[i] == data[i])
			i++;
		print_frame("expected", data, len);
		print_frame("got", got.data, got.len);
		fail_at(file, line, "%s got another frame: differs at %u", port,
			i);
	}
	free(got.data);
	got.data = NULL;
	return got;
}

void sim_expect_bytes_at(struct sim *s, const char *port, const uint8_t *data,
			 uint32_t len, const struct virtio_net_hdr_v1 *vnet,
			 const char *file, int line)
{
	static const struct virtio_net_hdr_v1 none;
	struct dummy_frame got = take(s, port, data, len, file, line);

	if (memcmp(&got.vnet, vnet ? vnet : &none, sizeof(none)) != 0)
		fail_at(file, line,
			"%s: flags %u gso %u size %u hdr %u csum %u+%u", port,
			got.vnet.flags, got.vnet.gso_type, got.vnet.gso_size,
			got.vnet.hdr_len, got.vnet.csum_start,
			got.vnet.csum_offset);
	if (got.mirror_dir != FRAME_DIR_NONE)
		fail_at(file, line, "%s got a mirror's copy", port);
}

void sim_expect_at(struct sim *s, const char *port, struct sim_frame f,
		   const char *file, int line)
{
	uint8_t *data = malloc(FRAME_LEN_MAX + 64);

	assert_non_null(data);
	sim_expect_bytes_at(s, port, data, sim_build(&f, data), NULL, file,
			    line);
	free(data);
}

void sim_expect_copy_at(struct sim *s, const char *port, struct sim_frame f,
			enum frame_dir dir, const char *of, const char *file,
			int line)
{
	uint8_t *data = malloc(FRAME_LEN_MAX + 64);
	struct dummy_frame got;

	assert_non_null(data);
	got = take(s, port, data, sim_build(&f, data), file, line);
	free(data);
	if (got.mirror_dir != dir)
		fail_at(file, line, "%s: direction %d, not %d", port,
			got.mirror_dir, dir);
	if (got.mirror_port != sim_dummy(s, of)->index)
		fail_at(file, line, "%s: a copy of port %u, not of %s", port,
			got.mirror_port, of);
}

void sim_expect_none_at(struct sim *s, const char *file, int line)
{
	struct switch_port *p = NULL;
	struct dummy_frame got;

	while ((p = switch_port_next(s->sw, p))) {
		if (strcmp(p->port->ops->type, "dummy") != 0 ||
		    !dummy_take(p->port, &got))
			continue;
		print_frame("got", got.data, got.len);
		free(got.data);
		fail_at(file, line, "%s got a frame that nobody expected",
			p->port->name);
	}
}

unsigned int sim_drain(struct sim *s, const char *port)
{
	struct dummy_frame got;
	unsigned int n = 0;

	while (dummy_take(sim_dummy(s, port), &got)) {
		free(got.data);
		n++;
	}
	return n;
}

void sim_forgive(struct sim *s)
{
	struct switch_port *p = NULL;
	struct port_counters c;

	while ((p = switch_port_next(s->sw, p))) {
		struct sim_ledger *l = &s->ledger[p->port->index];

		sim_drain(s, p->port->name);
		switch_port_counters(s->sw, p, &c);
		for (int r = 0; r < DROP_REASON_COUNT; r++)
			l->expected[r] = counter_get(&c.rx_drop[r]) +
					 counter_get(&c.tx_drop[r]);
	}
}

/* ---- Counters ---- */

struct port_counters sim_counters(struct sim *s, const char *port)
{
	struct port_counters c;

	switch_port_counters(s->sw, sim_port(s, port), &c);
	return c;
}

static enum drop_reason reason_of(const char *name)
{
	for (int r = 0; r < DROP_REASON_COUNT; r++)
		if (!strcmp(drop_name((enum drop_reason)r), name))
			return (enum drop_reason)r;
	fail_at(__FILE__, __LINE__, "no drop reason is called %s", name);
}

uint64_t sim_drops(struct sim *s, const char *port, const char *reason)
{
	struct port_counters c = sim_counters(s, port);
	enum drop_reason r = reason_of(reason);

	return counter_get(&c.rx_drop[r]) + counter_get(&c.tx_drop[r]);
}

void sim_expect_drops_at(struct sim *s, const char *port, const char *reason,
			 uint64_t n, const char *file, int line)
{
	struct sim_ledger *l = &s->ledger[sim_dummy(s, port)->index];
	enum drop_reason r = reason_of(reason);
	uint64_t is = sim_drops(s, port, reason);

	if (is != l->expected[r] + n)
		fail_at(file, line, "%s dropped %d more for \"%s\", not %d",
			port, (int)(is - l->expected[r]), reason, (int)n);
	l->expected[r] = is;
}

void sim_adopt(struct sim *s, const struct sim *old)
{
	struct switch_port *p = NULL;
	struct error err = { 0 };

	if (switch_counters_adopt(s->sw, ledger_fd(old->sw->shared.ledger),
				  &err) < 0)
		fail_at(__FILE__, __LINE__, "adopt: %s", err.message);
	switch_counters_settle(s->sw);
	while ((p = switch_port_next(s->sw, p))) {
		struct sim_ledger *l = &s->ledger[p->port->index];
		struct port_counters c;

		switch_port_counters(s->sw, p, &c);
		*l = old->ledger[p->port->index];
		l->sent = counter_get(&c.rx_frames);
	}
}

const char *sim_where(struct sim *s, uint16_t vid, uint64_t mac)
{
	uint32_t at = fdb_lookup(s->sw->shared.fdb, fdb_key(vid, mac));

	return at == FDB_NONE ? "" : s->sw->port[at]->port->name;
}
