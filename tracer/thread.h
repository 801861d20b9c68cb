/*
 * Threads of the supervisor: without signals, and with a stack of a size that is known. The default, what
 * `ulimit -s` says, counts in full against `ulimit -d`, which may leave less than that.
 */
#pragma once

#include <pthread.h>

/* pthread_create(3). 0 or -errno. */
int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg);
