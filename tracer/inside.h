/*
 * Paths as a task of the sandbox means them: seen from its root, its directory, its descriptors.
 */
#pragma once

#include <stddef.h>

enum { INSIDE_CWD = -100 }; /* AT_FDCWD */

/*
 * @path, which a task gave together with directory descriptor @dirfd (or INSIDE_CWD), as an absolute
 * path in the sandbox's mounts. @procdir: the task's /proc directory. 0, -ENAMETOOLONG, or what
 * readlink(2) says.
 */
int inside_absolute(int procdir, int dirfd, const char *path, char *out, size_t size);

/*
 * Opens the inode that absolute @path leads to below the task's root (O_PATH; the caller owns it).
 * @flags: of open(2), in addition; @resolve: of openat2(2), in addition to RESOLVE_IN_ROOT.
 */
int inside_open(int procdir, const char *path, int flags, unsigned long resolve);

/* The path of descriptor @fd of ours, in its own mount namespace: 0, -errno. */
int inside_path_of(int fd, char *out, size_t size);
