#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/netaddr.h"

static struct netaddr addr(const char *text)
{
	struct netaddr a;

	assert_int_equal(netaddr_parse(text, &a), 0);
	return a;
}

static struct netprefix prefix(const char *text)
{
	struct netprefix p;

	assert_int_equal(netprefix_parse(text, &p), 0);
	return p;
}

static void only_the_plain_spelling_of_an_address_is_one(void **state)
{
	static const char *const wrong[] = { "", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256",
		"1.2.3.4 ", " 1.2.3.4", "0x7f.0.0.1", "2130706433", "1.2.3.-4", "1.2..3", "[::1]",
		"::1%lo", ":::", "1.2.3.4/8" };
	struct netaddr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (netaddr_parse(wrong[i], &a) != -EINVAL)
			fail_msg("'%s' was taken", wrong[i]);
}

/* As a policy may name it; what is more than an address is a name. */
static void a_host_may_be_an_address_in_brackets_or_with_a_final_dot(void **state)
{
	static const char *const wrong[] = { "", ".", "[]", "[.]", "[", "[::1", "::1]", "[::1].", "[::1.]",
		"[[::1]]", "192.0.2.1..", "[::1]:443", "h",
		"0000000000000000000000000000000000000000000000000000000000000000000000000.0.0.1" };
	struct netaddr want = addr("192.0.2.1"), six = addr("2001:db8::1"), a;

	(void)state;
	assert_int_equal(netaddr_parse_host("192.0.2.1", &a), 0);
	assert_true(netaddr_equal(&a, &want));
	assert_int_equal(netaddr_parse_host("192.0.2.1.", &a), 0);
	assert_true(netaddr_equal(&a, &want));
	assert_int_equal(netaddr_parse_host("[2001:db8::1]", &a), 0);
	assert_true(netaddr_equal(&a, &six));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (netaddr_parse_host(wrong[i], &a) != -EINVAL)
			fail_msg("'%s' was taken", wrong[i]);
}

static void an_address_is_written_as_rfc_5952_says(void **state)
{
	static const char *const same[] = { "127.0.0.1", "::", "::1", "2001:db8::1", "fe80::1:2" };
	char text[NETADDR_TEXT_MAX];
	struct netaddr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		a = addr(same[i]);
		assert_string_equal(netaddr_format(&a, text, sizeof(text)), same[i]);
	}
	a = addr("2001:DB8:0:0:0:0:0:1");
	assert_string_equal(netaddr_format(&a, text, sizeof(text)), "2001:db8::1");
	a = (struct netaddr){ 0 };
	assert_string_equal(netaddr_format(&a, text, sizeof(text)), "-");
}

static void a_mapped_address_is_ipv4(void **state)
{
	struct netaddr a = addr("::ffff:10.0.0.1"), b = addr("10.0.0.1");

	(void)state;
	assert_int_equal(a.family, AF_INET);
	assert_true(netaddr_equal(&a, &b));
}

struct reach {
	const char *text, *name;
	enum netaddr_class class;
};

static void what_an_address_reaches_is_what_it_carries(void **state)
{
	static const struct reach rows[] = {
		{ "8.8.8.8", "public", NETADDR_PUBLIC },
		{ "127.1.2.3", "loopback", NETADDR_BLOCKED },
		{ "::1", "loopback", NETADDR_BLOCKED },
		{ "0.0.0.0", "unspecified", NETADDR_BLOCKED },
		{ "0.1.2.3", "this network", NETADDR_BLOCKED },
		{ "169.254.169.254", "cloud metadata", NETADDR_BLOCKED },
		{ "169.254.1.1", "link-local", NETADDR_BLOCKED },
		{ "100.100.100.200", "cloud metadata", NETADDR_BLOCKED },
		{ "168.63.129.16", "cloud metadata", NETADDR_BLOCKED },
		{ "fd00:ec2::254", "cloud metadata", NETADDR_BLOCKED },
		{ "224.0.0.1", "multicast", NETADDR_BLOCKED },
		{ "240.0.0.1", "reserved", NETADDR_BLOCKED },
		{ "255.255.255.255", "broadcast", NETADDR_INTERNAL },
		{ "10.1.2.3", "private", NETADDR_INTERNAL },
		{ "172.31.255.255", "private", NETADDR_INTERNAL },
		{ "172.32.0.1", "public", NETADDR_PUBLIC },
		{ "192.168.0.1", "private", NETADDR_INTERNAL },
		{ "100.64.0.1", "shared address space", NETADDR_INTERNAL },
		{ "198.18.0.1", "benchmarking", NETADDR_INTERNAL },
		{ "198.20.0.1", "public", NETADDR_PUBLIC },
		{ "fc00::1", "private", NETADDR_INTERNAL },
		{ "fe80::1", "link-local", NETADDR_BLOCKED },
		{ "ff02::1", "multicast", NETADDR_BLOCKED },
		{ "2001:db8::1", "documentation", NETADDR_INTERNAL },
		{ "2606:4700::1", "public", NETADDR_PUBLIC },
		{ "4000::1", "reserved", NETADDR_BLOCKED },
		{ "::10.0.0.1", "IPv4-compatible", NETADDR_INTERNAL },
		{ "::127.0.0.1", "loopback", NETADDR_BLOCKED },
		{ "64:ff9b::808:808", "NAT64", NETADDR_PUBLIC },
		{ "64:ff9b::7f00:1", "loopback", NETADDR_BLOCKED },
		{ "64:ff9b::a00:1", "private", NETADDR_INTERNAL },
		{ "64:ff9b:1::808:808", "unspecified", NETADDR_BLOCKED },
		{ "2002:7f00:1::1", "loopback", NETADDR_BLOCKED },
		{ "2002:a00:1::1", "private", NETADDR_INTERNAL },
		{ "2002:808:808::1", "6to4", NETADDR_PUBLIC },
		/* Teredo: the client's address has its bits flipped; here it is 127.0.0.1 */
		{ "2001:0:808:808::80ff:fffe", "loopback", NETADDR_BLOCKED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct netaddr a = addr(rows[i].text);

		if (netaddr_classify(&a) != rows[i].class ||
			strcmp(netaddr_range_name(&a), rows[i].name) != 0)
			fail_msg("%s: %d, %s", rows[i].text, netaddr_classify(&a),
				netaddr_range_name(&a));
	}
}

static void no_address_reaches_anything(void **state)
{
	struct netaddr none = { 0 };
	struct sockaddr_storage sa;

	(void)state;
	assert_int_equal(netaddr_classify(&none), NETADDR_BLOCKED);
	assert_string_equal(netaddr_range_name(&none), "unknown");
	assert_int_equal(netaddr_to_sockaddr(&none, 443, &sa), 0);
}

static void a_prefix_holds_what_begins_like_it(void **state)
{
	struct netprefix p = prefix("10.0.5.0/24"), all4 = prefix("0.0.0.0/0"),
			 six = prefix("fd00::/8");
	struct netprefix mapped = prefix("::ffff:10.0.0.0/104"), wide = prefix("::/0");
	struct netaddr in = addr("10.0.5.255"), out = addr("10.0.6.0"), v6 = addr("fd12::1");

	(void)state;
	assert_true(netprefix_contains(&p, &in));
	assert_false(netprefix_contains(&p, &out));
	assert_true(netprefix_contains(&all4, &out));
	assert_false(netprefix_contains(&all4, &v6));
	assert_true(netprefix_contains(&six, &v6));
	assert_int_equal(mapped.addr.family, AF_INET);
	assert_int_equal(mapped.bits, 8);
	assert_true(netprefix_contains(&wide, &in));
	/* wider than what is mapped: both kinds of addresses are in it */
	mapped = prefix("::ffff:10.0.0.0/80");
	assert_true(netprefix_contains(&mapped, &in));
	assert_true(netprefix_contains(&mapped, &(struct netaddr){ AF_INET6, .bytes = { [15] = 1 } }));
	assert_false(netprefix_contains(&mapped, &v6));
}

/* As the addresses of a refused endpoint are. */
static void an_empty_prefix_holds_nothing(void **state)
{
	struct netprefix none = { 0 }, all = prefix("::/0");
	struct netaddr zero = addr("::"), v4 = addr("0.0.0.0"), no = { 0 };

	(void)state;
	assert_false(netprefix_contains(&none, &zero));
	assert_false(netprefix_contains(&none, &v4));
	assert_false(netprefix_contains(&all, &no));
	assert_false(netprefix_overlaps(&none, &all));
	assert_false(netprefix_overlaps(&all, &none));
}

static void prefixes_overlap_when_one_holds_the_other(void **state)
{
	struct netprefix wide = prefix("8.0.0.0/5"), ten = prefix("10.1.0.0/16"),
			 one = prefix("11.0.0.1");
	struct netprefix mapped = prefix("::ffff:168.0.0.0/103"), link = prefix("169.254.0.0/16");

	(void)state;
	assert_true(netprefix_overlaps(&wide, &ten));
	assert_true(netprefix_overlaps(&ten, &wide));
	assert_true(netprefix_overlaps(&wide, &one));
	assert_false(netprefix_overlaps(&ten, &one));
	assert_true(netprefix_overlaps(&mapped, &link));
}

static void a_malformed_prefix_is_refused(void **state)
{
	static const char *const wrong[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08",
		"10.0.0.0/+8", "10.0.0.0/8/8", "::/129", "fd00::/-1", "host/8" };
	struct netprefix p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (netprefix_parse(wrong[i], &p) != -EINVAL)
			fail_msg("'%s' was taken", wrong[i]);
}

static void a_socket_address_there_and_back_is_the_same(void **state)
{
	static const char *const both[] = { "192.0.2.7", "2001:db8::7" };
	struct sockaddr_storage sa;
	struct netaddr a, b;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		socklen_t len;

		a = addr(both[i]);
		len = netaddr_to_sockaddr(&a, 443, &sa);
		assert_int_equal(netaddr_from_sockaddr((struct sockaddr *)&sa, len, &b, &port), 0);
		assert_true(netaddr_equal(&a, &b));
		assert_int_equal(port, 443);
		assert_int_equal(
			netaddr_from_sockaddr((struct sockaddr *)&sa, 4, &b, &port), -EAFNOSUPPORT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_plain_spelling_of_an_address_is_one),
		cmocka_unit_test(a_host_may_be_an_address_in_brackets_or_with_a_final_dot),
		cmocka_unit_test(an_address_is_written_as_rfc_5952_says),
		cmocka_unit_test(a_mapped_address_is_ipv4),
		cmocka_unit_test(what_an_address_reaches_is_what_it_carries),
		cmocka_unit_test(no_address_reaches_anything),
		cmocka_unit_test(a_prefix_holds_what_begins_like_it),
		cmocka_unit_test(an_empty_prefix_holds_nothing),
		cmocka_unit_test(prefixes_overlap_when_one_holds_the_other),
		cmocka_unit_test(a_malformed_prefix_is_refused),
		cmocka_unit_test(a_socket_address_there_and_back_is_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
