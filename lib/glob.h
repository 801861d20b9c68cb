/*
 * Patterns of a policy: hosts, paths, values.
 *
 * Upstream matches with four different engines, and a file must mean here what it means there.
 * So a pattern is compiled in one of these flavours into one small automaton, which is run in
 * time linear in the text (no backtracking: a pattern cannot be made to cost more than its
 * length times the text's). `*` never crosses the separator, `**` as a whole component does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	GLOB_PATTERN_MAX = 4096, /* bytes of pattern */
	GLOB_OPS_MAX = 8192,	 /* states of the automaton */
	GLOB_CLASSES_MAX = 250,	 /* [..] in one pattern */
	GLOB_DEPTH_MAX = 8,	 /* {..} inside {..} */
};

enum glob_flavour {
	/* Rule paths, binaries. Separator "/"; "?", [..], {..}; a class may match "/". */
	GLOB_PATH = 0,
	/* Query values, GraphQL names and fields, MCP methods and tools. Separator ".". */
	GLOB_VALUE,
	/* Hosts of endpoints. As GLOB_VALUE, in lower case; a leading "**." is one label or more.
	 */
	GLOB_HOST,
	/* Endpoint paths. Nothing separates; a final "**" component is X and what is below X;
	 * {..} is literal; a pattern that is not one matches itself. */
	GLOB_SELECT,
	/* Hosts of middleware selectors. Label by label; "**" is one label or more, anywhere. */
	GLOB_SELECTOR,
};

struct glob;

/*
 * Compiles @pattern. 0; -EINVAL with a constant in @ret_why for text that is no pattern; -E2BIG
 * (with a reason) past a limit; -ENOMEM. The caller releases with glob_free().
 */
int glob_compile(
	const char *pattern, enum glob_flavour flavour, struct glob **ret, const char **ret_why);
/* Whether glob_compile() would take it: 0 or the same errors. */
int glob_check(const char *pattern, enum glob_flavour flavour, const char **ret_why);
void glob_free(struct glob *g);

#define auto_glob __attribute__((cleanup(cleanup_glob)))
static inline void cleanup_glob(struct glob **g)
{
	glob_free(*g);
}

/* The whole of @text matches. Pure; no allocation. NULL never matches. */
bool glob_match(const struct glob *g, const char *text, size_t len);

/* The pattern as it was given. */
const char *glob_text(const struct glob *g);
/* No wildcard in it: matches one text only. */
bool glob_is_literal(const struct glob *g);
/* The bytes that every text it matches begins with, and those it ends with (not NUL-terminated). */
const char *glob_prefix(const struct glob *g, size_t *ret_len);
const char *glob_tail(const struct glob *g, size_t *ret_len);
/* Matches every text. */
bool glob_is_any(const struct glob *g);

/*
 * Some text matches both. 1 or 0; -E2BIG when the product of the automata is too large to search,
 * -ENOMEM.
 */
int glob_overlaps(const struct glob *a, const struct glob *b);
