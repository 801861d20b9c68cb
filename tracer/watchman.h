/*
 * Somebody who wakes us when a system call that should return at once does not.
 *
 * connect() to the proxy finishes within the call, whatever the socket's mode, so it is made as it
 * is: no flag of the program's socket is touched. A workload can see to it that it does not finish
 * (a socket filter that drops the answer); then a second thread interrupts it with a signal, and
 * the call returns EINTR. In quiet times that thread sleeps; beside a busy one it looks at a
 * counter every few milliseconds.
 */
#pragma once

struct watchman;

enum { WATCHMAN_MS = 10 };

/* For the calling thread. Takes SIGUSR1. NULL when out of memory. */
struct watchman *watchman_new(void);
void watchman_free(struct watchman *w);

/* Around a call: between these two it lasts 2 * WATCHMAN_MS at most. 0 or -errno: do not call. */
int watchman_begin(struct watchman *w);
void watchman_end(struct watchman *w);
