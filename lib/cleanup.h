/*
 * Scope-owned locals.
 *
 * A local declared with one of the auto_ macros is released when its scope ends. It starts empty
 * (NULL, -1) and leaves only through take_ptr() or take_fd(), so a reader sees who releases what
 * without following the control flow.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/analyzer.h"

/* gcc 12: the second variable of a declaration is initialised like the first. */
ANALYZER_OFF("-Wanalyzer-use-of-uninitialized-value")
static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}
ANALYZER_ON

/* gcc 12: what a compound literal leaves out is zero, and has been set here besides. */
ANALYZER_OFF("-Wanalyzer-use-of-uninitialized-value")
static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
ANALYZER_ON

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static inline int take_fd_(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define auto_free     __attribute__((cleanup(cleanup_free)))
#define auto_close    __attribute__((cleanup(cleanup_close)))
#define auto_fclose   __attribute__((cleanup(cleanup_fclose)))
#define auto_closedir __attribute__((cleanup(cleanup_closedir)))

/* The value of @p, which no longer owns it. */
#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})
#define take_fd(fd) take_fd_(&(fd))

/* Declares cleanup_<type>() for `auto_<type> struct <type> *x = NULL;`. */
#define DEFINE_CLEANUP(type, release)                                                              \
	static inline void cleanup_##type(struct type **p)                                         \
	{                                                                                          \
		release(*p);                                                                       \
	}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
