/*
 * sim_copy - what the programs in sim_kernel.bpf.c would have sent
 *
 * Seen by C and BPF: it lies in the programs' memory.
 */
#ifndef TESTS_SIM_SIM_COPY_H
#define TESTS_SIM_SIM_COPY_H

#include <stdint.h>

#define SIM_COPIES_MAX 64   /* of one frame; those beyond are only counted */
#define SIM_COPY_MAX   4000 /* bytes of one */

struct sim_copy {
	uint32_t ifindex;
	uint32_t tag; /* in the metadata: TPID << 16 | TCI; 0: none */
	uint32_t len; /* without that */
	uint8_t data[SIM_COPY_MAX];
};

#endif
