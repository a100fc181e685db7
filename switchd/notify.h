/*
 * notify - what systemd wants to hear and what it hands over
 *
 * The sd_notify protocol (READY, STOPPING, RELOADING, STATUS, WATCHDOG) and
 * LISTEN_FDS, as described in sd_notify(3) and sd_listen_fds(3); a few lines
 * by hand instead of a library. Without systemd all of it does nothing.
 *
 * Threads: main.
 */
#ifndef SWITCHD_NOTIFY_H
#define SWITCHD_NOTIFY_H

#include <stdint.h>

/* Send one message such as "READY=1" (several lines are fine). */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Half of WATCHDOG_USEC in nanoseconds: how often to send WATCHDOG=1; 0 where
 * no watchdog waits for us. */
uint64_t notify_watchdog_ns(void);

/* The control socket that systemd opened for us (LISTEN_FDS), -1 for none.
 * The variables are unset so that children don't take it for theirs. */
int notify_listen_fd(void);

#endif
