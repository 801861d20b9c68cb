/*
 * The seccomp program of a sandbox: which system calls pass, which are refused by the kernel alone,
 * and which suspend their caller until the supervisor has answered.
 *
 * Pure: libseccomp turns the tables of filter.c into a BPF program that init installs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The newest system call that somebody has looked at: removexattrat, Linux 6.13. Its number is the
 * same on every architecture. */
enum { FILTER_NR_REVIEWED = 466 };

struct filter_options {
	bool allow_user_namespaces; /* process.allow_user_namespaces of the policy */
	bool is_cooperative; /* calls go to the kernel, who asks does so by itself (coop.h) */
	bool is_traced; /* callers stop for their tracer (trace.h) instead of a notification */
	bool asks_writes; /* calls that may write to a path are notified (fsnote.c) */
};

/*
 * The program as an array of struct sock_filter; the caller frees it. 0, -ENOMEM, or what
 * libseccomp says.
 */
int filter_build(const struct filter_options *o, void **ret_code, size_t *ret_len);
