/*
 * Bounded access to the memory of a task that waits for an answer.
 *
 * What was read is a copy: the task's siblings may change the original at any time, so a decision
 * is taken on the copy and carried out with the copy (design.md, invariant 2).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Exactly @len bytes: 0; -EFAULT when not all of them can be read; -EPERM, -ESRCH. */
int remote_read(pid_t tid, uint64_t addr, void *out, size_t len);
/* A string, at most @size - 1 bytes, nothing beyond its NUL but up to the end of a page: 0,
 * -ENAMETOOLONG, or as above. */
int remote_read_str(pid_t tid, uint64_t addr, char *out, size_t size);
/* Exactly @len bytes into the task: 0 or as above. */
int remote_write(pid_t tid, uint64_t addr, const void *data, size_t len);
