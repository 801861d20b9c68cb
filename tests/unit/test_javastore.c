#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lib/buf.h"
#include "tracer/javastore.h"

enum { HEAD = 12, DIGEST = 20, ENTRY = 4 + 2 + 9 + 8 + 2 + 5 + 4 };

#define CERT(base64) "-----BEGIN CERTIFICATE-----\n" base64 "\n-----END CERTIFICATE-----\n"

static void certificates_become_entries_and_the_rest_is_left_out(void **state)
{
	static const struct {
		const char *pem;
		unsigned int count;
		size_t bytes; /* of all certificates */
	} table[] = {
		{ "", 0, 0 },
		{ "# nothing\n", 0, 0 },
		{ CERT("AQID"), 1, 3 },
		{ "name\n" CERT("AQ\nID") "text\n" CERT("AQIDBA=="), 2, 7 },
		{ CERT("!!") CERT("") CERT("AQID"), 1, 3 },
		{ CERT("AQID") "-----BEGIN CERTIFICATE-----\nAQID\n", 1, 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		auto_buf struct buf out = { .max = 4096 };
		const uint8_t *p;

		assert_int_equal(javastore_build(&out, table[i].pem), 0);
		p = (const uint8_t *)buf_head(&out);
		assert_memory_equal(p, "\xfe\xed\xfe\xed\0\0\0\2\0\0\0", HEAD - 1);
		assert_int_equal(p[HEAD - 1], table[i].count);
		assert_int_equal(out.len, HEAD + table[i].count * ENTRY + table[i].bytes + DIGEST);
	}
}

static void a_store_beyond_the_limit_is_an_error(void **state)
{
	auto_buf struct buf out = { .max = HEAD + ENTRY };

	(void)state;
	assert_int_equal(javastore_build(&out, CERT("AQID")), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates_become_entries_and_the_rest_is_left_out),
		cmocka_unit_test(a_store_beyond_the_limit_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
