/*
 * JSON that is going to be judged: jansson behind limits, and behind what makes two parsers see
 * two things in one text.
 *
 * Refused: duplicate keys, NUL in strings, text that is not UTF-8, more nesting or values than the
 * limits. And keys that another parser would take for one we look at: Go's encoding/json ignores
 * case (and folds U+017F to "s", U+212A to "k"), so {"method":…,"Method":…} is two methods.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct http1_header;

enum {
	JSONTEXT_DEPTH_MAX = 128,
	JSONTEXT_VALUES_MAX =
		65536, /* each costs up to a few hundred bytes while it is looked at */
};

/*
 * jansson 2.14 looks away, here and there, when there is no memory: its lexer drops bytes of a string, its
 * dumper the quote behind a key. So these two: as json_loadb() and json_dumps() (the caller frees), but
 * NULL whenever memory was refused on the way. @ret_error may be NULL. With JSON_ENSURE_ASCII nothing in the
 * text acts on a terminal, DEL included.
 */
json_t *jsontext_load(const char *text, size_t len, size_t flags, json_error_t *ret_error);
char *jsontext_dumps(const json_t *v, size_t flags);

/* For whoever builds something large: memory that jansson is refused from here on, and whether it was. */
void jsontext_begin(void);
bool jsontext_is_short(void);

/* 0 and a reference; -EBADMSG and the reason (a constant), -ENOMEM. Any value is accepted. */
int jsontext_parse(const char *text, size_t len, json_t **ret, const char **ret_why);

/* Whether @object has a key that is not in @keys (NULL-terminated) but folds to one of them. */
bool jsontext_has_lookalike(const json_t *object, const char *const *keys);

/*
 * Whether the headers of a request let its body be read as JSON in UTF-8: no Content-Encoding but
 * identity, at most one Content-Type, which is application/json or …+json (text/plain too with
 * @plain), its charset UTF-8. NULL if so, else the reason.
 */
const char *jsontext_check_headers(const struct http1_header *list, size_t n, bool plain);
