/*
 * What the parts of lib/state share among themselves.
 */
#pragma once

#include "lib/state.h"

/* Directories that are being built or taken apart; unlocked ones are rubbish. */
#define STATE_NEW_PREFIX ".new-"
#define STATE_DEL_PREFIX ".del-"

/* $HOME, else the account's; NULL when there is none. */
const char *state_home_dir(void);

int state_sandboxes_open(struct err *err);
int state_archive_open(struct err *err);

/* state_open() below an open root; bare -errno. */
int state_open_at(struct state **ret, int root, const char *name);

/* Replaces a file of the sandbox, in its directory @dir, as a whole; synced if the sandbox is
 * durable. */
int state_write_file(
	const struct state *s, int dir, const char *name, const void *data, size_t len);

/* Removes the sandbox if nobody runs it and it was not to be kept: true if it is gone. */
bool state_clear_unkept(int root, const char *name);
