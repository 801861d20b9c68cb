#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "proxy/chain.h"

static struct chain *parsed(const char *url, const char *no_proxy)
{
	struct err err = { .text = "" };
	struct chain *ch = NULL;

	assert_int_equal(chain_parse(url, no_proxy, &ch, &err), 0);
	return ch;
}

static void a_url_gives_host_port_and_credentials(void **state)
{
	auto_buf struct buf out;
	struct chain *ch = parsed("http://al%69ce:p%40ss%3Aword@Proxy.Corp:3128/", NULL);

	(void)state;
	buf_init(&out, 4096);
	assert_string_equal(chain_host(ch), "proxy.corp");
	assert_int_equal(chain_port(ch), 3128);
	assert_int_equal(chain_request(&out, ch, "api.test", 443), 0);
	assert_string_equal(buf_cstr(&out),
		"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n"
		"Proxy-Authorization: Basic YWxpY2U6cEBzczp3b3Jk\r\n\r\n");
	chain_free(ch);
}

static void an_ipv6_destination_is_bracketed(void **state)
{
	auto_buf struct buf out;
	struct chain *ch = parsed("http://192.0.2.1", NULL);

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(chain_port(ch), 80);
	assert_int_equal(chain_request(&out, ch, "2001:db8::1", 443), 0);
	assert_string_equal(buf_cstr(&out),
		"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
	chain_free(ch);
}

static void other_kinds_of_proxy_are_refused(void **state)
{
	static const char *const urls[] = { "https://p:1", "socks5://p:1", "p:1", "", "http://",
		"http://p:99999", "http://a b:1" };
	struct err err;
	struct chain *ch = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
		assert_int_equal(chain_parse(urls[i], NULL, &ch, &err), -EINVAL);
	assert_null(ch);
}

static void no_error_shows_a_password(void **state)
{
	static const char *const urls[] = { "https://u:S3CRET@p:1", "http://u:S3CRET@p:99999",
		"http://u:S3C/RET@p:1", "http://u:S3C?RET@p:1", "http://u:S3CRET@a b:1" };
	struct err err = { .text = "" };
	struct chain *ch = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		assert_int_equal(chain_parse(urls[i], NULL, &ch, &err), -EINVAL);
		assert_true(err.text[0] && !strstr(err.text, "S3C"));
	}
}

static void exceptions_match_names_below_ports_addresses_and_prefixes(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		bool applies;
	} cases[] = {
		{ "corp.test", 443, false },
		{ "git.corp.test", 443, false },
		{ "notcorp.test", 443, true },
		{ "corp.test.evil", 443, true },
		{ "dot.test", 443, false },
		{ "a.dot.test", 443, false },
		{ "star.test", 443, false },
		{ "x.star.test", 443, false },
		{ "ported.test", 8443, false },
		{ "ported.test", 443, true },
		{ "10.1.2.3", 443, false },
		{ "11.1.2.3", 443, true },
		{ "192.0.2.7", 80, false },
		{ "2001:db8::5", 443, false },
		{ "2001:db9::5", 443, true },
		{ "10.1.2.3.test", 443, true },
	};
	struct chain *ch = parsed("http://p:3128",
		"corp.test, .dot.test,*.star.test ported.test:8443 10.0.0.0/8,192.0.2.7 2001:db8::/32");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (chain_applies(ch, cases[i].host, cases[i].port) != cases[i].applies)
			fail_msg("%s:%u", cases[i].host, cases[i].port);
	chain_free(ch);
}

static void a_star_means_everything(void **state)
{
	struct chain *ch = parsed("http://p", "*");

	(void)state;
	assert_false(chain_applies(ch, "api.test", 443));
	chain_free(ch);
}

static void nonsense_among_the_exceptions_is_an_error(void **state)
{
	static const char *const lists[] = { "a b/c", "host:port", "a*b", "http://x", "a..b" };
	struct err err;
	struct chain *ch = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (chain_parse("http://p", lists[i], &ch, &err) != -EINVAL)
			fail_msg("%s", lists[i]);
}

static void without_a_proxy_nothing_goes_through_one(void **state)
{
	(void)state;
	assert_false(chain_applies(NULL, "api.test", 443));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_url_gives_host_port_and_credentials),
		cmocka_unit_test(an_ipv6_destination_is_bracketed),
		cmocka_unit_test(other_kinds_of_proxy_are_refused),
		cmocka_unit_test(no_error_shows_a_password),
		cmocka_unit_test(exceptions_match_names_below_ports_addresses_and_prefixes),
		cmocka_unit_test(a_star_means_everything),
		cmocka_unit_test(nonsense_among_the_exceptions_is_an_error),
		cmocka_unit_test(without_a_proxy_nothing_goes_through_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
