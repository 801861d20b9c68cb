/*
 * One stack of the workload, walked from outside with libunwind.
 *
 * All that is known comes from the task's own memory: its stack, and the unwind tables and headers
 * of the files that are mapped into it. Of files only the program's own is looked into (ehframe.h).
 * All of it may be a lie, so it is read within bounds, and what results is no more than a list of
 * numbers with names from /proc/PID/maps beside them.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/stack.h"
#include "tracer/registers.h"

enum { UNWIND_REGS = REGISTERS };

enum {
	UNWIND_MAPS_MAX = 8192,	 /* mappings looked at; what lies above has no name */
	UNWIND_PAGES_MAX = 4096, /* pages read for one stack */
};

/* Lets libunwind open and read what it wants to, before the process is confined. */
void unwind_prepare(void);

struct unwind_task {
	pid_t tid;
	const uint64_t *regs; /* UNWIND_REGS of them */
	char *maps;	      /* the text of its /proc/TID/maps; gets cut up */
	int exe;	      /* its program, to read; -1: not to be had */
	const char *skipped;  /* path of the library whose innermost frames are left out; or NULL */
};

/* Whatever was found is in @ret, which says by itself why there is nothing; its "by" is the
 * caller's. */
void unwind(const struct unwind_task *task, struct stack *ret);
