#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/redact.h"

#define KEY "sk-ABCDEFGHIJKLMNOP"

static void keys_are_replaced_and_nothing_else(void **state)
{
	static const struct {
		const char *in, *out;
		int count;
	} table[] = {
		{ "", "", 0 },
		{ "no key", "no key", 0 },
		{ KEY, "[REDACTED]", 1 },
		{ "{\"k\":\"" KEY "_-9\"}", "{\"k\":\"[REDACTED]\"}", 1 },
		{ "sk-ABCDEFGHIJKLMNO", "sk-ABCDEFGHIJKLMNO", 0 },
		{ "sk-" KEY, "[REDACTED]", 1 },
		{ "sk-short " KEY " " KEY "!", "sk-short [REDACTED] [REDACTED]!", 2 },
		{ "sk-sk-sk-sk-sk-sk.", "sk-sk-sk-sk-sk-sk.", 0 },
		{ "task-" KEY, "ta[REDACTED]", 1 },
		{ "sk", "sk", 0 },
		{ KEY "\xc3\xa9", "[REDACTED]\xc3\xa9", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(redact(&out, table[i].in, strlen(table[i].in)), table[i].count);
		assert_string_equal(buf_cstr(&out), table[i].out);
		buf_done(&out);
	}
}

static void bodies_that_cannot_be_read_are_refused(void **state)
{
	char *large = calloc(1, REDACT_BODY_MAX + 1);
	struct buf out;

	(void)state;
	buf_init(&out, REDACT_BODY_MAX + 1);
	assert_int_equal(redact(&out, "\x1f\x8b\x08", 3), -EILSEQ);
	assert_int_equal(redact(&out, large, REDACT_BODY_MAX + 1), -EFBIG);
	assert_int_equal(redact(&out, large, REDACT_BODY_MAX), 0);
	buf_done(&out);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_replaced_and_nothing_else),
		cmocka_unit_test(bodies_that_cannot_be_read_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
