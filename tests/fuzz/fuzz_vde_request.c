/*
 * fuzz_vde_request - what a client of a vde or uml listener says first
 *
 * It is looked at byte by byte as it comes, and what was said of the beginning
 * holds for the rest.
 */
#include "ports/vde_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct vde_request *rq)
{
	char path[VDE_ADDRESS_LEN];
	uint8_t again[VDE_ADDRESS_LEN];

	if (strlen(rq->description) > VDE_DESCRIPTION_MAX)
		abort();
	for (const char *p = rq->description; *p; p++)
		if (*p < ' ' || *p > '~')
			abort();
	if (vde_address_abstract(rq->peer))
		return;
	vde_address_path(rq->peer, path);
	if (path[0] != '/' || strlen(path) >= sizeof(path) ||
	    vde_address_make(again, path, strlen(path)) < 0 ||
	    memcmp(again, rq->peer, 2 + strlen(path)) != 0)
		abort();
}

static void hear(const uint8_t *data, size_t size, bool uml)
{
	int before = 0;

	for (size_t len = 0; len <= size; len++) {
		/* A read behind what has come is seen. */
		uint8_t *part = malloc(len ? len : 1);
		struct vde_request rq;
		const char *why = NULL;
		int r;

		if (!part)
			abort();
		memcpy(part, data, len);
		r = vde_request_parse(part, len, uml, &rq, &why);
		free(part);
		if (r == 1)
			check(&rq);
		else if (r == -EPROTO ? !why : r != 0)
			abort();
		if ((before < 0 && r >= 0) || (before > 0 && r == 0) ||
		    (before > 0 && r < 0 && !uml))
			abort();
		before = r;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > VDE_REQUEST_MAX)
		size = VDE_REQUEST_MAX;
	hear(data, size, false);
	hear(data, size, true);
	return 0;
}
