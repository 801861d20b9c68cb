/*
 * Where the git directory of a working directory lies when its .git is a file.
 *
 * That file is content of the project and may name anything. Only a worktree proves the relation:
 * the repository's worktrees/NAME/gitdir names the working directory's .git in return, which
 * nobody but git in that repository wrote.
 */
#pragma once

#include <stdbool.h>

struct gitdir {
	char *dir;	  /* what .git names, resolved */
	bool is_worktree; /* and it names us back */
	char *common;	  /* then: the repository's git directory */
	char *name;	  /* and "worktrees/NAME" below it */
};

void gitdir_done(struct gitdir *g);
/* 0, -ENOENT where .git is no such file or leads nowhere, -ENOMEM. */
int gitdir_find(const char *workdir, struct gitdir *ret);
