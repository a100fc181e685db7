#include "ports/drop.h"

static const struct {
	const char *name, *text;
} reasons[] = {
#define X(id, name, text) [DROP_##id] = { name, text },
	DROP_REASONS(X)
#undef X
};

const char *drop_name(enum drop_reason why)
{
	return reasons[why].name;
}

const char *drop_text(enum drop_reason why)
{
	return reasons[why].text;
}
