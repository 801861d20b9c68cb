/*
 * The registers of the caller, lent to the supervisor with a system call.
 *
 * connect() and sendmsg() take three arguments, the kernel carries six and shows all of them to
 * whoever is notified of the call. So the fourth says that there is a record and the fifth where:
 * in the caller's own frame, on its own stack. The record is keyed to the thread and the call by
 * being a part of it; there is nothing to allocate, to lock, to find again, or to clean up, and it
 * works in threads, signal handlers and after vfork(). The supervisor unwinds the stack with
 * libunwind, from outside, while the call waits.
 *
 * libunwind does not run in here on purpose. As of 1.6 it checks addresses by writing to a pipe
 * that it opens in the program and never looks at again: once the program has closed those two
 * numbers (as every daemon does) and opened something else there, a byte of that is read and
 * another one written. It also takes locks that a fork() in another thread leaves held.
 */
#pragma once

#include <stdint.h>

/* The same in tracer/stacks.h; tests/unit/test_stack.c compares them. */
#define STACK_MAGIC 0x6b63617473736f70ULL

enum {
	STACK_RBX,
	STACK_RBP,
	STACK_R12,
	STACK_R13,
	STACK_R14,
	STACK_R15,
	STACK_RSP,
	STACK_RIP,
	STACK_REGS
};

struct stack_record {
	uint64_t magic;
	uint64_t regs[STACK_REGS]; /* at the very system call instruction */
};

/* The registers as they are where this stands; they stay true while that function has not returned.
 */
static inline __attribute__((always_inline)) void stack_capture(struct stack_record *r)
{
#if defined(__x86_64__)
	__asm__ volatile("movq %%rbx, 8(%0)\n\t"
			 "movq %%rbp, 16(%0)\n\t"
			 "movq %%r12, 24(%0)\n\t"
			 "movq %%r13, 32(%0)\n\t"
			 "movq %%r14, 40(%0)\n\t"
			 "movq %%r15, 48(%0)\n\t"
			 "movq %%rsp, 56(%0)\n\t"
			 "leaq 0(%%rip), %%rcx\n\t"
			 "movq %%rcx, 64(%0)"
			 :
			 : "a"(r)
			 : "rcx", "memory");
#else
	r->magic = 0;
#endif
}

/* System call @nr with three arguments and the record beside them: the kernel's own result, an
 * error as -errno. A point of cancellation, as the libc function would be. */
long stack_call(long nr, long a, long b, long c);
/* The same without a record, with six arguments. */
long stack_plain_call(long nr, long a, long b, long c, long d, long e, long f);
