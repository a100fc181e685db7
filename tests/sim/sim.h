/*
 * sim - the real switch with ports of type dummy and a clock that tests move
 *
 * A test is a list of steps. A step puts frames in, runs the switch until it
 * is quiet, and names everything that must have come out:
 *
 *	sim_attach(s, "vm1", "mode=access vlan=10");
 *	sim_send(s, "vm1", FRAME(.src = A, .dst = B));
 *	sim_run(s);
 *	sim_expect(s, "vm2", FRAME(.src = A, .dst = B));
 *	sim_expect_drops(s, "vm3", "mtu", 1);
 *
 * What is not named must not be there: a frame left at any port, or a drop
 * that no step expected, fails the next sim_run or the end of the test. Each
 * run also checks the ledgers of every port, and that each frame that was put
 * in was received.
 *
 * There is nothing simulated in the switch itself: attach, commit, pipeline,
 * FDB and epoch are the daemon's. The harness only does the worker's polling.
 * Where it can, it shows each frame to the kernel fast path's programs, too
 * (sim_kernel.h).
 *
 * Failures name the line of the test. Threads: one.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "ports/dummy.h"
#include "switchd/config.h"
#include "switchd/switch.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SIM_PORTS_MAX 2048
#define SIM_START_S   1000 /* what the clock shows at first */

/* Addresses for tests: locally administered, individual. */
#define A 0x02000000000aull
#define B 0x02000000000bull
#define C 0x02000000000cull
#define D 0x02000000000dull

/* A tag for struct sim_frame: 802.1Q, 802.1ad; add SIM_PCP(0..7). */
#define CTAG(vid)    (0x81000000u | (vid))
#define STAG(vid)    (0x88a80000u | (vid))
#define SIM_PCP(pcp) ((uint32_t)(pcp) << 13)

/* A frame in words. The payload is a pattern that begins with `id`. */
struct sim_frame {
	uint64_t dst, src;
	uint32_t tag[3]; /* TPID << 16 | TCI, outer first; 0 ends it */
	uint16_t type;	 /* 0: 0x88b5, IEEE 802's for experiments */
	uint16_t id;
	uint32_t payload; /* bytes behind the type; 0: 46 */
	uint32_t head;	  /* to send: a segment begins here; 0: none does */
};

#define FRAME(...) ((struct sim_frame){ __VA_ARGS__ })

struct sim {
	struct sw *sw;
	uint32_t now_s;
	struct sim_ledger *ledger; /* by port index */
	struct fastpath *fastpath; /* see sim_kernel.h; NULL: none */
	unsigned int shown;	   /* frames, to its programs */
};

/* ---- The switch ---- */

/* A switch without ports, its workers driven by sim_run. */
struct sim *sim_new(unsigned int workers);

/* ... whose FDB has room for so many addresses (0: the default). */
struct sim *sim_new_fdb(unsigned int workers, uint32_t entries);

/* Fails the test where something unexpected is left. */
void sim_free(struct sim *s);

/* For cmocka_unit_test_setup_teardown: one worker; *state is the sim. */
int sim_setup(void **state);
int sim_teardown(void **state);

#define SIM_TEST(name) \
	cmocka_unit_test_setup_teardown(name, sim_setup, sim_teardown)

/* Commit, poll every port that has frames until all are quiet, reap, check. */
#define sim_run(s) sim_run_at(s, __FILE__, __LINE__)
void sim_run_at(struct sim *s, const char *file, int line);

/* Move the clock; then the FDB has been swept once. */
void sim_advance(struct sim *s, uint32_t seconds);

/* ---- Ports ---- */

/*
 * Parameters from words as on the command line, "mode=access vlan=10", by a
 * table. Returns a new reference. Keys that the table doesn't know are passed
 * on as strings. "KEY=" is null (for sim_set).
 */
json_t *sim_params(const struct rpc_param *table, const char *words);

/* Attach a dummy port ("type=" in the words makes it another's). */
#define sim_attach(s, name, words) \
	sim_attach_at(s, name, words, __FILE__, __LINE__)
struct switch_port *sim_attach_at(struct sim *s, const char *name,
				  const char *words, const char *file,
				  int line);

/* The same must be refused with this reason for this parameter ("": none). */
void sim_attach_fails(struct sim *s, const char *name, const char *words,
		      const char *reason, const char *path);

void sim_detach(struct sim *s, const char *name);

/* port.set, which must succeed; which must be refused. */
void sim_set(struct sim *s, const char *name, const char *words);
void sim_set_fails(struct sim *s, const char *name, const char *words,
		   const char *reason, const char *path);

/* mirror.add with "from=a,b to=c vlan=10 dir=in". */
void sim_mirror(struct sim *s, const char *name, const char *words);

/* By name; the test fails where there is none. */
struct switch_port *sim_port(struct sim *s, const char *name);
struct port *sim_dummy(struct sim *s, const char *name);

/* ---- Frames ---- */

/* Build it; `p` has room for FRAME_LEN_MAX + 64 bytes. Returns the length. */
uint32_t sim_build(const struct sim_frame *f, uint8_t *p);

/* Put a frame in front of a port; sim_run delivers it. */
void sim_send(struct sim *s, const char *port, struct sim_frame f);
void sim_send_bytes(struct sim *s, const char *port, const uint8_t *data,
		    uint32_t len, const struct virtio_net_hdr_v1 *vnet,
		    uint32_t head);

/* One step: send one frame and run. */
#define sim_step(s, port, f)          \
	do {                          \
		sim_send(s, port, f); \
		sim_run(s);           \
	} while (0)

/* Let a port send an untagged broadcast, so that its address is known. The
 * copies, wherever they went, are thrown away. */
void sim_seen(struct sim *s, const char *port, uint64_t mac);

/* The next frame at the port is exactly this one, without offload work. */
#define sim_expect(s, port, f) sim_expect_at(s, port, f, __FILE__, __LINE__)
void sim_expect_at(struct sim *s, const char *port, struct sim_frame f,
		   const char *file, int line);

/* ... these bytes with this vnet header (NULL: all zero). */
#define sim_expect_bytes(s, port, data, len, vnet) \
	sim_expect_bytes_at(s, port, data, len, vnet, __FILE__, __LINE__)
void sim_expect_bytes_at(struct sim *s, const char *port, const uint8_t *data,
			 uint32_t len, const struct virtio_net_hdr_v1 *vnet,
			 const char *file, int line);

/* ... a mirror's copy of what port `of` received or sent. */
#define sim_expect_copy(s, port, f, dir, of) \
	sim_expect_copy_at(s, port, f, dir, of, __FILE__, __LINE__)
void sim_expect_copy_at(struct sim *s, const char *port, struct sim_frame f,
			enum frame_dir dir, const char *of, const char *file,
			int line);

/* No port has a frame left (sim_run says it too). */
#define sim_expect_none(s) sim_expect_none_at(s, __FILE__, __LINE__)
void sim_expect_none_at(struct sim *s, const char *file, int line);

/* Take all frames of a port, unseen; returns how many. */
unsigned int sim_drain(struct sim *s, const char *port);

/* Whatever frames and drops there are, they are fine: for random tests. */
void sim_forgive(struct sim *s);

/* ---- Counters ---- */

/* The port dropped exactly so many for this reason since it was last asked. */
#define sim_expect_drops(s, port, reason, n) \
	sim_expect_drops_at(s, port, reason, n, __FILE__, __LINE__)
void sim_expect_drops_at(struct sim *s, const char *port, const char *reason,
			 uint64_t n, const char *file, int line);

/* How many since the port was attached. */
uint64_t sim_drops(struct sim *s, const char *port, const char *reason);

struct port_counters sim_counters(struct sim *s, const char *port);

/*
 * After a restart: go on counting from `old`, which isn't used any more. The
 * ports that come back are attached already, and have the indexes that they
 * had there. Drops that the test knew of it knows of still.
 */
void sim_adopt(struct sim *s, const struct sim *old);

/* Where the FDB says that an address is: the port's name, "" for nowhere. */
const char *sim_where(struct sim *s, uint16_t vid, uint64_t mac);

#endif
