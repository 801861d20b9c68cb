/*
 * The seccomp programs as they are installed: written by filtergen from filter.c when this tree is
 * built.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

extern const struct sock_filter filter_usual[];
extern const size_t filter_usual_len; /* bytes */
/* For a policy with process.allow_user_namespaces. */
extern const struct sock_filter filter_nesting[];
extern const size_t filter_nesting_len;
/* The same two for a cooperative sandbox. */
extern const struct sock_filter filter_usual_cooperative[];
extern const size_t filter_usual_cooperative_len;
extern const struct sock_filter filter_nesting_cooperative[];
extern const size_t filter_nesting_cooperative_len;
/* The same two for a sandbox that has protected paths. */
extern const struct sock_filter filter_usual_writes[];
extern const size_t filter_usual_writes_len;
extern const struct sock_filter filter_nesting_writes[];
extern const size_t filter_nesting_writes_len;
/* The same four for a sandbox that is traced. */
extern const struct sock_filter filter_usual_traced[];
extern const size_t filter_usual_traced_len;
extern const struct sock_filter filter_nesting_traced[];
extern const size_t filter_nesting_traced_len;
extern const struct sock_filter filter_usual_writes_traced[];
extern const size_t filter_usual_writes_traced_len;
extern const struct sock_filter filter_nesting_writes_traced[];
extern const size_t filter_nesting_writes_traced_len;
