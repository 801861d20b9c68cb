/*
 * The file system of a sandbox: what is mounted where, and how bubblewrap and Landlock are told.
 *
 * A plan is a list of mounts, ordered so that a directory comes before what lies in it. Everything
 * not in the plan does not exist inside. No directory tree is walked: the cost depends on the
 * number of granted paths alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/policy.h"
#include "lib/spec.h"

enum mount_kind {
	MOUNT_RO = 0, /* bind @src read-only */
	MOUNT_RW,
	MOUNT_DEVICE,  /* bind a device node, usable */
	MOUNT_TMPFS,
	MOUNT_DEV,     /* bubblewrap's minimal /dev */
	MOUNT_PROC,
	MOUNT_SYMLINK, /* @src is the link's text */
	MOUNT_DATA,    /* a file with the content of @fd */
};

struct mount {
	enum mount_kind kind;
	char *dest; /* owned; absolute */
	char *src;  /* owned; NULL where the kind has none */
	int fd;	    /* DATA: owned, else -1 */
	bool is_private; /* the sandbox's own: wins over a granted path of the same name */
};

struct mounts {
	struct mount *list;
	size_t n, alloc;
	char **skipped; /* paths the user named that do not exist, NULL-terminated */
	char **ungranted; /* what the working directory's .git names and did not prove to be its own */
	char *git_dir;	  /* of the repository whose worktree the working directory is; granted */
	char *git_worktree; /* and the worktree's directory below it: "worktrees/NAME" */
};

void mounts_done(struct mounts *m);

/* Whether @path is @dir or lies below it. */
bool mounts_is_under(const char *path, const char *dir);

/* Adds one; @src may be NULL; @fd (-1 for none) is owned in any case. 0 or -ENOMEM. */
int mounts_add(struct mounts *m, enum mount_kind kind, const char *src, const char *dest, int fd,
	bool is_private);

/*
 * The mounts of @policy and @spec, with @home as /sandbox. A granted path that does not exist is
 * skipped and listed in @skipped unless it is one of the baseline, or -ENOENT (with text) when the
 * policy says hard_requirement.
 */
int mounts_plan(struct mounts *m, const struct policy_static *policy,
	const struct sandbox_spec *spec, const char *home, struct err *err);
/*
 * Hides @dir (ours: state, settings, sockets) from a sandbox that was granted a tree around it: an
 * empty directory instead. Nothing is added when no granted tree holds it. 0 or -ENOMEM.
 */
int mounts_hide(struct mounts *m, const char *dir);
/* Parents before children, private over granted; call once everything was added. A file of our own for which
 * a tree of the host has no place is left out. */
void mounts_sort(struct mounts *m);

/* Whether @path lies in a tree of the host rather than in a place of the sandbox's own. */
bool mounts_is_granted(const struct mounts *m, const char *path);

/* bubblewrap's arguments for the mounts, appended to the strv @args: 0 or -ENOMEM. */
int mounts_to_bwrap(const struct mounts *m, char ***args);
/* What Landlock is to allow inside, as strvs of the caller. */
int mounts_to_landlock(const struct mounts *m, char ***ret_ro, char ***ret_rw);
