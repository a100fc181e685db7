/*
 * vhost_call - tell a front end by a descriptor of its own, and get away again
 *
 * A call, a kick and an error descriptor are eventfds (or pipes) that don't
 * block. But O_NONBLOCK is the file's, and the front end has the file too: it
 * can take the flag back, fill the counter, and whoever writes waits for it.
 * Looking first doesn't help, since it can do so just then.
 *
 * So there is a thread that looks after those who write: while there are calls
 * it wakes up ten times a second, and who is in a call then, and still in the
 * same one a millisecond later, gets a signal. It ends a write that waits, with
 * EINTR, and nothing else; who gets that knows that the front end is an enemy.
 * One that lets go before it is caught holds a thread for a moment each, and
 * not for long: each time it may be caught.
 *
 * While nobody calls, the thread sleeps.
 */
#ifndef PORTS_VHOST_CALL_H
#define PORTS_VHOST_CALL_H

/* Why a front end that does so is sent away. */
#define VHOST_CALL_HELD_UP \
	"a descriptor of the front end's has kept the switch waiting"

/*
 * Have those who call looked after, from now on and for good. Returns 0 or
 * -errno. Main thread; any number of times.
 */
int vhost_call_guard(void) __attribute__((warn_unused_result));

/*
 * Write to it. Returns 0; -EINTR: it has kept us waiting; -EAGAIN: it is
 * readable anyway; -ENOBUFS: so many threads call already; or another -errno.
 * Any thread, 64 of them; SIGURG isn't blocked in it from then on.
 */
int vhost_call(int fd);

#endif
