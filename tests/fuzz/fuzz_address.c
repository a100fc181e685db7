/*
 * fuzz_address - addresses, networks and forwardings as text
 *
 * Input: texts, NUL between them. Whoever sends them may be a switch process
 * that was taken over, so the monitor reads them, too.
 */
#include "ports/ip_address.h"
#include "ports/slirp_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is an address is so in the one way to write it. */
static void address(const char *text)
{
	char once[IP_ADDRESS_STRLEN], twice[IP_ADDRESS_STRLEN];
	struct ip_address a, b;

	if (ip_address_parse(text, &a) < 0)
		return;
	ip_address_format(&a, once);
	if (ip_address_parse(once, &b) < 0 || a.len != b.len ||
	    memcmp(&a, &b, a.len) != 0 || !ip_address_port(&a) ||
	    ip_address_is_host(&a) != ip_address_is_host(&b) ||
	    strcmp(once, ip_address_format(&b, twice)) != 0)
		abort();
}

static void network(const char *const text[TEXTS])
{
	struct slirp_params p = { .restricted = false };
	struct slirp_settings s;
	struct error err = { 0 };
	uint32_t mtu = (uint32_t)strtoul(text[4], NULL, 10);

	snprintf(p.ipv4, sizeof(p.ipv4), "%s", text[0]);
	snprintf(p.ipv6, sizeof(p.ipv6), "%s", text[1]);
	snprintf(p.hostfwd, sizeof(p.hostfwd), "%s", text[2]);
	snprintf(p.hostname, sizeof(p.hostname), "%s", text[3]);
	if (slirp_settings_parse(&p, mtu, &s, &err) < 0) {
		if (!err.err || !*err.reason || !*err.path)
			abort();
		return;
	}
	if (s.forwards > SLIRP_FORWARDS_MAX || (!s.ipv4 && !s.ipv6) ||
	    (s.ipv4 && (s.network.s_addr & ~s.mask.s_addr) != 0))
		abort();
	for (unsigned int i = 0; i < s.forwards; i++)
		if (s.forward[i].host.sa.sa_family !=
			    s.forward[i].guest.sa.sa_family ||
		    !s.forward[i].host.in.sin_port ||
		    !s.forward[i].guest.in.sin_port)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text[TEXTS] = { "", "", "", "", "" };
	char *copy = malloc(size + 1), *at = copy;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	copy[size] = '\0';
	for (unsigned int i = 0; i < TEXTS && at <= copy + size; i++) {
		text[i] = at;
		address(at);
		at += strlen(at) + 1;
	}
	network(text);
	free(copy);
	return 0;
}
