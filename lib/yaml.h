/*
 * YAML as a tree that remembers where everything stood.
 *
 * A subset on purpose: one document, mappings with plain string keys, no tags, no merge keys.
 * Aliases are allowed and share the node of their anchor; what they expand to is counted, so that
 * a small text cannot become a large tree. Scalars stay text: whoever reads one says what it must
 * be (YAML 1.2: `no` and `on` are strings, 010 is no number).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"

enum {
	YAML_DEPTH_MAX = 64,
	YAML_NODES_MAX = 2 * 1000 * 1000, /* after expansion of aliases */
	YAML_ANCHORS_MAX = 10000,
	YAML_ARENA_MAX = 512 * 1024 * 1024,
};

enum yaml_type { YAML_SCALAR = 0, YAML_LIST, YAML_MAP };

struct yaml_pos {
	uint32_t line, column; /* from 1; 0: nowhere */
};

struct yaml_node {
	uint8_t type;	  /* enum yaml_type */
	bool is_plain;	  /* a scalar without quotes */
	bool is_finished; /* an alias may refer to it */
	struct yaml_pos pos;
	uint32_t n;	 /* bytes; elements; pairs */
	uint32_t weight; /* nodes below and including this one */
	union {
		const char *text;	       /* SCALAR: NUL-terminated, no NUL inside */
		struct yaml_node *const *list; /* LIST */
		const struct yaml_pair *map;   /* MAP: in the order of the text */
	};
};

struct yaml_pair {
	const struct yaml_node *key; /* a scalar */
	const struct yaml_node *value;
};

/* Told about every error; @text is gone when it returns. */
typedef void yaml_error_fn(void *opaque, struct yaml_pos pos, const char *text);

/*
 * Reads one document into @arena. 0 and the root (NULL for an empty document); -EINVAL when an
 * error was reported (duplicate keys are all reported, other errors end the reading); -E2BIG past
 * a limit (reported); -ENOMEM (not reported).
 */
int yaml_load(struct arena *arena, const char *text, size_t len, yaml_error_fn *on_error,
	void *opaque, const struct yaml_node **ret_root);

/* How a plain scalar reads in YAML 1.2's core schema; quoted text is always a string. */
enum yaml_kind { YAML_STRING = 0, YAML_NULL, YAML_BOOL, YAML_INTEGER, YAML_FLOAT };
enum yaml_kind yaml_kind(const struct yaml_node *n);
/* "a list", "a map", "the number 5" …: for "expected X, got …". */
const char *yaml_kind_name(const struct yaml_node *n);
