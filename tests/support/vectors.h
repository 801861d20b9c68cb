/*
 * Tables of cases: tests/vectors/NAME.jsonl, one JSON object a line, with "id", "input", "expect".
 *
 * Header only, for unit tests. A failing line is printed by its id; all lines are run before the
 * test fails.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* True when the case came out as it should; prints why not. */
typedef bool vector_fn(const char *id, json_t *input, json_t *expect);

/* The number of failing lines; -1 when the file cannot be read or holds no case. */
static inline int vectors_run(const char *path, vector_fn *run)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int n = 0, bad = 0;

	if (!f)
		return -1;
	while (getline(&line, &size, f) > 0) {
		json_t *c = json_loads(line, JSON_ALLOW_NUL, NULL);
		const char *id = json_string_value(json_object_get(c, "id"));

		n++;
		if (!id || !run(id, json_object_get(c, "input"), json_object_get(c, "expect"))) {
			fprintf(stderr, "%s: case %s failed\n", path, id ? id : line);
			bad++;
		}
		json_decref(c);
	}
	free(line);
	(void)fclose(f);
	return n ? bad : -1;
}

static inline bool vector_flag(json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* Decodes base64 into a fresh buffer; the caller frees. */
static inline unsigned char *vector_base64(const char *text, size_t *ret_len)
{
	unsigned char *out = malloc(strlen(text) + 1);
	unsigned int bits = 0, n_bits = 0;
	size_t n = 0;

	for (; *text && *text != '='; text++) {
		static const char digits[] =
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

		bits = bits << 6 | (unsigned int)(strchr(digits, *text) - digits);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			out[n++] = (unsigned char)(bits >> n_bits);
		}
	}
	*ret_len = n;
	return out;
}
