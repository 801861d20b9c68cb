/*
 * One stack of the workload, walked from outside with libunwind.
 *
 * All that is known comes from the task's own memory: its stack, and the unwind tables and headers of the
 * files that are mapped into it. No file is opened. All of it may be a lie, so it is read within bounds,
 * and what results is no more than a list of numbers with names from /proc/PID/maps beside them.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/stack.h"

enum { UNWIND_REGS = 17 }; /* as libunwind numbers them on x86-64: rax … r15, rip */

enum {
	UNWIND_MAPS_MAX = 8192,	 /* mappings looked at; what lies above has no name */
	UNWIND_PAGES_MAX = 4096, /* pages read for one stack */
};

/* Lets libunwind open and read what it wants to, before the process is confined. */
void unwind_prepare(void);

/*
 * Walks from @regs in the memory of @tid, whose maps are @maps (cut up). Whatever was found is in @ret,
 * which says by itself why there is nothing; its "by" is left to the caller.
 */
void unwind(pid_t tid, const uint64_t regs[UNWIND_REGS], char *maps, struct stack *ret);
