/*
 * The lines of /proc/PID/maps (proc(5)). Pure: text in, numbers out. The workload chooses how many
 * there are and what the paths are called.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct map {
	uint64_t start, end, offset;
	uint64_t inode; /* 0: no file */
	bool is_readable, is_executable;
	const char *path; /* "" for anonymous memory; "[vdso]" …; newlines in it are \012 */
};

/*
 * The next line of @text, which is moved on and cut up: 1 with @ret (its path points into the
 * text), 0 at the end, -EINVAL for a malformed line.
 */
int maps_next(char **text, struct map *ret);
