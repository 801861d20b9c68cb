#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/asn1.h>

#include "lib/cleanup.h"
#include "proxy/der.h"

static void is(const struct der *d, const void *want, size_t len)
{
	assert_false(d->is_full);
	assert_int_equal(der_len(d), len);
	assert_memory_equal(der_data(d), want, len);
}

static void lengths_take_one_two_or_three_bytes(void **state)
{
	static const uint8_t zeros[300];
	struct der d;

	(void)state;
	der_init(&d);
	der_element(&d, DER_OCTET_STRING, zeros, 127);
	assert_memory_equal(der_data(&d), "\x04\x7f", 2);
	der_init(&d);
	der_element(&d, DER_OCTET_STRING, zeros, 128);
	assert_memory_equal(der_data(&d), "\x04\x81\x80", 3);
	der_init(&d);
	der_element(&d, DER_OCTET_STRING, zeros, 300);
	assert_memory_equal(der_data(&d), "\x04\x82\x01\x2c", 4);
}

static void integers_are_positive_and_minimal(void **state)
{
	struct der d;

	(void)state;
	der_init(&d);
	der_positive(&d, (const uint8_t *)"\x00\x00\x05", 3);
	is(&d, "\x02\x01\x05", 3);
	der_init(&d);
	der_positive(&d, (const uint8_t *)"\x80", 1);
	is(&d, "\x02\x02\x00\x80", 4);
}

static void nested_elements_close_around_what_came_before(void **state)
{
	struct der d;
	size_t end;

	(void)state;
	der_init(&d);
	end = d.at;
	der_element(&d, DER_INTEGER, "\x02", 1);
	der_element(&d, DER_INTEGER, "\x01", 1);
	der_wrap(&d, DER_SEQUENCE, end);
	is(&d, "\x30\x06\x02\x01\x01\x02\x01\x02", 8);
}

static void what_does_not_fit_is_noticed(void **state)
{
	static const uint8_t zeros[DER_MAX];
	struct der d;

	(void)state;
	der_init(&d);
	der_element(&d, DER_OCTET_STRING, zeros, sizeof(zeros));
	assert_true(d.is_full);
}

/* OpenSSL is the slow obvious implementation. */
static void times_agree_with_openssl(void **state)
{
	static const int64_t times[] = { 0, 951782399, 951782400, 951868800, 1709164800, 2524607999,
		2524608000, 4107542400, 253402300799 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)times[i]);
		unsigned char *want = NULL;
		int len = i2d_ASN1_TIME(t, &want);
		struct der d;

		der_init(&d);
		der_time(&d, times[i]);
		is(&d, want, (size_t)len);
		OPENSSL_free(want);
		ASN1_TIME_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_take_one_two_or_three_bytes),
		cmocka_unit_test(integers_are_positive_and_minimal),
		cmocka_unit_test(nested_elements_close_around_what_came_before),
		cmocka_unit_test(what_does_not_fit_is_noticed),
		cmocka_unit_test(times_agree_with_openssl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
