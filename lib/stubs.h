/*
 * Stubs: what stands on the host at a protected path that does not exist, while a sandbox could
 * create it.
 *
 * A mount needs something to be mounted on. A stub is the node of a Unix socket that nobody serves,
 * without write permission: it cannot be opened, git neither shows nor commits such nodes, every
 * file system has them, and unlike directories they are made and removed in microseconds. Where the
 * readers of a name take that for an error it is a read-only file of known harmless content (git's
 * own files), or a symbolic link to nothing, which reads as if it were not there, but which git
 * does show. .git is a directory, and so is what readers list: git shows no empty ones. Whatever else
 * has taken a stub's place is never removed.
 *
 * Who holds stubs below a granted directory has a shared lock (flock) on that directory; who finds
 * nobody else holding one removes them. Each is written down in the sandbox's state directory
 * before it is made, so that the next command clears away what kill -9 left.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "lib/err.h"

/* Nothing can be created there, through whatever link. */
#define STUBS_LINK "/proc/nothing-here"
/* An empty directory. */
#define STUBS_DIR "/"

/* Zeroed: nothing is held. */
struct stubs {
	bool has_record;
	int record; /* then: the file "stubs" in the state directory */
	int *locks; /* of the roots below which there are stubs */
	size_t n_locks;
	char *root; /* the last root written down */
};

/* Lets go of the locks and the record; what was made stays until stubs_sweep(). */
void stubs_done(struct stubs *s);

/*
 * Makes the stub @path (its parent exists) below @root, or adopts the one of another sandbox.
 * @content: that of a file stub, STUBS_LINK or STUBS_DIR; NULL for a socket. 0 or -errno with text
 * (-EEXIST: something else came to be there meanwhile).
 */
int stubs_make(struct stubs *s, int state_dir, const char *root, const char *path,
	const char *content, struct err *err);
/*
 * The same for ROOT/.git where there is none: an empty directory that cannot be written, and beside it
 * the directory GITADOPT_DIR, which the sandbox gets in its place and which is taken over when the last
 * sandbox there has ended (lib/gitadopt.h).
 */
int stubs_make_git(struct stubs *s, int state_dir, const char *root, struct err *err);
/* Whether @path, of which lstat(2) said @st, looks like one of ours. */
bool stubs_is_one(const char *path, const struct stat *st);

/* Told of a repository that was taken over, or of what could not be: one sentence. */
typedef void stubs_told(void *arg, bool is_trouble, const char *text);

/* Removes what @state_dir has written down and no other sandbox needs, and the record. @told may be
 * NULL. */
void stubs_sweep(int state_dir, stubs_told *told, void *arg);
/* Whether there is anything to sweep. */
bool stubs_are_recorded(int state_dir);
