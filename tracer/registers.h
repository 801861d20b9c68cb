/*
 * The registers of a task that stands still for its tracer, which the caller is.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum { REGISTERS = 17 }; /* as libunwind numbers them on x86-64: rax … r15, rip */

/* 0; -ESRCH when the task does not stand still; -EOPNOTSUPP on another architecture; -errno. */
int registers_read(pid_t tid, uint64_t ret[REGISTERS]);
