#include "tests/sim/sim_kernel.h"

struct sim_kernel_seen sim_kernel_seen;

const char *sim_kernel_why(void)
{
	return "it is built without BPF";
}

struct fastpath *sim_kernel_open(uint32_t fdb_entries)
{
	(void)fdb_entries;
	return NULL;
}

void sim_kernel_close(struct fastpath *f)
{
	(void)f;
}

struct fastpath_global *sim_kernel_global(void)
{
	return NULL;
}

const struct sim_kernel_result *sim_kernel_run(struct sim *s, uint32_t index,
					       const struct frame *f, bool keep)
{
	static const struct sim_kernel_result unknown;

	(void)s;
	(void)index;
	(void)f;
	(void)keep;
	return &unknown;
}

const struct sim_kernel_result *sim_kernel_try(struct sim *s, uint32_t index,
					       const struct frame *f)
{
	return sim_kernel_run(s, index, f, false);
}

void sim_kernel_poll(struct sim *s, struct switch_port *p, const char *file,
		     int line)
{
	(void)file;
	(void)line;
	worker_poll(p->worker[0], p->port->index, p->port->generation,
		    s->now_s);
}
