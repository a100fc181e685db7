/* What is there of the kernel fast path in a build without BPF. */
#include "switchd/fastpath_load.h"

#include <errno.h>
#include <string.h>

struct fastpath_kernel *fastpath_kernel_new(const struct fastpath_sizes *sizes,
					    struct error *err)
{
	(void)sizes;
	error_set(err, ENOTSUP, "no-fast-path", NULL,
		  "switchd was built without BPF");
	return NULL;
}

/* Nobody has one to call these with. */

void fastpath_kernel_free(struct fastpath_kernel *k)
{
	(void)k;
}

int fastpath_kernel_tc(const struct fastpath_kernel *k)
{
	(void)k;
	return -1;
}

bool fastpath_kernel_has_xdp(const struct fastpath_kernel *k)
{
	(void)k;
	return false;
}

void fastpath_kernel_lend(const struct fastpath_kernel *k, int fd[FASTPATH_FDS],
			  struct fastpath_sizes *sizes, uint32_t *cpus)
{
	(void)k;
	memset(sizes, 0, sizeof(*sizes));
	*cpus = 0;
	for (int i = 0; i < FASTPATH_FDS; i++)
		fd[i] = -1;
}

int fastpath_kernel_place(struct fastpath_kernel *k, int ifindex,
			  uint32_t index, bool is_tap)
{
	(void)k;
	(void)ifindex;
	(void)index;
	(void)is_tap;
	return -ENOTSUP;
}

void fastpath_kernel_take_out(struct fastpath_kernel *k, int ifindex)
{
	(void)k;
	(void)ifindex;
}

int fastpath_kernel_at(const struct fastpath_kernel *k, uint32_t index)
{
	(void)k;
	(void)index;
	return 0;
}

int fastpath_kernel_xdp(struct fastpath_kernel *k, int ifindex, bool on)
{
	(void)k;
	(void)ifindex;
	(void)on;
	return -EOPNOTSUPP;
}

void fastpath_kernel_save(const struct fastpath_kernel *k,
			  struct fastpath_saved *s)
{
	(void)k;
	memset(s, 0, sizeof(*s));
}

/* A program with it was before us, and has ports that depend on it. */
int fastpath_kernel_load(const struct fastpath_saved *s, bool anyhow,
			 struct fastpath_kernel **out, struct error *err)
{
	(void)anyhow;
	*out = NULL;
	return s->version ? error_set(err, ENOTSUP, "no-fast-path", NULL,
				      "switchd was built without BPF")
			  : 0;
}

int fastpath_kernel_reattach(struct fastpath_kernel *k)
{
	(void)k;
	return 0;
}

int fastpath_kernel_survive(struct fastpath_kernel *k, bool on)
{
	(void)k;
	(void)on;
	return 0;
}
