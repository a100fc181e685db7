/*
 * fuzz_domain_xml - what is said of a domain's ports
 *
 * Input: a document; or, where it doesn't begin as one, metadata and what is
 * behind a NUL, interfaces, of a domain that has them. What comes out is a
 * name, and parameters that can be sent to the switch, or a problem.
 */
#include "control/libvirt/domain_xml.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct wanted *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct wanted_port *p = &w->port[i];
		char *text;

		if (strlen(p->name) >= WANTED_NAME_MAX)
			abort();
		if (!p->params) {
			if (!*p->problem)
				abort();
			continue;
		}
		text = json_dumps(p->params, 0);
		if (!text ||
		    !json_is_string(json_object_get(p->params, "type")) ||
		    !json_is_string(json_object_get(p->params, "description")))
			abort();
		free(text);
	}
}

static void read_as(const char *xml, enum domain_part part)
{
	static const struct domain_options options = { .marker = "libvirt x",
						       .owner = "qemu" };
	struct wanted w = { 0 };
	struct error e = { 0 };

	if (domain_xml_ports(xml, part, &options, &w, &e) == 0)
		check(&w);
	else if (!e.err || !*e.reason)
		abort();
	wanted_clear(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char in[INPUT_MAX + 1], xml[2 * INPUT_MAX];
	const char *interfaces;

	if (size > INPUT_MAX)
		return 0;
	memcpy(in, data, size);
	in[size] = '\0';
	interfaces = strlen(in) < size ? in + strlen(in) + 1 : "";
	if (*in == '<' && (in[1] == '?' || in[1] == '!' || in[1] == 'd'))
		snprintf(xml, sizeof(xml), "%s", in);
	else
		snprintf(
			xml, sizeof(xml),
			"<domain><name>vm</name>"
			"<uuid>11111111-2222-4333-8444-555555555555</uuid>"
			"<metadata>%s</metadata><devices>%s</devices></domain>",
			in, interfaces);
	read_as(xml, DOMAIN_RUNNING);
	read_as(xml, DOMAIN_DEFINED);
	return 0;
}
