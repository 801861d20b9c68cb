/*
 * Where sandboxes live on disk, and who may touch what.
 *
 *	$XDG_STATE_HOME/openshell/sandboxes/NAME/	0700
 *		metadata.json	the spec (lib/spec.h), written once, before the directory appears
 *		lock		locked by the supervisor for as long as it lives; its pid
 *		policy/N.yaml	revision N, byte for byte as submitted
 *		policy/N.json	its version, hash, time, origin and status
 *		log/		segments (lib/logstore.h)
 *		home/		/sandbox
 *	$XDG_STATE_HOME/openshell/archive/NAME.MS/	logs of sandboxes that are gone
 *	$XDG_RUNTIME_DIR/openshell/NAME/		0700: control socket, pid file
 *	$XDG_CONFIG_HOME/openshell/			settings, last_sandbox
 *
 * A sandbox is alive while its lock is held; nothing else says so, because a lock is what kill -9
 * cannot leave behind. The lock belongs to the open file description (F_OFD_SETLK): asking
 * whether it is held does not take it, so looking never disturbs a start.
 *
 * A directory appears under its name complete and locked (built as .new-…, then renamed) and
 * disappears by one rename (.del-…) before it is taken apart. Whatever carries such a name and is
 * not locked is rubbish of a killed process; state_sweep() removes it.
 *
 * The supervisor creates, changes and removes; the launcher reads, and cleans up after the dead.
 * None of these functions follows a symbolic link below the three roots.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/spec.h"

enum {
	STATE_NAME_MAX = 19,
	STATE_PATH_MAX = 4096,
	STATE_ARCHIVE_MAX = 200, /* archived logs that are kept at most */
	STATE_ARCHIVE_DAYS = 30, /* and for how long */
	STATE_ORIGIN_MAX = 64,
	STATE_STATUS_MAX = 16,
};

struct state {
	char name[STATE_NAME_MAX + 1];
	int dir;	 /* the state directory */
	int lock;	 /* its lock, held; -1: not ours */
	bool is_durable; /* writes are synced: true for kept sandboxes */
	char gone[64];	 /* what its directory is called once it is retired */
};

#define auto_state __attribute__((cleanup(cleanup_state)))

/* Closes; a held lock is let go. NULL is fine. */
void state_close(struct state *s);

static inline void cleanup_state(struct state **s)
{
	state_close(*s);
}

/* 1 to 19 of [a-z0-9-], no hyphen at either end, no two in a row: 0, or -EINVAL with the reason. */
int state_name_check(const char *name, struct err *err);
/* A new random name such as "brisk-otter-3fa1". */
void state_name_generate(char ret[STATE_NAME_MAX + 1]);

/* --- the roots: created 0700 where missing; an O_DIRECTORY descriptor or -errno with text --- */

int state_root_open(struct err *err);	/* $XDG_STATE_HOME/openshell */
int state_config_open(struct err *err); /* $XDG_CONFIG_HOME/openshell */
/* $XDG_RUNTIME_DIR/openshell; without a usable one /tmp/openshell-UID, refused (-EPERM) unless it
 * is a directory of ours that nobody else can enter. */
int state_runtime_open(struct err *err);

/* --- one sandbox --- */

/*
 * Creates the sandbox @spec names, with its lock held and metadata.json written. An unkept
 * leftover of that name is cleared away first. -EEXIST (with text) when the name is taken.
 */
int state_create(struct state **ret, const struct sandbox_spec *spec, struct err *err);
/* The directory @name ("log", "policy") of the sandbox, made when it is first needed: creating one
 * takes longer than anything else at start. Descriptor or -errno. */
int state_subdir(const struct state *s, const char *name);
/* Opens an existing one without its lock: -ENOENT (with text and hint) when there is none. */
int state_open(struct state **ret, const char *name, struct err *err);
/* Takes the lock: -EBUSY when a supervisor holds it, -ENOENT when the sandbox was removed
 * meanwhile. */
int state_lock(struct state *s, struct err *err);
/* Whether a supervisor lives. */
bool state_is_running(const struct state *s);
int state_load_spec(const struct state *s, struct sandbox_spec *ret, struct err *err);

/*
 * Removes the sandbox, whose lock must be held: the name is free when this returns, the log has
 * moved to the archive. The descriptors stay open. 0, or -errno when something could not be
 * removed (it is then no longer under the name).
 */
int state_remove(struct state *s, struct err *err);
/* The two halves of it: the name is free and the log archived; and what is left is unlinked, which
 * can wait for the disk. */
int state_retire(struct state *s, struct err *err);
int state_discard(struct state *s, struct err *err);

/* Removes archived logs beyond STATE_ARCHIVE_MAX or older than STATE_ARCHIVE_DAYS. Unlinking can
 * wait for the disk: to be called when nobody waits any more. */
void state_archive_prune(void);

/* The names, sorted; the caller frees with strv_free(). */
int state_list(char ***ret, struct err *err);

/* The log directory of a sandbox, or the newest archived one of that name: descriptor or -errno
 * (-ENOENT with text). */
int state_log_open(const char *name, struct err *err);

/*
 * Makes the runtime directory of the sandbox anew: what a dead supervisor left is removed. -EBUSY
 * when another sandbox of that name, with its state elsewhere, is running. Returns the directory;
 * @ret_pid_file is its locked pid file, to be kept open for as long as the supervisor lives.
 */
int state_runtime_claim(const char *name, int *ret_pid_file, struct err *err);
/* Removes it, unless another process holds its pid file: true when it is gone now. */
bool state_runtime_remove(const char *name);
/* The runtime directory of a sandbox: descriptor or -errno. */
int state_runtime_dir(const char *name, struct err *err);

/* Creates @name in @dir where @create says so, takes its lock and writes our pid into it:
 * descriptor to be kept open, its offset 0; -EBUSY when somebody holds it; -errno. */
int state_lock_file(int dir, const char *name, bool create);
/* Whether somebody else holds it. Errors count as held, a missing file does not. */
bool state_lock_is_held(int dir, const char *name);
/* The number in a pid file, or -errno. */
int state_pid_read(int dir, const char *name);

/* A listening SOCK_SEQPACKET "control" in the runtime directory @dir, non-blocking, CLOEXEC. */
int state_control_listen(int dir, struct err *err);
/* Connects to a sandbox's supervisor: -ENOENT when there is no such sandbox, -ECONNREFUSED (with
 * text and hint) when it is not running. */
int state_control_connect(const char *name, struct err *err);

/*
 * Clears away what the dead left: half-made and half-removed directories, unkept sandboxes
 * without a supervisor, runtime directories of stopped ones. @on_cleaned (may be NULL) is told
 * each sandbox and whether it was kept. Cheap when there is nothing to do.
 */
void state_sweep(void (*on_cleaned)(const char *name, bool kept, void *arg), void *arg);

/* --- the last used sandbox --- */

/* False when there is none. */
bool state_last_used(char ret[STATE_NAME_MAX + 1]);
void state_last_used_set(const char *name);
/* Forgets it if it is @name. */
void state_last_used_clear(const char *name);

/* --- policy revisions --- */

struct state_revision {
	uint32_t version; /* from 1 */
	char hash[65];	  /* SHA-256 of the text, hex */
	uint64_t created_ms;
	char origin[STATE_ORIGIN_MAX]; /* who or what made it: "create", "policy set", … */
	char status[STATE_STATUS_MAX]; /* "pending", "loaded", "failed", "superseded" */
};

/* Writes revision r->version: text first, then the record that makes it count. */
int state_revision_write(
	const struct state *s, const struct state_revision *r, const char *yaml, size_t len);
/* Rewrites the record alone (a new status). */
int state_revision_update(const struct state *s, const struct state_revision *r);
/* As if it had never been written. */
int state_revision_remove(const struct state *s, uint32_t version);
/* Reads revision @version; @ret_yaml (may be NULL) is the caller's. -ENOENT. */
int state_revision_read(const struct state *s, uint32_t version, struct state_revision *ret,
	char **ret_yaml, size_t *ret_len);
/* The newest complete revision's number, 0 when there is none. */
uint32_t state_revision_last(const struct state *s);

/* --- trees --- */

/*
 * Removes @name below @dir with all it holds, never following a link and never leaving the file
 * system. Directories without permission are made ours first. 0, or the first -errno met (the
 * rest is removed all the same).
 */
int state_tree_remove(int dir, const char *name);
