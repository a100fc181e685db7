/*
 * ports_kernel - what the parts of the test program have in common
 *
 * The program runs in network and mount namespaces of its own, with a /run/
 * netns of its own, so all it makes goes with it. Each part makes claims and
 * removes its devices.
 */
#ifndef TESTS_E2E_PORTS_KERNEL_H
#define TESTS_E2E_PORTS_KERNEL_H

#include "ports/netlink.h"
#include "ports/port.h"
#include "tests/e2e/guest.h"

#define DEADLINE_MS 2000
#define OTHER_NS    "pkother"

/* A port as the daemon would hold it, and where its frames arrive. */
struct end {
	struct port_request rq;
	struct port_grant grant;
	const struct port_ops *ops;
	struct port *port;
	struct error err;
	struct frame f[FRAME_BATCH_MAX];
	struct frame_arena arena;
};

/* ok_if(what holds, "claim"): one TAP line. */
void ok_if(bool holds, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Run a shell command; does it exit with 0? */
bool sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What netlink says now about a device here; ifindex 0 where there's none. */
struct netlink_link link_facts(const char *ifname);

/* Of a device here: the sysctl (-1: there's none), and what TC has. */
int disable_ipv6(const char *ifname);
bool has_clsact(const char *ifname);
bool has_guard(const char *ifname);

/* A request with what most tests want. */
void end_tap(struct end *e, const char *ifname);
void end_netdev(struct end *e, const char *ifname);
int end_acquire(struct end *e); /* as ops->acquire */
bool end_attach(struct end *e); /* acquire and open; says why not */
void end_detach(struct end *e); /* close and release */
bool end_refused(struct end *e, int error, const char *reason,
		 const char *says); /* acquire fails like that */

/* One burst, after waiting for it up to `ms`. */
unsigned int end_rx(struct end *e, int ms);
/* Burst by burst until one of these bytes at offset 12 comes, or NULL. */
struct frame *end_rx_type(struct end *e, uint16_t ethertype);
/* Send one; DROP_REASON_COUNT where it went. */
enum drop_reason end_tx(struct end *e, struct frame *f);

/* The same `bursts` times with a full batch of small broadcasts. Returns how
 * many were refused. Any thread, several at once. */
uintptr_t end_send_bursts(struct end *e, unsigned int bursts);

#define LAB_TYPE 0x88b5 /* IEEE 802: for experiments */

/* A plain frame of `len` bytes with a number in it. Static storage, in turn
 * for FRAME_BATCH_MAX frames. */
struct frame *lab_frame(uint32_t len, uint32_t number);
uint32_t lab_number(const struct frame *f);

/* Relay a TCP stream between two attached ports, from STREAM_FROM here to
 * STREAM_TO in OTHER_NS. */
#define STREAM_FROM "10.77.4.1"
#define STREAM_TO   "10.77.4.2"
void stream_across(struct end *a, struct end *b, const char *what);

void test_tap(void);
void test_tap_traffic(void);
void test_tap_queues(void);
void test_netdev(void);
void test_netdev_guard(void);
void test_netdev_traffic(void);
void test_link(void);

#endif
