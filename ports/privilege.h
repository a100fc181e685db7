/*
 * privilege - what a process without it is told: which it lacks, and how to
 * have it
 *
 * An ordinary user's switch lacks most of them, and who runs it may not know
 * the words. Texts without state, for any thread.
 */
#ifndef PORTS_PRIVILEGE_H
#define PORTS_PRIVILEGE_H

enum privilege {
	PRIVILEGE_NET_ADMIN, /* devices, and what they are set to */
	PRIVILEGE_NET_RAW,   /* packet sockets */
	PRIVILEGE_NETNS,     /* another network namespace */
	PRIVILEGE_LOW_PORT,  /* of TCP and UDP */
	PRIVILEGE_CHOWN,     /* files that belong to others */
};

/*
 * For people, in brackets and with a blank in front: " (CAP_NET_RAW is missing:
 * ...)", to be put behind what failed. At most 120 bytes.
 */
const char *privilege_missing(enum privilege p);

/* The same where `error` (positive errno) says that it is for want of that,
 * EPERM or EACCES; else "". */
const char *privilege_hint(enum privilege p, int error);

#endif
