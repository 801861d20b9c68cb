/*
 * Who asks: the executable of a task, its ancestors, and what they are worth.
 *
 * A task is known by an open /proc/TID directory, which pins the kernel's own idea of that task:
 * once it is gone every look through the directory fails, so a recycled number cannot inherit an
 * identity. What may change in a living task is its executable (exec) and, when a parent ends, its
 * ancestry; both are checked on every question with one stat a level, and nothing is hashed or
 * walked again while they stand.
 *
 * A path names a binary only if that path, looked up in the sandbox's own mounts, is the very file
 * (device and inode) that runs: a deleted file, a memfd or a file over-mounted in a private
 * namespace has no name that a policy could mean. The first hash seen of a path is remembered, and
 * another one later is refused (trust on first use).
 *
 * An ancestor that ended grants nothing any more: the kernel hands its children to pid 1.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "lib/loop.h"

struct filehash;
struct owners;

enum {
	OWNER_TASKS_MAX = 4096, /* tasks remembered, or a quarter of RLIMIT_NOFILE; the least recently used is forgotten */
	OWNER_DEPTH_MAX = 64,	/* ancestors followed; deeper: refused */
	OWNER_BINARIES_MAX = 8192, /* paths remembered; beyond: refused */
};

struct owner {
	pid_t tid;	       /* as the supervisor's pid namespace numbers it */
	pid_t pid;	       /* of its process, as the sandbox numbers it */
	int pidfd;	       /* of the task; valid as long as the object */
	const char *binary;    /* NULL when @denied says why */
	const char *sha256;
	const char *const *ancestors; /* nearest first, NULL-terminated */
	const char *denied;    /* why the identity is refused, or NULL */
};

/*
 * @init_pid is pid 1 of the sandbox as numbered here; @on_hashed is called whenever a pending hash
 * has arrived, so that parked questions can be put again. NULL on failure.
 */
struct owners *owners_new(struct filehash *hashes, pid_t init_pid, void (*on_hashed)(void *arg),
	void *arg);
void owners_free(struct owners *o);

/*
 * 0 and the owner, which stays valid until the next call; -EINPROGRESS while a binary is being
 * hashed (ask again after on_hashed); -ESRCH when the task is gone; -EUSERS beyond
 * OWNER_BINARIES_MAX; another -errno when /proc cannot be read. All of them deny.
 */
int owner_get(struct owners *o, pid_t tid, const struct owner **ret);

/* The process of a task that was asked about before, as the sandbox numbers it; else 0. No more
 * than a hint about whom to serve next: the number may have been given to another task. */
pid_t owner_known_pid(struct owners *o, pid_t tid);

/*
 * A duplicate of descriptor @fd of the task (pidfd_getfd, 5.6), which the caller owns. -EBADF when
 * it has none, -ESRCH when it is gone, -EPERM where the kernel does not let us; -EOPNOTSUPP for a thread whose
 * descriptor is not that of its process, before PIDFD_THREAD (6.9).
 */
int owner_getfd(struct owners *o, pid_t tid, int fd);
/* Its /proc directory, borrowed until the next call. -ESRCH, -errno. */
int owner_procdir(struct owners *o, pid_t tid);

/* Forgets the remembered hash of @path, so that the file that is there now is accepted: 0, -ENOENT
 * when the path was never seen. */
int owner_trust(struct owners *o, const char *path);
