/*
 * The resolver process: getaddrinfo() by the host's own rules, for the proxy.
 *
 * May: read what name resolution reads (/etc, /run, /usr and /lib for NSS modules) and talk to the
 * host's resolvers.
 * May not: write, execute, or see anything else of the file system (Landlock).
 *
 * It is forked from the supervisor when the proxy first needs it. Each question is answered by a
 * thread of its own, at most RESOLVER_THREADS at once, so that one dead name server does not hold
 * up the others.
 */
#pragma once

#include <sys/types.h>

enum { RESOLVER_THREADS = 16, RESOLVER_QUEUE_MAX = 1024, RESOLVER_ADDRS_MAX = 32 };

/* Starts it; @ret_sock is the proxy's end, @ret_pidfd is to be closed. The pid or -errno. */
pid_t resolver_start(int *ret_sock, int *ret_pidfd);
