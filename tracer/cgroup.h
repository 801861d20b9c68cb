/*
 * --cpu and --memory: a cgroup (v2) of the sandbox's own, where the user may make one.
 *
 * A session of systemd is a leaf with processes in it, which cannot hand controllers down; the
 * user's part of the hierarchy begins above. So the nearest ancestor that we may write and that
 * has the controllers gets a child "openshell-NAME", and the sandbox is moved there before its
 * first command. Where there is no such ancestor, the sandbox is refused: a limit that does not
 * hold is none.
 */
#pragma once

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

struct cgroup {
	char path[PATH_MAX]; /* empty: there is none */
};

/*
 * Makes the cgroup. @root: where cgroup2 is mounted; @self: the file with our own place in it.
 * Zero is no limit. 0, or -ENOTSUP or another -errno with text and hint.
 */
int cgroup_make(struct cgroup *ret, const char *root, const char *self, const char *name,
	uint64_t cpu_milli, uint64_t memory, struct err *err);
/* Moves a process there; what it starts from then on follows. 0 or -errno with text. */
int cgroup_add(const struct cgroup *c, pid_t pid, struct err *err);
/* When its processes are gone. */
void cgroup_remove(struct cgroup *c);
