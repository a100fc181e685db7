/* listener.*: see methods.h. */
#include "switchd/methods.h"

#include "switchd/listener.h"

#include <errno.h>

void method_listener_add(struct rpc_call *call, json_t *params, void *ctx)
{
	const char *name = rpc_get_string(params, "name", "");
	struct daemon *d = ctx;
	struct error err = { 0 };

	if (listener_add(d->sw, name, params, SWITCH_ORIGIN_CONTROL, &err) < 0)
		rpc_error(call, &err);
	else
		rpc_reply(call, listener_show(d->sw, name));
}

void method_listener_remove(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct error err = { 0 };

	if (listener_remove(d->sw, rpc_get_string(params, "name", ""), &err) <
	    0)
		rpc_error(call, &err);
	else
		rpc_reply(call, json_object());
}

void method_listener_list(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;

	(void)params;
	rpc_reply(call, json_pack("{s:o}", "listeners", listeners_list(d->sw)));
}

void method_listener_show(struct rpc_call *call, json_t *params, void *ctx)
{
	const char *name = rpc_get_string(params, "name", "");
	struct daemon *d = ctx;
	json_t *shown = listener_show(d->sw, name);

	if (shown)
		rpc_reply(call, shown);
	else
		rpc_fail(call, ENOENT, "no-such-listener", "name",
			 "there is no listener \"%s\"", name);
}
