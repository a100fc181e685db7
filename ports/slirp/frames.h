/*
 * frames - those between libslirp and the switch, over a socket
 *
 * A record is a struct virtio_net_hdr_v1 and a frame. libslirp knows only plain
 * frames with complete checksums, and does them one at a time. So super-frames
 * from guests become one long packet each, and TCP segments in a row to a guest
 * one super-frame (ports/merge.h): guests with offloads, and everything between
 * here and them, then have one thing to do in place of forty.
 *
 *	libslirp ──frames_send──► merge ──► batch ──frames_flush──► switch
 *	libslirp ◄──take── packet ◄── batch ◄──frames_receive── switch
 *
 * Where the switch doesn't take frames frames_flush waits for it a while, since
 * nobody has told libslirp how to: what is lost here, TCP comes back to after a
 * second or more.
 *
 * Frames come from guests, what is in connections from anybody.
 */
#ifndef PORTS_SLIRP_FRAMES_H
#define PORTS_SLIRP_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

struct frames;

/* Gets a plain frame, which is borrowed. */
typedef void frames_take(const uint8_t *frame, uint32_t len, void *ctx);

/* fd: the socket, borrowed. Returns NULL with errno. */
struct frames *frames_new(int fd);
void frames_free(struct frames *f); /* NULL is fine */

/* From the guests, some. Returns 1 (there may be more), 0 (there isn't), -EPIPE
 * (it's the end) or -errno. */
int frames_receive(struct frames *f, frames_take *take, void *ctx)
	__attribute__((warn_unused_result));

/* To the guests: with the next flush, or before. Returns whether it isn't too
 * long to be a frame. */
bool frames_send(struct frames *f, const void *frame, uint64_t len);
void frames_flush(struct frames *f);

#endif
