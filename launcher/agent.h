/*
 * Where an agent's program is, and what of the host it needs to run: its own installation and its
 * interpreter's.
 */
#pragma once

#include "lib/err.h"

struct agent {
	char *program; /* the file, links resolved */
	char *exe;     /* what the kernel runs: the program, or its interpreter */
	char *install; /* the directory (or lone file) it is installed in */
	char **ro;     /* what must be granted: nothing for what lies in /usr */
	char **links;  /* NAME=PATH: commands to be found by name inside */
};

void agent_done(struct agent *a);

/*
 * Looks @command up in PATH and where people install such programs (npm's prefixes, nvm, volta,
 * bun, pnpm, pipx and uv below ~/.local, Homebrew). @workdir: what the sandbox may write, or NULL.
 * 0, -ENOENT where it is nowhere, -EINVAL (with text) for one that a policy cannot name, -ENOMEM.
 */
int agent_find(struct agent *ret, const char *command, const char *workdir, struct err *err);

/* What to grant for the program at @real (resolved): its package or all of node_modules, its prefix, or
 * itself. Pure; the caller frees. */
char *agent_install_of(const char *real, const char *home, const char *workdir);
