/*
 * The files in /etc that are the sandbox's own: who the account is, and how names resolve.
 */
#pragma once

#include <stdbool.h>

#include <sys/types.h>

#include "lib/err.h"

struct mounts;

struct account {
	uid_t uid; /* inside */
	gid_t gid;
};

/* Adds passwd, group, hosts, hostname, resolv.conf and nsswitch.conf to the plan. */
int etcfiles_add(struct mounts *m, const char *name, const struct account *who, struct err *err);
/* Whether the sorted plan has a resolv.conf: on a host without one there is no place for ours. */
bool etcfiles_names_resolver(const struct mounts *m);

/* Certificate bundles of this host that programs read by path: those that exist, over-mounted by
 * @bundle, and Java's by @java. */
int etcfiles_add_trust(struct mounts *m, const char *bundle, const char *java);
/* Whether there is one of Java's. */
bool etcfiles_has_java(void);
/* The host's bundle, opened for reading: fd or -ENOENT. */
int etcfiles_open_trust(void);
