/*
 * fastpath - the kernel fast path's memory, as C and BPF see it
 *
 * For `netdev` ports, known unicast is forwarded by two BPF programs
 * (fastpath.bpf.c) before userspace sees it; everything else they *punt*: it
 * goes up through the CPU port, a TAP of the daemon's own, with a tag that says
 * by which port it came. Userspace learns and forwards, and from then on the
 * kernel does. What the programs know lies in these maps:
 *
 *	map       element by              who writes           who sees it
 *	fdb       64 bytes of the FDB     fdb/, TC, XDP (age)  all
 *	global    one                     main thread          all
 *	ports     port index              main, worker, BPF    all
 *	vlans     port index              main thread          all
 *	counters  CPU and port index      BPF                  all
 *	floods    VID                     main thread          all
 *	members   place in a flood set    main thread          all
 *	plan      CPU and copy            BPF                  BPF
 *	hashes    CPU and address         BPF                  BPF
 *	source    ifindex -> port index   monitor              monitor, BPF
 *	target    port index -> ifindex   monitor              monitor, BPF
 *	devices   the same for XDP        monitor              monitor, BPF
 *
 * All but the last five are mapped into the switch process. Those are the
 * monitor's alone: whoever takes over the switch can mix up its own ports, but
 * not send into another device of the host.
 *
 * Consistency. The main thread makes global.seq odd while it writes ports and
 * vlans. A program reads it before and after it has decided and punts where it
 * was odd or has changed: so a frame sees the old configuration or the new
 * one. A flood plans all copies before it looks again and sends them.
 *
 * Order. A punted frame and a later one of the same flow that the kernel
 * forwards must not change places. So each punted frame of a port has a number
 * (`punted`), userspace says how many it is done with (`completed`), and
 * pending[] has the number of the last one that was punted to a destination
 * (by its hash: a collision costs a detour). Only when that one is completed
 * does the kernel forward to that destination. Where the port's credits are
 * used up meanwhile, it does so all the same, which is counted (`forced`).
 *
 * Budget. A port has at most FASTPATH_CREDITS frames on their way up. What is
 * beyond is dropped and counted: so no port fills the CPU port's queue, which
 * holds many ports' credits.
 *
 * Only fixed-width integers here: fdb/layout.h says why.
 */
#ifndef SWITCHD_FASTPATH_H
#define SWITCHD_FASTPATH_H

#ifdef __bpf__
#define FASTPATH_ATOMIC(type) type
#else
#include <stdint.h>
#define FASTPATH_ATOMIC(type) _Atomic type
#endif

#define FASTPATH_VERSION      1u
#define FASTPATH_FDB_ELEMENT  64u /* bytes of the FDB in an element */
#define FASTPATH_CREDITS      1000u
#define FASTPATH_QUEUE	      16384u /* frames, of the CPU port */
#define FASTPATH_PENDING      32u    /* a power of two */
#define FASTPATH_TAG_PROTOCOL 0x88a8 /* its TCI is the port index, 16 bits */
#define FASTPATH_PORTS_MAX    65535u
#define FASTPATH_NO_PORT      0xffffffffu

/* source's value; by the monitor */
struct fastpath_source {
	uint32_t index;	 /* of the port */
	uint32_t xdp;	 /* the XDP program is wanted on the device */
	uint64_t native; /* by BPF: a queue that is known to be the driver's */
};

struct fastpath_global {
	FASTPATH_ATOMIC(uint32_t) seq; /* odd: being written */
	uint32_t on;		       /* 0: punt everything */
	uint32_t tpid;		       /* tag protocol, host order */
	uint32_t dead_after_s;	       /* punt once now_s is as old; 0: never */
	FASTPATH_ATOMIC(uint32_t) now_s; /* CLOCK_MONOTONIC; the heartbeat */
	uint32_t reserved[11];
};

enum fastpath_state {
	FASTPATH_AWAY, /* no such port: drop */
	FASTPATH_PUNT, /* all to userspace */
	FASTPATH_ON,
};

struct fastpath_port {
	/* By the main thread. */
	uint32_t state;	 /* enum fastpath_state */
	uint16_t flags;	 /* enum decide_flag */
	uint16_t native; /* VID */
	uint32_t mtu;	 /* bytes behind the Ethernet header and tag */
	uint32_t vlans;	 /* 0: carries all of them */
	uint32_t reserved[12];
	/* See "Order" above. Numbers are modulo 2^32. */
	_Alignas(64) FASTPATH_ATOMIC(uint32_t) punted; /* by BPF, any CPU */
	FASTPATH_ATOMIC(uint32_t) pending[FASTPATH_PENDING];
	/* By the worker that has the CPU port. */
	_Alignas(64) FASTPATH_ATOMIC(uint32_t) completed;
};

#define FASTPATH_VIDS	    4096u
#define FASTPATH_VLAN_WORDS 64 /* of 64 bits: so many VIDs */

struct fastpath_vlans {
	uint64_t word[FASTPATH_VLAN_WORDS];
};

#define FASTPATH_DROPS 5 /* DECIDE_VERDICTS */

/* The ports that a VLAN's floods go to: members[first..first + n). n is 0 where
 * not all of them are the kernel's: then userspace floods. */
struct fastpath_flood {
	uint32_t first, n;
};

/* Hashes that a CPU has computed lately: [cpu * FASTPATH_HASHES + n]. */
struct fastpath_hash {
	uint64_t key, hash;
	uint64_t secret[2];
};

#define FASTPATH_HASHES 64u /* a power of two */

/* A copy of a flood that is about to be sent: [cpu * FASTPATH_FLOOD_MAX + n].
 */
struct fastpath_copy {
	uint32_t index, ifindex;
	uint16_t tag_len;
	uint8_t takes;	 /* there is a copy */
	uint8_t changes; /* its tag isn't the frame's */
	uint8_t fits;	 /* the MTU */
};

#define FASTPATH_FLOOD_MAX   4096u /* ports in a set; beyond userspace floods */
#define FASTPATH_MEMBERS_MAX 65536u /* of all different flood sets together */

/* What one CPU has counted for one port: [cpu * ports + index]. */
struct fastpath_counters {
	FASTPATH_ATOMIC(uint64_t) rx_frames;
	FASTPATH_ATOMIC(uint64_t) rx_bytes;
	FASTPATH_ATOMIC(uint64_t) rx_segments;
	FASTPATH_ATOMIC(uint64_t) rx_forwarded;
	FASTPATH_ATOMIC(uint64_t)
	rx_drop[FASTPATH_DROPS];	     /* enum
					      * decide_verdict */
	FASTPATH_ATOMIC(uint64_t) rx_budget; /* out of credits */
	FASTPATH_ATOMIC(uint64_t) forced;    /* see "Order" above */
	FASTPATH_ATOMIC(uint64_t) xdp;	     /* of rx_forwarded: by XDP */
	FASTPATH_ATOMIC(uint64_t) super;     /* of rx_frames: super-frames */
	_Alignas(64) FASTPATH_ATOMIC(uint64_t) tx_copies;
	FASTPATH_ATOMIC(uint64_t) tx_frames;
	FASTPATH_ATOMIC(uint64_t) tx_bytes;
	FASTPATH_ATOMIC(uint64_t) tx_segments;
	FASTPATH_ATOMIC(uint64_t) tx_drop_mtu, tx_drop_memory, tx_drop_full;
};

#endif
