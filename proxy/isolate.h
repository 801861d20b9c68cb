/*
 * The proxy gives up everything but its sockets.
 *
 * Should: be called once, when the listeners, the log and the trust store are open and before the
 * first connection is accepted. Must not be called before OpenSSL and the C library have read what
 * they read once (time zone, random method): afterwards no file can be opened at all.
 */
#pragma once

#include "lib/err.h"

/*
 * no_new_privs, not dumpable, no core file, no new process, Landlock without any right, seccomp
 * with the table in isolate.c: anything else kills the process. 0 or -errno with @err set; on
 * failure nothing may be accepted. Landlock is best effort (kernels before 5.13 have none), the
 * filter is not: it refuses open, exec and every socket that is not TCP by itself.
 */
int isolate_final(struct err *err);
