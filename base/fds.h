/*
 * fds - descriptors that somebody else has sent
 *
 * Threads: any.
 */
#ifndef BASE_FDS_H
#define BASE_FDS_H

/*
 * Close the n descriptors of fd[], whatever they are: a socket with SO_LINGER
 * that its sender has left something in doesn't hold us.
 */
void fds_discard(const int *fd, unsigned int n);

#endif
