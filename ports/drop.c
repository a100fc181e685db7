#include "ports/drop.h"

static const struct {
	const char *name, *text;
} reasons[] = {
#define DROP_ROW(id, name, text) [DROP_##id] = { name, text },
	DROP_REASONS(DROP_ROW)
};

const char *drop_name(enum drop_reason why)
{
	return reasons[why].name;
}

const char *drop_text(enum drop_reason why)
{
	return reasons[why].text;
}
