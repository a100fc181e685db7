/*
 * rights - descriptors that come beside bytes that nobody wants them with
 *
 * Whoever writes to a Unix socket of ours may pass descriptors beside the
 * bytes. The kernel closes those that the reader gives no room for, and so does
 * whoever closes a socket in which some wait: in that thread, which then waits
 * as long as the sender likes (fds.h). From Linux 6.16 on the kernel refuses
 * them where a socket has SO_PASSRIGHTS off. Before, who reads gives room for
 * all that one message can have, and hands over what comes to be closed.
 *
 *	rights_refuse ─► refused ─► plain recv
 *	              └► not: rights_may_come, rights_room, rights_discard
 *
 * Threads: any, no shared state.
 */
#ifndef BASE_RIGHTS_H
#define BASE_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define RIGHTS_MAX 253 /* of one message: SCM_MAX_FD of the kernel */

/* Room for all that one message can have. */
struct rights_room {
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
	} control;
};

/* Let the kernel refuse descriptors, if it can: rights_may_come() tells. A
 * listening socket's connections have it from that one. */
void rights_refuse(int fd);

/* Is it a Unix socket at which descriptors may come? */
bool rights_may_come(int fd);

/* Before each receive, as that changes the header. */
void rights_give_room(struct msghdr *m, struct rights_room *room);

/*
 * What came with m[0..n), by a receive with room and MSG_CMSG_CLOEXEC, is
 * closed by others. Waits for nobody. Returns 0; -EBUSY: what came can't be
 * closed now, or the kernel had no descriptors for it and has closed it itself.
 * Who sent it shouldn't be listened to any more.
 */
int rights_discard(const struct mmsghdr *m, unsigned int n);

/* recv(2) without being held up; -1 with errno EBUSY is that of
 * rights_discard(). */
ssize_t rights_recv(int fd, void *to, size_t len, int flags);

/* Close a descriptor; a socket in which some may wait is closed by a thread. */
void rights_close(int fd);

#endif
