#include "ports/ip_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_DIGITS 5
#define PORT_LAST   65535

/* The port behind the last colon, or 0; *colon is where that is. */
static uint16_t parse_port(const char *text, const char **colon)
{
	size_t digits;
	long port;

	*colon = strrchr(text, ':');
	if (!*colon)
		return 0;
	digits = strspn(*colon + 1, "0123456789");
	if (digits == 0 || digits > PORT_DIGITS || (*colon)[1 + digits])
		return 0;
	port = strtol(*colon + 1, NULL, 10);
	return port <= PORT_LAST ? (uint16_t)port : 0;
}

int ip_address_parse(const char *text, struct ip_address *a)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon;
	uint16_t port = parse_port(text, &colon);
	bool brackets = *text == '[';
	size_t len;

	memset(a, 0, sizeof(*a));
	if (!port)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (brackets) {
		if (len < 2 || colon[-1] != ']')
			return -EINVAL;
		text++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (brackets) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(port);
		a->len = sizeof(a->in6);
		return inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1
			       ? 0
			       : -EINVAL;
	}
	a->in.sin_family = AF_INET;
	a->in.sin_port = htons(port);
	a->len = sizeof(a->in);
	return inet_pton(AF_INET, host, &a->in.sin_addr) == 1 ? 0 : -EINVAL;
}

const char *ip_address_format(const struct ip_address *a, char *buf)
{
	char host[INET6_ADDRSTRLEN] = "";
	bool six = a->sa.sa_family == AF_INET6;

	if (six)
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
	else
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
	snprintf(buf, IP_ADDRESS_STRLEN, six ? "[%s]:%u" : "%s:%u", host,
		 ip_address_port(a));
	return buf;
}

uint16_t ip_address_port(const struct ip_address *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port
						 : a->in.sin_port);
}

bool ip_address_is_host(const struct ip_address *a)
{
	uint32_t four = ntohl(a->in.sin_addr.s_addr);

	if (a->sa.sa_family == AF_INET6)
		return !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr) &&
		       !IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
	return four != INADDR_ANY && four != INADDR_BROADCAST &&
	       !IN_MULTICAST(four);
}
