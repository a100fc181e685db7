#include "switchd/snapshot.h"

#include <errno.h>
#include <stdlib.h>

#define FLOODABLE (DECIDE_ENABLED | DECIDE_FLOOD)

struct snapshot *snapshot_new(uint32_t nports, uint32_t nmirrors)
{
	struct snapshot *s =
		calloc(1, sizeof(*s) + nports * sizeof(s->port[0]));

	if (!s)
		return NULL;
	s->nports = nports;
	s->nmirrors = nmirrors;
	if (nmirrors) {
		s->mirror = calloc(nmirrors, sizeof(s->mirror[0]));
		if (!s->mirror) {
			free(s);
			return NULL;
		}
	}
	return s;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->nsets; i++)
		free(s->sets[i]);
	free(s->sets);
	free(s->mirror);
	free(s);
}

static bool port_floods(const struct snapshot_port *p)
{
	return p->port && (p->decide.flags & FLOODABLE) == FLOODABLE &&
	       !(p->decide.flags & DECIDE_TARGET);
}

static bool vlans_all(const uint64_t *vlans)
{
	for (int i = 0; i < SNAPSHOT_VLANS / 64; i++)
		if (vlans[i] != UINT64_MAX)
			return false;
	return true;
}

/*
 * Split the classes of VLANs by one port's membership: two VLANs stay in one
 * class as long as every port so far carries both or neither. `split[c]` is
 * the class that members of class c move to. Returns the number of classes.
 */
static uint32_t classes_split(uint16_t *class, uint32_t n,
			      const uint64_t *vlans)
{
	uint16_t split[SNAPSHOT_VLANS];
	uint32_t in[SNAPSHOT_VLANS] = { 0 }, all[SNAPSHOT_VLANS] = { 0 };

	for (uint32_t vid = 0; vid < SNAPSHOT_VLANS; vid++) {
		all[class[vid]]++;
		in[class[vid]] += decide_vlan_test(vlans, vid);
	}
	for (uint32_t c = 0, first = n; c < first; c++)
		split[c] = (uint16_t)(in[c] && in[c] < all[c] ? n++ : c);
	for (uint32_t vid = 0; vid < SNAPSHOT_VLANS; vid++)
		if (decide_vlan_test(vlans, vid))
			class[vid] = split[class[vid]];
	return n;
}

static struct snapshot_flood *flood_build(const struct snapshot *s,
					  uint16_t vid)
{
	struct snapshot_flood *f =
		malloc(sizeof(*f) + s->nports * sizeof(f->port[0]));
	struct snapshot_flood *fit;

	if (!f)
		return NULL;
	f->n = 0;
	for (uint32_t i = 0; i < s->nports; i++)
		if (port_floods(&s->port[i]) &&
		    decide_in_vlan(&s->port[i].decide, vid))
			f->port[f->n++] = (uint16_t)i;
	fit = realloc(f, sizeof(*f) + f->n * sizeof(f->port[0]));
	return fit ? fit : f;
}

int snapshot_finish(struct snapshot *s)
{
	uint16_t class[SNAPSHOT_VLANS] = { 0 };
	uint32_t n = 1;

	for (uint32_t i = 0; i < s->nports; i++) {
		struct snapshot_port *p = &s->port[i];

		if (vlans_all(p->vlans)) {
			p->decide.vlans = NULL;
			continue;
		}
		p->decide.vlans = p->vlans;
		if (port_floods(p))
			n = classes_split(class, n, p->vlans);
	}
	s->sets = calloc(n, sizeof(struct snapshot_flood *));
	if (!s->sets)
		return -ENOMEM;
	s->nsets = n;
	for (uint32_t vid = 0; vid < SNAPSHOT_VLANS; vid++) {
		uint16_t c = class[vid];

		if (!s->sets[c])
			s->sets[c] = flood_build(s, (uint16_t)vid);
		if (!s->sets[c])
			return -ENOMEM;
		s->sets[c]->id = c;
		s->flood[vid] = s->sets[c];
	}
	return 0;
}
