#include "control/libvirt/switch_side.h"

#include "control/rpc_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A daemon that needs longer is stuck. */
#define CALL_MS 30000

struct switch_side {
	const char *socket;
	struct rpc_client *client; /* NULL: not connected */
};

struct switch_side *switch_side_new(const char *socket)
{
	struct switch_side *side = calloc(1, sizeof(*side));

	if (side)
		side->socket = socket;
	return side;
}

static void disconnect(struct switch_side *side)
{
	rpc_client_free(side->client);
	side->client = NULL;
}

void switch_side_free(struct switch_side *side)
{
	if (side)
		disconnect(side);
	free(side);
}

static int call(struct switch_side *side, const char *method, json_t *params,
		json_t **result, struct error *e)
{
	int r;

	if (!side->client) {
		json_decref(params);
		return error_set(e, ENOTCONN, "connection-lost", NULL,
				 "the connection to the switch is lost");
	}
	r = rpc_client_call(side->client, method, params, result, NULL, CALL_MS,
			    e);
	if (r < 0 && r != -EREMOTEIO)
		disconnect(side);
	return r;
}

int switch_side_connect(struct switch_side *side, struct error *e)
{
	int r;

	disconnect(side);
	side->client = rpc_client_connect(side->socket, e);
	if (!side->client)
		return -errno;
	r = call(side, "event.subscribe",
		 json_pack("{s:[s,s,s]}", "topics", "port.attached",
			   "port.detached", "port.changed"),
		 NULL, e);
	if (r < 0)
		disconnect(side);
	return r;
}

int switch_side_fd(const struct switch_side *side)
{
	return side->client ? rpc_client_fd(side->client) : -1;
}

bool switch_side_news(struct switch_side *side)
{
	bool news = false;
	json_t *note;
	int r;

	if (!side->client)
		return false;
	while ((r = rpc_client_next(side->client, &note, 0, NULL)) == 0) {
		json_decref(note);
		news = true;
	}
	if (r == -ETIMEDOUT)
		return news;
	disconnect(side);
	return true;
}

static bool is_ours(const json_t *line, const char *marker)
{
	const char *text =
		json_string_value(json_object_get(line, "description"));
	size_t len = strlen(marker);

	return text && !strncmp(text, marker, len) && text[len] == ' ';
}

/* A port as it was attached, with all its parameters. */
static int add_port(struct switch_side *side, const char *name,
		    struct actual *ports, struct error *e)
{
	json_t *port = NULL;
	int r = call(side, "port.show", json_pack("{s:s}", "name", name), &port,
		     e);

	if (r == -EREMOTEIO && !strcmp(e->reason, "no-such-port"))
		return 0; /* gone meanwhile */
	if (r < 0)
		return r;
	r = actual_add(ports, name,
		       json_incref(json_object_get(port, "parameters")));
	json_decref(port);
	return r < 0 ? error_set(e, -r, "no-memory", NULL, "no memory") : 0;
}

int switch_side_ports(struct switch_side *side, const char *marker,
		      struct actual *ports, struct error *e)
{
	json_t *page, *line, *after = NULL;
	size_t i;
	int r;

	do {
		json_t *params = json_object();

		if (after)
			json_object_set_new(params, "after", after);
		r = call(side, "port.list", params, &page, e);
		if (r < 0)
			return r;
		json_array_foreach(json_object_get(page, "ports"), i, line) {
			if (r == 0 && is_ours(line, marker))
				r = add_port(side,
					     json_string_value(json_object_get(
						     line, "name")),
					     ports, e);
		}
		after = json_incref(json_object_get(page, "next"));
		json_decref(page);
	} while (r == 0 && json_is_string(after));
	json_decref(after);
	return r;
}

int switch_side_do(struct switch_side *side, const struct action *action,
		   struct error *e)
{
	json_t *params =
		action->params ? json_copy(action->params) : json_object();
	int r;

	json_object_set_new(params, "name", json_string(action->name));
	/* The port is its guest's: config.save leaves it out, and a device that
	 * goes takes it along. */
	if (action->kind == ACTION_ATTACH)
		json_object_set_new(params, "transient", json_true());
	r = call(side, action_method(action), params, NULL, e);
	if (r == -EREMOTEIO && action->kind == ACTION_DETACH &&
	    !strcmp(e->reason, "no-such-port"))
		return 0; /* its device was quicker */
	return r;
}
