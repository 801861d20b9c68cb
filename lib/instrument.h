/*
 * What a build that watches itself (VARIANT=asan, tsan or cov) does otherwise than a real one; nothing but
 * what includes this. docs/sanitizers.md says why each. In a real build all of it is constant and gone.
 */
#pragma once

#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define INSTRUMENT_ACCOUNT() __lsan_do_leak_check()
#endif

/* First in the main() of a program that confines itself. */
#ifdef COVERAGE
void instrument_begin(void);
#else
static inline void instrument_begin(void) {}
#endif

/* Beside the supervisor's other variables: the file that takes what a sanitizer says of its children. */
#define INSTRUMENT_LOG "OPENSHELL_INSTRUMENT_LOG"

/*
 * LeakSanitizer wants a thread, ptrace(2) and files: what a confined process has given up. One that is told to
 * stays as it is, to account for itself at its end. The supervisor tells nobody.
 */
static inline bool instrument_stays_open(void)
{
#ifdef INSTRUMENT_ACCOUNT
	return getenv("OPENSHELL_INSTRUMENT_OPEN") != NULL;
#else
	return false;
#endif
}

/* Before an _exit(2) that is an orderly end. */
static inline void instrument_end(void)
{
#ifdef INSTRUMENT_ACCOUNT
	if (instrument_stays_open())
		INSTRUMENT_ACCOUNT();
#endif
}
