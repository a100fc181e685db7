/*
 * fds - descriptors that somebody else has sent
 *
 * Whoever sends us one may hold us up by it: the close of a socket lingers
 * (SO_LINGER), and that of a file of FUSE waits for the file's server, which
 * may be a friend of the sender's. Not even SIGKILL ends who waits there, nor a
 * process that has such a file open when it ends.
 *
 * Threads: any.
 */
#ifndef BASE_FDS_H
#define BASE_FDS_H

#include <stdbool.h>

/* Is it of a kind that is closed without waiting for anybody: a Unix socket, a
 * file in memory, an eventfd or the like, a pipe? Any descriptor, borrowed. */
bool fds_plain(int fd);

/* Close it right here if that waits for nobody: what is plain, other sockets,
 * and Unix sockets in which nothing waits. Returns whether it has. */
bool fds_close_plain(int fd);

/*
 * Close the n descriptors of fd[], whatever they are, without being held up:
 * those that aren't plain, and Unix sockets in which something waits, are
 * closed by processes of their own, which share our table of descriptors. Who
 * may make no process, as the switch process, has threads do it; then it can't
 * end before the file's server answers or ends. Returns 0, or -EBUSY: too many
 * (four) are waiting already, and some of fd[] stay open; who sent them
 * shouldn't be listened to any more.
 */
int fds_discard(const int *fd, unsigned int n);

/*
 * The same for workers: nothing is looked at and nothing waited for. A thread
 * closes them, one for many. Returns 0, or -EBUSY: thousands are waiting
 * already; then what is plain of fd[] is closed, and the rest stays open.
 */
int fds_hand_over(const int *fd, unsigned int n);

/* Does anybody still wait for a close? Then who has sent such things shouldn't
 * be let in again. */
bool fds_stuck(void);

#endif
