#include "ports/vde_request.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define REQUEST_MAGIC	 0xfeedfaceu
#define REQUEST_VERSION	 3
#define TYPE_NEW_CONTROL 0
#define TYPE_NEW_PORT_0	 1 /* vde_switch's own: who manages it by IP */

/* Where in a request. */
#define AT_VERSION     4
#define AT_TYPE	       8
#define AT_ADDRESS     12
#define AT_PATH	       (AT_ADDRESS + 2)
#define AT_DESCRIPTION 122

_Static_assert(sizeof(struct sockaddr_un) == VDE_ADDRESS_LEN,
	       "Linux's is 110 bytes");
_Static_assert(AT_ADDRESS + VDE_ADDRESS_LEN == AT_DESCRIPTION &&
		       AT_DESCRIPTION == VDE_REQUEST_MIN,
	       "the description is last");

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The first bytes, as far as they are there, aren't the magic number's. */
static bool magic_is_wrong(const uint8_t *buf, size_t len)
{
	const uint32_t magic = REQUEST_MAGIC;

	return memcmp(buf, &magic, len < sizeof(magic) ? len : sizeof(magic));
}

/* What is wrong with the type, or NULL. */
static const char *check_type(uint32_t type)
{
	if ((type & 0xff) == TYPE_NEW_PORT_0)
		return "there is no port 0 here, by which vde_switch is "
		       "managed";
	if ((type & 0xff) != TYPE_NEW_CONTROL)
		return "of an unknown type";
	if (type >> 8 > VDE_NUMBER_MAX)
		return "the port's number is too high";
	return NULL;
}

static const char *check_address(const uint8_t *address)
{
	sa_family_t family;

	memcpy(&family, address, sizeof(family));
	if (family != AF_UNIX)
		return "the client's address is of another family";
	if (address[2] != '\0' && address[2] != '/')
		return "the client's address is no absolute path";
	return NULL;
}

/* What is wrong with the part of it that is there, or NULL. */
static const char *find_mistake(const uint8_t *buf, size_t len)
{
	const char *why = NULL;

	if (magic_is_wrong(buf, len))
		return "it doesn't begin as one";
	if (len >= AT_TYPE && get_u32(buf + AT_VERSION) != REQUEST_VERSION)
		return "of another version than 3";
	if (len >= AT_ADDRESS)
		why = check_type(get_u32(buf + AT_TYPE));
	if (!why && len > AT_PATH)
		why = check_address(buf + AT_ADDRESS);
	return why;
}

bool vde_address_abstract(const uint8_t address[VDE_ADDRESS_LEN])
{
	return address[2] == '\0';
}

void vde_address_path(const uint8_t address[VDE_ADDRESS_LEN],
		      char path[VDE_ADDRESS_LEN])
{
	memcpy(path, address + 2, VDE_ADDRESS_LEN - 2);
	path[VDE_ADDRESS_LEN - 2] = '\0';
}

int vde_address_make(uint8_t address[VDE_ADDRESS_LEN], const void *name,
		     size_t n)
{
	const sa_family_t family = AF_UNIX;

	if (n > VDE_ADDRESS_LEN - sizeof(family))
		return -ENAMETOOLONG;
	memset(address, 0, VDE_ADDRESS_LEN);
	memcpy(address, &family, sizeof(family));
	memcpy(address + sizeof(family), name, n);
	return 0;
}

/* It gets into listings and logs. */
static void take_description(struct vde_request *rq, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && p[i]; i++)
		rq->description[i] =
			p[i] >= ' ' && p[i] <= '~' ? (char)p[i] : '?';
	rq->description[i] = '\0';
}

int vde_request_parse(const uint8_t *buf, size_t len, bool uml,
		      struct vde_request *rq, const char **why)
{
	bool padded;

	*why = find_mistake(buf, len);
	if (!*why && uml && len > VDE_REQUEST_UML)
		*why = "longer than uml_switch's";
	if (*why)
		return -EPROTO;
	if (len < (uml ? VDE_REQUEST_UML : VDE_REQUEST_MIN))
		return 0;
	if (len > VDE_REQUEST_MAX)
		len = VDE_REQUEST_MAX;
	memset(rq, 0, sizeof(*rq));
	memcpy(rq->peer, buf + AT_ADDRESS, sizeof(rq->peer));
	rq->number = (uint16_t)(get_u32(buf + AT_TYPE) >> 8);
	padded = uml ||
		 (len == VDE_REQUEST_UML && vde_address_abstract(rq->peer));
	if (!padded)
		take_description(rq, buf + AT_DESCRIPTION,
				 len - AT_DESCRIPTION);
	return 1;
}
