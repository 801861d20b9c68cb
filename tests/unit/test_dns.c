#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/netaddr.h"
#include "tracer/dns.h"
#include "tracer/names.h"

enum { A = 1, NS = 2, PTR = 12, AAAA = 28, HTTPS = 65, ANY = 255 };

static uint8_t query[2048], answer[DNS_MESSAGE_MAX];
static size_t query_len, answer_len;
static struct names *names;

static void put_name(const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		query[query_len++] = (uint8_t)n;
		memcpy(query + query_len, name, n);
		query_len += n;
		name += n + (name[n] == '.');
	}
	query[query_len++] = 0;
}

static void build(const char *name, unsigned int type)
{
	static const uint8_t header[] = { 0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0 };

	memcpy(query, header, sizeof(header));
	query_len = sizeof(header);
	put_name(name);
	query[query_len++] = (uint8_t)(type >> 8);
	query[query_len++] = (uint8_t)type;
	query[query_len++] = 0;
	query[query_len++] = 1;
}

static void ask_again(void)
{
	answer_len = dns_answer(names, "box", query, query_len, answer);
}

static void ask(const char *name, unsigned int type)
{
	build(name, type);
	ask_again();
}

static unsigned int rcode(void)
{
	return answer[3] & 0xf;
}

static unsigned int count(void)
{
	return (unsigned int)answer[6] << 8 | answer[7];
}

/* The address in the only record of the answer. */
static struct netaddr address(size_t size)
{
	struct netaddr a = { .family = size == 4 ? AF_INET : AF_INET6 };

	memcpy(a.bytes, answer + answer_len - size, size);
	return a;
}

static void any_name_has_addresses_that_stand_for_it(void **state)
{
	static const char *const asked[] = { "Example.COM", "_acme-challenge.example.com", "x", "a.b.c.d.e.f" };
	static const char *const want[] = { "example.com", "_acme-challenge.example.com", "x", "a.b.c.d.e.f" };

	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct netaddr a;

		ask(asked[i], A);
		assert_int_equal(rcode(), 0);
		assert_int_equal(count(), 1);
		a = address(4);
		assert_string_equal(names_lookup(names, &a), want[i]);
		ask(asked[i], AAAA);
		a = address(16);
		assert_string_equal(names_lookup(names, &a), want[i]);
	}
}

static void the_question_comes_back_as_it_was_asked(void **state)
{
	(void)state;
	ask("eXaMpLe.com", A);
	assert_memory_equal(answer, "\x12\x34", 2);
	assert_int_equal(answer[2] & 0xf9, 0x81);
	assert_memory_equal(answer + 12, query + 12, query_len - 12);
}

static void own_names_are_loopback(void **state)
{
	static const char *const own[] = { "box", "localhost", "a.localhost" };
	struct netaddr loopback4, loopback6, a;

	(void)state;
	(void)netaddr_parse("127.0.0.1", &loopback4);
	(void)netaddr_parse("::1", &loopback6);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		ask(own[i], A);
		a = address(4);
		assert_true(netaddr_equal(&a, &loopback4));
		ask(own[i], AAAA);
		a = address(16);
		assert_true(netaddr_equal(&a, &loopback6));
	}
}

static void other_types_have_no_data(void **state)
{
	static const unsigned int types[] = { NS, HTTPS, ANY, 15, 16, 33, 6 };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		ask("example.com", types[i]);
		assert_int_equal(rcode(), 0);
		assert_int_equal(count(), 0);
	}
}

static void reverse_questions_find_nothing(void **state)
{
	(void)state;
	ask("1.0.18.198.in-addr.arpa", PTR);
	assert_int_equal(rcode(), 3);
	ask("1.0.0.127.in-addr.arpa", A);
	assert_int_equal(rcode(), 3);
}

static void the_root_exists_and_holds_nothing(void **state)
{
	(void)state;
	ask("", NS);
	assert_int_equal(rcode(), 0);
	assert_int_equal(count(), 0);
	ask("", A);
	assert_int_equal(count(), 0);
}

static void edns_is_read_over(void **state)
{
	static const uint8_t opt[] = { 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0 };

	(void)state;
	build("example.com", A);
	query[11] = 1;
	memcpy(query + query_len, opt, sizeof(opt));
	query_len += sizeof(opt);
	ask_again();
	assert_int_equal(rcode(), 0);
	assert_int_equal(count(), 1);
	assert_int_equal(answer[11], 0);
}

static void what_is_no_question_gets_no_answer(void **state)
{
	(void)state;
	build("example.com", A);
	query[2] |= 0x80;
	ask_again();
	assert_int_equal(answer_len, 0);
	build("example.com", A);
	query_len = 11;
	ask_again();
	assert_int_equal(answer_len, 0);
}

static void malformed_names_are_refused(void **state)
{
	(void)state;
	ask("white space.test", A);
	assert_int_equal(rcode(), 1);
	build("example.com", A);
	query[12] = 0xc0; /* a pointer */
	ask_again();
	assert_int_equal(rcode(), 1);
	build("example.com", A);
	query_len -= 3;
	ask_again();
	assert_int_equal(rcode(), 1);
	build("example.com", A);
	query[5] = 2; /* two questions */
	ask_again();
	assert_int_equal(rcode(), 1);
	build("example.com", A);
	query[2] |= 0x10; /* another opcode */
	ask_again();
	assert_int_equal(rcode(), 4);
}

static void the_longest_name_fits_and_a_longer_does_not(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	name[252] = '\0';
	ask(name, A);
	assert_int_equal(rcode(), 0);
	name[252] = 'a';
	name[255] = '.';
	name[280] = '\0';
	ask(name, A);
	assert_int_equal(rcode(), 1);
}

static int set_up(void **state)
{
	(void)state;
	names = names_new();
	return names ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	names_free(names);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_name_has_addresses_that_stand_for_it),
		cmocka_unit_test(the_question_comes_back_as_it_was_asked),
		cmocka_unit_test(own_names_are_loopback),
		cmocka_unit_test(other_types_have_no_data),
		cmocka_unit_test(reverse_questions_find_nothing),
		cmocka_unit_test(the_root_exists_and_holds_nothing),
		cmocka_unit_test(edns_is_read_over),
		cmocka_unit_test(what_is_no_question_gets_no_answer),
		cmocka_unit_test(malformed_names_are_refused),
		cmocka_unit_test(the_longest_name_fits_and_a_longer_does_not),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
