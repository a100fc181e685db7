#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *e, int err, const char *reason, const char *path,
	      const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -err;
	e->err = err;
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	snprintf(e->path, sizeof(e->path), "%s", path ? path : "");
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	return -err;
}

void error_prefix(struct error *e, const char *prefix)
{
	struct error old;
	const char *dot;

	if (!e)
		return;
	old = *e;
	dot = *old.path && *old.path != '[' ? "." : "";
	/* A path too long for the field is cut; its beginning helps most. */
	if (snprintf(e->path, sizeof(e->path), "%s%s%s", prefix, dot,
		     old.path) < 0)
		e->path[0] = '\0';
}
