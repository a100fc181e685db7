#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULES_MAX 32
#define LOG_LINE_MAX	1024

static const char *const level_names[] = {
	[LOG_LEVEL_ERR] = "err",       [LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_NOTICE] = "notice", [LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static struct {
	enum log_level base; /* modules that are not named below */
	unsigned int n;
	struct {
		char name[16];
		enum log_level level;
	} module[LOG_MODULES_MAX];
} levels = { .base = LOG_LEVEL_NOTICE };

static bool to_journal;

void log_init(void)
{
	to_journal = getenv("JOURNAL_STREAM") != NULL;
}

static int level_parse(const char *name)
{
	for (int i = LOG_LEVEL_ERR; i <= LOG_LEVEL_DEBUG; i++)
		if (!strcmp(name, level_names[i]))
			return i;
	return -1;
}

static int level_set_one(const char *item)
{
	const char *eq = strchr(item, '=');
	int level = level_parse(eq ? eq + 1 : item);
	size_t len = eq ? (size_t)(eq - item) : 0;
	unsigned int i;

	if (level < 0 || len >= sizeof(levels.module[0].name))
		return -EINVAL;
	if (!eq) {
		levels.base = (enum log_level)level;
		return 0;
	}
	for (i = 0; i < levels.n; i++)
		if (strlen(levels.module[i].name) == len &&
		    !memcmp(levels.module[i].name, item, len))
			break;
	if (len == 0 || i == LOG_MODULES_MAX)
		return -EINVAL;
	if (i == levels.n)
		levels.n++;
	memcpy(levels.module[i].name, item, len);
	levels.module[i].name[len] = '\0';
	levels.module[i].level = (enum log_level)level;
	return 0;
}

int log_set_level(const char *spec)
{
	__typeof__(levels) saved = levels;
	char buf[256];
	char *save = NULL;

	if (strlen(spec) >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, spec, strlen(spec) + 1);
	for (char *item = strtok_r(buf, ",", &save); item;
	     item = strtok_r(NULL, ",", &save)) {
		if (level_set_one(item) < 0) {
			levels = saved;
			return -EINVAL;
		}
	}
	return 0;
}

int log_enabled(const char *module, enum log_level level)
{
	for (unsigned int i = 0; i < levels.n; i++)
		if (!strcmp(levels.module[i].name, module))
			return level <= levels.module[i].level;
	return level <= levels.base;
}

/* May this site speak? *held is set to what it held back before. */
static int site_admit(struct log_site *site, uint32_t *held)
{
	uint32_t window = (uint32_t)(clock_ns() / 1000000000u / LOG_INTERVAL);
	uint32_t was =
		atomic_load_explicit(&site->window, memory_order_relaxed);
	uint32_t n;

	*held = 0;
	window++; /* 0 is "never spoke" */
	if (was != window &&
	    atomic_compare_exchange_strong(&site->window, &was, window)) {
		n = atomic_exchange(&site->count, 1);
		if (was && n > LOG_BURST)
			*held = n - LOG_BURST;
		return 1;
	}
	return atomic_fetch_add(&site->count, 1) < LOG_BURST;
}

/*
 * Put as much of `text` as fits into `size` bytes at `to`, control bytes as
 * \xNN; whole or not at all. Returns the bytes used; no NUL.
 */
static size_t escape(char *to, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool control = c < 0x20 || c == 0x7f;

		if (n + (control ? 4 : 1) > size)
			break;
		if (!control) {
			to[n++] = *text;
			continue;
		}
		to[n++] = '\\';
		to[n++] = 'x';
		to[n++] = hex[c >> 4];
		to[n++] = hex[c & 15];
	}
	return n;
}

void log_write(struct log_site *site, const char *module, enum log_level level,
	       const char *fmt, ...)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
	size_t n = 0, used;
	uint32_t held;
	va_list ap;

	if (!site_admit(site, &held))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	used = strlen(text);
	if (held)
		snprintf(text + used, sizeof(text) - used,
			 " (%u alike held back)", held);
	if (to_journal)
		n += (size_t)snprintf(line, sizeof(line), "<%d>", level);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%.64s: ", module);
	n += escape(line + n, sizeof(line) - n - 1, text);
	line[n++] = '\n';
	/* One write a line, so that lines of several threads don't mix. There
	 * is nobody to tell where stderr itself is gone. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
