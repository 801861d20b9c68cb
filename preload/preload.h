/*
 * libopenshell-preload.so - lends the caller's registers with every connection attempt; in a
 * cooperative sandbox, asks for every connection.
 *
 * May: make the system call that the program asked for, as the program asked for it, or have it
 * made. May not: be relied on. It runs inside the workload, which can leave it out, replace it, or
 * lie in its name; whatever it says is a hint. It holds no memory, takes no locks, and uses nothing
 * of libc but errno and pthread_setcanceltype(), so that it also loads under musl.
 */
#pragma once

#define PRELOAD_EXPORT __attribute__((visibility("default")))

/* A system call's result as libc gives it: -1 with errno, or the value. */
long preload_result(long r);
