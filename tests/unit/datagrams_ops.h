/* A port of the run half alone, whatever its socket. */
#ifndef TESTS_UNIT_DATAGRAMS_OPS_H
#define TESTS_UNIT_DATAGRAMS_OPS_H

#include "ports/datagrams.h"

#define DATAGRAMS_ARENA (512u * 1024) /* as a worker's */

static const struct port_ops ops = {
	.type = "datagrams",
	.close = datagrams_close,
	.control = datagrams_control,
	.rx = datagrams_rx,
	.rx_done = datagrams_rx_done,
	.tx = datagrams_tx,
};

#endif
