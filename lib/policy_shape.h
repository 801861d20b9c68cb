/*
 * The table of keys behind lib/policy_doc.h, for those who walk a document whatever it holds:
 * reading (policy_doc.c), writing (policy_print.c) and comparing (doc_equal()).
 *
 * A shape is a structure of the schema: its size and its fields, in the order in which they are
 * written. A field says where it lives and what it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/policy_doc.h"

enum doc_field_kind {
	DOC_FIELD_STR = 0,
	DOC_FIELD_BOOL,
	DOC_FIELD_INT,
	DOC_FIELD_STRS,
	DOC_FIELD_INTS,
	DOC_FIELD_SECTION,  /* one structure */
	DOC_FIELD_LIST,	    /* a list of structures */
	DOC_FIELD_MAP,	    /* the same, by key */
	DOC_FIELD_MATCHER,  /* a string, {any: [...]}, {glob: ...} */
	DOC_FIELD_MATCHERS, /* the same, by key */
};

struct doc_shape;

struct doc_field {
	const char *name;
	enum doc_field_kind kind;
	size_t offset;
	const struct doc_shape *sub;
	int64_t min, max;
	bool is_required;
};

struct doc_shape {
	size_t size;
	const struct doc_field *fields; /* ends with a NULL name */
};

extern const struct doc_shape policy_doc_shape, doc_network_policy_shape, doc_endpoint_shape,
	doc_rule_shape;

/* The storage of every list and map, whatever it holds (DOC_LIST). */
struct doc_any_list {
	void *list;
	size_t n;
	bool is_set;
	struct yaml_pos pos;
};

/* Whether the field at @value was written. */
bool doc_field_is_set(const struct doc_field *f, const void *value);
/* Whether two structures say the same; places in the text do not count, nor does the order of map
 * entries. */
bool doc_equal(const struct doc_shape *shape, const void *a, const void *b);
/* The same for two values of one field. */
bool doc_field_equal(const struct doc_field *f, const void *a, const void *b);
