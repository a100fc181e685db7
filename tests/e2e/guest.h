/*
 * guest - a guest's side of a TAP, as QEMU has it
 *
 * The program holds the device's descriptor; frames go and come with a vnet
 * header of twelve bytes. Exits with 1 where a device can't be opened.
 * Threads: guest_read() has one buffer for all; the rest any.
 */
#ifndef TESTS_E2E_GUEST_H
#define TESTS_E2E_GUEST_H

#include "ports/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define GUEST_DEADLINE_MS 2000

/* What it can take (linux/if_tun.h; USO is missing in Debian 12's headers). */
#define GUEST_CSUM     0x01 /* TUN_F_CSUM */
#define GUEST_OFFLOADS 0x0f /* and TSO4, TSO6, TSO_ECN */
#define GUEST_USO      0x60 /* TUN_F_USO4 | TUN_F_USO6, Linux 6.2 */

/* Open (or make) the TAP, non-blocking. */
int guest_open(const char *ifname, short more_flags, unsigned int offloads);

/* Have it offload this from now on; false where the kernel can't. */
bool guest_offload(int fd, unsigned int offloads);

/* The kernel takes other ways with a writer that may sleep. */
void guest_block(int fd);

/* Write header and frame; true where all went. */
bool guest_write(int fd, const struct frame *f);

/* Read a frame into `buf` (FRAME_SLOT bytes); false at the deadline. */
bool guest_read_into(int fd, struct frame *f, uint8_t *buf, int ms);

/* Read one into static storage. */
bool guest_read(int fd, struct frame *f, int ms);

/* Skip what isn't of this type. */
bool guest_read_type(int fd, struct frame *f, uint16_t ethertype);

/* Say on stderr what a frame is, header and bytes, with `what` before it. */
void guest_dump(const char *what, const struct frame *f);

#endif
