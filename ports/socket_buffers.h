/*
 * socket_buffers - room for bursts in a socket
 *
 * The kernel's default has room for some hundred frames, fewer than what one
 * TCP stream has under way. Threads: any.
 */
#ifndef PORTS_SOCKET_BUFFERS_H
#define PORTS_SOCKET_BUFFERS_H

/* Both ways, and beyond the host's limit where we may. Never fails: with less
 * room frames are lost sooner. */
void socket_buffers_grow(int fd);

#endif
