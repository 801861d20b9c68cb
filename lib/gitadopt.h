/*
 * A git repository that a sandbox has made in a granted directory that was none, taken over.
 *
 * Git runs what a repository's settings and hooks say, and prompts and editors run git unasked. So as
 * long as the sandbox lives its ".git" is a directory of another name on the host (GITADOPT_DIR,
 * mounted at .git inside). When it has ended, everything but data (objects, references, logs, the
 * index) is put aside, in a directory of it that git does not know, the settings are written anew from
 * those that say what the repository is, who commits and where its remotes are, and it becomes .git.
 *
 * Everything in there was written by the sandbox and is looked at without following links. Nothing of
 * the sandbox runs any more.
 */
#pragma once

#include <stddef.h>

struct buf;

#define GITADOPT_DIR ".openshell-git"

enum gitadopt {
	GITADOPT_NOTHING = 0, /* none was made */
	GITADOPT_DONE,	      /* ROOT/.git is the repository, and nothing was left */
	GITADOPT_PARTLY,      /* it is, and something was put aside: in ROOT/.git/@ret_left */
	GITADOPT_REFUSED,     /* no repository, or .git is somebody else's: all of it is in
				 ROOT/@ret_left, which nobody may enter */
};

/* Takes over what is in @root. -errno when it could not be looked at or moved: then it is where it
 * was, and a later call goes on with it. */
int gitadopt(const char *root, char *ret_left, size_t size);

/* The settings of @text (a git config) that are kept, appended to @out. True when something was left
 * out. Pure. -ENOMEM, -ENOBUFS. */
int gitadopt_config(struct buf *out, const char *text);
