/*
 * log - one line a call to stderr, levels per module, rate-limited
 *
 * Levels: err = someone must act, warning = degraded, notice = state change,
 * info = lifecycle, debug. Under systemd (JOURNAL_STREAM set) a line begins
 * with `<N>` so that the journal knows its level; elsewhere with the module.
 * A module is the folder or subject that speaks: "port", "fdb", "control".
 * Control bytes in a message are written as \xNN: what comes from clients and
 * guests (names, paths) can neither forge a line nor move a cursor.
 *
 * Each call site lets LOG_BURST lines through in LOG_INTERVAL seconds and
 * then says how many it held back. Never log per frame all the same: the
 * limiter costs a clock read.
 *
 * Threads: log_init and log_set_level before threads start; the rest from any
 * thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

/* The numbers are syslog's (RFC 5424 section 6.2.1), as <N> wants them. */
enum log_level {
	LOG_LEVEL_ERR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

#define LOG_BURST    10
#define LOG_INTERVAL 5 /* seconds */

/* One per call site, static, zero-initialised. */
struct log_site {
	_Atomic uint32_t window; /* LOG_INTERVAL the count belongs to */
	_Atomic uint32_t count;	 /* lines in that window */
};

/*
 * Learn from the environment whether the journal reads stderr. Runs by itself
 * when the program starts: later on another thread may change the environment.
 */
void log_init(void) __attribute__((constructor));

/*
 * Set levels from `spec`: "debug" for every module or "MODULE=LEVEL", a
 * comma between several. Level names: err warning notice info debug.
 * Returns 0, or -EINVAL: then nothing has changed.
 */
int log_set_level(const char *spec) __attribute__((warn_unused_result));

/* Would a line of this module and level be written? */
int log_enabled(const char *module, enum log_level level);

/* Write one line; use the macros, which skip the work where it's not wanted. */
void log_write(struct log_site *site, const char *module, enum log_level level,
	       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define log_at(module, level, ...)                                         \
	do {                                                               \
		static struct log_site log_site_;                          \
		if (log_enabled(module, level))                            \
			log_write(&log_site_, module, level, __VA_ARGS__); \
	} while (0)

#define log_err(module, ...)	 log_at(module, LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warning(module, ...) log_at(module, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(module, ...)	 log_at(module, LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(module, ...)	 log_at(module, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(module, ...)	 log_at(module, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
