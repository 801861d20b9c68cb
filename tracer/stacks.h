/*
 * --stacks: the call stack of every attempt to reach somebody, for the log.
 *
 * A call is parked until its stack is there, and judged then as it would have been without.
 * Programs that load the preload library lend their registers with the call; any other task is
 * stopped for a moment (unwinder.c says how). The walking is done by a process that may do nothing
 * else. What it takes too long for, or cannot do, is in the log as "no stack" with the reason: no
 * decision depends on a stack.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct answer;
struct call;
struct notifier;
struct sandbox;
struct stacks;

/* The record that the preload library lends (preload/stack.h; tests/unit/test_stack.c compares). */
#define STACKS_MAGIC 0x6b63617473736f70ULL

enum {
	STACKS_RBX,
	STACKS_RBP,
	STACKS_R12,
	STACKS_R13,
	STACKS_R14,
	STACKS_R15,
	STACKS_RSP,
	STACKS_RIP,
	STACKS_REGS
};

struct stacks_record {
	uint64_t magic;
	uint64_t regs[STACKS_REGS];
};

enum {
	STACKS_PENDING_MAX = 512, /* calls whose stacks are asked for or kept; beyond: no stack */
	STACKS_TIMEOUT_MS = 1000, /* for one of them */
	STACKS_RESTARTS_MAX = 32, /* of the unwinder; then there are no stacks any more */
};

/* NULL when out of memory. The unwinder is started when it is first needed. */
struct stacks *stacks_new(struct sandbox *s);
void stacks_free(struct stacks *st);

/*
 * True when @c can be judged, with the text of its stack (lib/stack.h), which stays valid while the
 * call is judged; NULL when @st is, which is a sandbox without stacks. False when it has to wait:
 * @ret_answer says how.
 */
bool stacks_get(struct stacks *st, struct notifier *n, const struct call *c, const char **ret_text,
	struct answer *ret_answer);
