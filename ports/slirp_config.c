#include "ports/slirp_config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As QEMU has them. */
#define HOST_GATEWAY	2
#define HOST_NAMESERVER 3
#define HOST_DHCP	15

/* 32 addresses at least: libslirp's DHCP gives .15 to .30. */
#define IPV4_BITS_MIN 8
#define IPV4_BITS_MAX 27
/* What guests can make their own addresses in: RFC 4862, RFC 4291 2.5.1. */
#define IPV6_BITS 64

/* libslirp keeps so much of it, and cuts the rest off. */
#define HOSTNAME_MAX 32

static int bad(struct error *err, const char *path, const char *what,
	       const char *text)
{
	return error_set(err, EINVAL, "bad-value", path, "\"%.80s\" %s", text,
			 what);
}

/* "ADDRESS/BITS": the address (`size` bytes) and the bits. Returns whether that
 * is what it is. */
static bool parse_network(int family, const char *text, void *address,
			  unsigned long *bits)
{
	const char *slash = strchr(text, '/');
	char buf[INET6_ADDRSTRLEN];
	char *end;

	if (!slash || (size_t)(slash - text) >= sizeof(buf) ||
	    !isdigit((unsigned char)slash[1]))
		return false;
	memcpy(buf, text, (size_t)(slash - text));
	buf[slash - text] = '\0';
	*bits = strtoul(slash + 1, &end, 10);
	return !*end && inet_pton(family, buf, address) == 1;
}

static int parse_ipv4(const char *text, struct slirp_settings *s,
		      struct error *err)
{
	unsigned long bits;
	uint32_t net, mask;
	struct in_addr a;

	if (!strcmp(text, "none"))
		return 0;
	if (!*text)
		text = SLIRP_IPV4;
	if (!parse_network(AF_INET, text, &a, &bits))
		return bad(err, "ipv4",
			   "is no network such as " SLIRP_IPV4
			   ", nor is it none",
			   text);
	if (bits < IPV4_BITS_MIN || bits > IPV4_BITS_MAX)
		return bad(err, "ipv4",
			   "isn't of a size that DHCP has room in: /8 to /27",
			   text);
	net = ntohl(a.s_addr);
	mask = ~0u << (32 - bits);
	if (net & ~mask)
		return bad(err, "ipv4",
			   "is an address: a network ends with zeros", text);
	/* 0/8, 127/8, and from 224/4 on: RFC 6890. */
	if (net >> 24 == 0 || net >> 24 == 127 || net >> 28 >= 14)
		return bad(err, "ipv4", "is no network for guests", text);
	s->ipv4 = true;
	s->network = a;
	s->mask.s_addr = htonl(mask);
	s->gateway.s_addr = htonl(net | HOST_GATEWAY);
	s->nameserver.s_addr = htonl(net | HOST_NAMESERVER);
	s->dhcp.s_addr = htonl(net | HOST_DHCP);
	return 0;
}

static int parse_ipv6(const char *text, struct slirp_settings *s,
		      struct error *err)
{
	static const struct in6_addr none;
	unsigned long bits;
	struct in6_addr a;

	if (!strcmp(text, "none"))
		return 0;
	if (!*text)
		text = SLIRP_IPV6;
	if (!parse_network(AF_INET6, text, &a, &bits))
		return bad(err, "ipv6",
			   "is no network such as " SLIRP_IPV6
			   ", nor is it none",
			   text);
	if (bits != IPV6_BITS || memcmp(&a.s6_addr[8], &none, 8) != 0)
		return bad(err, "ipv6",
			   "isn't a prefix of 64 bits, with zeros behind",
			   text);
	if (!memcmp(&a, &none, 8) || IN6_IS_ADDR_MULTICAST(&a) ||
	    IN6_IS_ADDR_LINKLOCAL(&a))
		return bad(err, "ipv6", "is no prefix for guests", text);
	s->ipv6 = true;
	s->prefix = s->gateway6 = s->nameserver6 = a;
	s->prefix_len = IPV6_BITS;
	s->gateway6.s6_addr[15] = HOST_GATEWAY;
	s->nameserver6.s6_addr[15] = HOST_NAMESERVER;
	return 0;
}

/* Of DHCP's answer: RFC 952's letters and more, and no control characters. */
static int check_hostname(const char *text, struct error *err)
{
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
			return bad(err, "hostname",
				   "isn't letters, digits, - and .", text);
	if (strlen(text) > HOSTNAME_MAX)
		return bad(err, "hostname", "is longer than 32 bytes", text);
	return 0;
}

/* ---- hostfwd ---- */

/* "PORT": 1 to 65535, in network order; 0: it isn't. */
static in_port_t parse_port(const char *text)
{
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)*text))
		return 0;
	n = strtoul(text, &end, 10);
	return *end || n < 1 || n > 65535 ? 0 : htons((in_port_t)n);
}

/* "ADDRESS:PORT", "[ADDRESS]:PORT"; ":PORT" has `otherwise`. Changes text. */
static bool parse_end(char *text, in_addr_t otherwise, union slirp_address *a)
{
	char *colon = strrchr(text, ':');
	in_port_t port;

	memset(a, 0, sizeof(*a));
	if (!colon)
		return false;
	*colon = '\0';
	port = parse_port(colon + 1);
	if (*text == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = port;
		return port &&
		       inet_pton(AF_INET6, text + 1, &a->in6.sin6_addr) == 1;
	}
	a->in.sin_family = AF_INET;
	a->in.sin_port = port;
	a->in.sin_addr.s_addr = otherwise;
	return port &&
	       (!*text || inet_pton(AF_INET, text, &a->in.sin_addr) == 1);
}

/* One of the list, a copy that may be changed. */
static bool parse_one(char *text, struct slirp_forward *f)
{
	char *dash = strchr(text, '-');

	if (!dash || (strncmp(text, "tcp:", 4) && strncmp(text, "udp:", 4)))
		return false;
	*dash = '\0';
	f->udp = *text == 'u';
	return parse_end(text + 4, htonl(INADDR_LOOPBACK), &f->host) &&
	       parse_end(dash + 1, INADDR_ANY, &f->guest) &&
	       f->host.sa.sa_family == f->guest.sa.sa_family;
}

static bool within(const struct slirp_settings *s,
		   const union slirp_address *guest)
{
	if (guest->sa.sa_family == AF_INET6)
		return s->ipv6 && !memcmp(&guest->in6.sin6_addr, &s->prefix, 8);
	return s->ipv4 && (!guest->in.sin_addr.s_addr ||
			   (guest->in.sin_addr.s_addr & s->mask.s_addr) ==
				   s->network.s_addr);
}

static int parse_hostfwd(const char *text, struct slirp_settings *s,
			 struct error *err)
{
	while (*text) {
		struct slirp_forward *f = &s->forward[s->forwards];
		size_t n = strcspn(text, ",");
		char one[128], copy[128];

		snprintf(one, sizeof(one), "%.*s", (int)n, text);
		memcpy(copy, one, sizeof(copy));
		if (s->forwards == SLIRP_FORWARDS_MAX)
			return bad(err, "hostfwd", "is one more than 16", one);
		if (n >= sizeof(one) || !parse_one(copy, f))
			return bad(err, "hostfwd",
				   "isn't of the form "
				   "tcp:127.0.0.1:8080-10.0.2.15:80",
				   one);
		if (!within(s, &f->guest))
			return bad(err, "hostfwd",
				   "leads to no address of the guests' network",
				   one);
		if (f->guest.sa.sa_family == AF_INET &&
		    !f->guest.in.sin_addr.s_addr)
			f->guest.in.sin_addr = s->dhcp;
		s->forwards++;
		text += n;
		if (*text == ',' && !*++text)
			return bad(err, "hostfwd", "ends with a comma", one);
	}
	return 0;
}

int slirp_settings_parse(const struct slirp_params *p, uint32_t mtu,
			 struct slirp_settings *s, struct error *err)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->mtu = mtu ? mtu : SLIRP_MTU_DEFAULT;
	if (s->mtu < SLIRP_MTU_MIN || s->mtu > SLIRP_MTU_MAX)
		return error_set(err, EINVAL, "out-of-range", "mtu",
				 "with type=slirp the MTU is from %d to %d",
				 SLIRP_MTU_MIN, SLIRP_MTU_MAX);
	r = parse_ipv4(p->ipv4, s, err);
	if (r == 0)
		r = parse_ipv6(p->ipv6, s, err);
	if (r == 0 && !s->ipv4 && !s->ipv6)
		r = error_set(err, EINVAL, "bad-value", "ipv6",
			      "neither IPv4 nor IPv6 is left");
	if (r == 0)
		r = check_hostname(p->hostname, err);
	return r < 0 ? r : parse_hostfwd(p->hostfwd, s, err);
}

socklen_t slirp_address_len(const union slirp_address *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}
