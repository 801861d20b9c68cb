/*
 * Protected paths: what must not change below a directory that a sandbox may write, because the
 * user's own programs run it or obey it later, outside: git's hooks and settings, agents' settings
 * and MCP files, editors' tasks, .envrc, shell start files, the policy file.
 *
 * Each becomes a read-only mount of its own, and every directory between it and the granted one a
 * mount too, because a mount point cannot be renamed or removed, but the parent of one can. What
 * does not exist yet gets a stub (lib/stubs.h) at its first missing component. A symbolic link is
 * mounted over as the link it is, and so is what it leads to where that could be written. A fixed
 * list is looked up with lstat(2); no directory is walked.
 *
 * The mounts are made by us in the sandbox's mount namespace, between bubblewrap's last mount and
 * the first command: four system calls each, where bubblewrap reads mountinfo for each, and by
 * descriptors that no link can lead astray.
 *
 * A directory that is no repository may become one (git init, git clone ., what scaffolds a project):
 * the sandbox's .git is another directory in that place, which becomes the real one, without what git
 * would run, when the sandbox has ended (lib/gitadopt.h).
 *
 * What remains: repositories nested below the granted directory. Whoever makes a .git there is in the
 * log (fsnote.c), but git obeys a directory that merely looks like a bare repository, under whatever
 * name. A program of the host that
 * replaces a protected file by rename(2), as `git config` does, takes the mount away with the old
 * file; protect_watch() sees that and protects the new one, milliseconds later. A refused write is
 * the kernel's answer (EROFS, EBUSY); fsnote.c puts it into the log.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/loop.h"
#include "lib/policy.h"
#include "lib/spec.h"
#include "lib/stubs.h"
#include "tracer/mounts.h"

struct protect_entry {
	char *path;
	bool is_ro; /* else mounted as it is, so that it cannot be renamed */
	char *host; /* its place outside, where that is another; else NULL */
	ino_t ino;  /* what was protected, for protect_watch() */
	int wd;
	bool has_grant; /* something below it was granted writable */
	const char *inside; /* what a file that is not there shows; NULL: its stub */
	bool is_git; /* a .git that is not there: GITADOPT_DIR beside it in its place */
};

/* Zeroed: nothing is protected. */
struct protect {
	struct protect_entry *list; /* parents before what lies in them */
	size_t n, alloc;
	char **roots; /* directories of the host that the sandbox may write */
	char **notes; /* what a person should know, one sentence each */
	struct stubs stubs;
	bool is_watched;
	struct watch watch; /* inotify, when is_watched */
};

/*
 * Releases memory and locks; stubs stay until stubs_sweep(). The inotify descriptor is left to the
 * end of the process, which follows: closing it waits for the kernel's readers, ten milliseconds.
 */
void protect_done(struct protect *p);

/*
 * Finds what is to be protected under the writable mounts of @m, and makes stubs for what is
 * missing. Paths that @policy or --rw name, and what lies in them, stay as granted. 0 or -errno
 * with text: then nothing may be started.
 */
int protect_plan(struct protect *p, const struct mounts *m, const struct policy_static *policy,
	const struct sandbox_spec *spec, int state_dir, struct err *err);
/*
 * Notices when a program of the host replaces what is protected (rename(2) over it takes the mount
 * away), protects what is there now and logs it. Without inotify it says that it cannot.
 */
struct sandbox;
void protect_watch(struct sandbox *s);
/* The innermost entry that @path (inside) is or lies in; NULL: it is not protected. */
const struct protect_entry *protect_find(const struct protect *p, const char *path);
/* Mounts it all in the mount namespace of @init. 0 or -errno with text. */
int protect_apply(const struct protect *p, pid_t init, struct err *err);
