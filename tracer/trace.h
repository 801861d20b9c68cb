/*
 * ptrace as a source of calls, for hosts where a seccomp listener cannot be had.
 *
 * The filter says SECCOMP_RET_TRACE where it would notify, and the supervisor is the tracer of init
 * and thereby of everything that is born inside. A call that stops is skipped (its number becomes
 * -1) and told our result; one that is let go on is judged by its numbers alone, as with a
 * notification. When the tracer ends, the kernel kills every tracee (PTRACE_O_EXITKILL), and a call
 * that would stop for a tracer that is not there is ENOSYS.
 */
#pragma once

#include <sys/types.h>

#include "lib/err.h"

struct call_source;

/*
 * Traces @init, which has started nobody and installed no filter yet. The calling thread is the
 * tracer: everything else here is to be called on it, and SIGCHLD is blocked in every thread of the
 * process. NULL with text on failure. call_source_free() waits for the end of every tracee.
 */
struct call_source *trace_new(pid_t init, struct err *err);
