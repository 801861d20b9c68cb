/*
 * What a sandbox was asked to be.
 *
 * The launcher fills a spec from the command line, sends it as JSON in CTL_START, and the
 * supervisor stores the same JSON as metadata.json, from which `sandbox start` rebuilds the
 * sandbox. The policy is not part of it: it has revisions of its own (lib/state.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

enum {
	SPEC_JSON_MAX = 2 * 1024 * 1024,
	SPEC_LIST_MAX = 1024, /* entries in one list */
	SPEC_ENV_MAX = 128,   /* upstream's limits, openshell-upstream.md section 1.3 */
	SPEC_ENV_KEY_MAX = 256,
	SPEC_ENV_VALUE_MAX = 8192,
	SPEC_ENV_TOTAL_MAX = 256 * 1024,
	SPEC_LABELS_MAX = 64,
	SPEC_ARGV_MAX = 250 * 1000, /* what a message can carry */
	SPEC_ARG_MAX = 128 * 1024 - 1, /* the kernel's MAX_ARG_STRLEN */
	SPEC_COMMAND_SHOWN = 64,     /* arguments that are remembered */
	SPEC_COMMAND_ARG_SHOWN = 1024, /* bytes of each */
	SPEC_WORKDIR_MAX = 4096,
};

enum spec_intercept {
	SPEC_INTERCEPT_AUTO = 0,
	SPEC_INTERCEPT_SECCOMP,
	SPEC_INTERCEPT_PTRACE,
	SPEC_INTERCEPT_PRELOAD,
};

/* Zeroed is an empty spec. Every string and list is owned; lists end with NULL, NULL is empty. */
struct sandbox_spec {
	char *id; /* random UUID */
	char *name;
	uint64_t created_ms; /* since the epoch */
	char *workdir;	     /* absolute; NULL: nothing granted, commands start in /sandbox */
	char **ro;	     /* absolute paths that --ro named */
	char **rw;
	char **protect; /* files that stay read-only inside writable directories: the policy's */
	char **home;  /* DEST=PATH: the user's own settings below /sandbox, read-write */
	char **home_ro; /* the same, read-only */
	char **links; /* NAME=PATH: commands in /run/openshell/bin, which is first in PATH */
	char **env;    /* KEY=VALUE */
	char **providers; /* whose credentials are attached at the start */
	char **labels; /* key=value, sorted by key */
	bool keep;     /* outlives its main process */
	bool audit;
	bool stacks;
	bool agent_proposals; /* http://policy.local serves */
	char **connect_to; /* HOST:PORT:ADDR:PORT */
	char **deny;	   /* HOST[:PORT] (lib/barred.h) */
	char *upstream_ca; /* absolute path, or NULL */
	char *upstream_proxy;
	char *no_proxy;
	enum spec_intercept intercept;
	char **command; /* the main process; empty: the login shell */
	uint64_t cpu_milli; /* --cpu, in thousandths of a processor; 0: no limit */
	uint64_t memory;    /* --memory, in bytes; 0: no limit */
	bool tty;	/* the main process has a terminal */
};

#define auto_spec __attribute__((cleanup(spec_done)))

/* Releases everything and zeroes @s. */
void spec_done(struct sandbox_spec *s);

/* As JSON on one line; the caller frees. NULL when out of memory or a string is not UTF-8. */
char *spec_to_json(const struct sandbox_spec *s);

/*
 * From JSON. Unknown keys, wrong types, a missing name, and lists that are too long are errors:
 * 0, -EINVAL (with text), -ENOMEM. @ret is overwritten on success only.
 */
int spec_from_json(struct sandbox_spec *ret, const char *json, size_t len, struct err *err);

/* A new random id: 36 characters and NUL. */
void spec_new_id(char ret[37]);

const char *spec_intercept_name(enum spec_intercept i);
/* -EINVAL for a name that is none. */
int spec_intercept_parse(const char *name, enum spec_intercept *ret);

/*
 * Checks on single values, as upstream's gateway makes them. Each returns 0 or -EINVAL with the
 * reason in @err.
 */
/* KEY=VALUE: key [A-Za-z_][A-Za-z0-9_]*, not reserved (OPENSHELL_…); no CR, LF in the value. */
int spec_env_check(const char *entry, struct err *err);
/* "500m", "2", "2.5": thousandths of a processor, at least one. */
int spec_cpu_parse(const char *text, uint64_t *ret, struct err *err);
/* "65536", "8G", "512Mi": bytes; the suffixes are Kubernetes'. */
int spec_memory_parse(const char *text, uint64_t *ret, struct err *err);
/* The whole list: count and total size too. */
int spec_env_check_all(char *const *env, struct err *err);
/* key=value, Kubernetes style: 63 characters, key with an optional DNS prefix of up to 253. */
int spec_label_check(const char *entry, struct err *err);
/* HOST:PORT:ADDR:PORT; IPv6 in brackets. */
int spec_connect_to_check(const char *entry, struct err *err);

/* True when every key=value of the comma-separated @selector is among @labels. The selector must
 * have passed spec_selector_check(). */
bool spec_selector_matches(const char *selector, char *const *labels);
int spec_selector_check(const char *selector, struct err *err);
