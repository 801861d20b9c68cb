#include "unit/policy_test.h"

#include "lib/cleanup.h"
#include "lib/policy.h"

static const char quickstart[] = "version: 1\n"
				 "filesystem_policy:\n"
				 "  include_workdir: true\n"
				 "  read_only: [/usr, /lib]\n"
				 "  read_write: [/sandbox, /tmp]\n"
				 "network_policies:\n"
				 "  github_api:\n"
				 "    name: github-api-readonly\n"
				 "    endpoints:\n"
				 "      - host: api.github.com\n"
				 "        port: 443\n"
				 "        protocol: rest\n"
				 "        tls: terminate\n"
				 "        enforcement: enforce\n"
				 "        access: read-only\n"
				 "    binaries:\n"
				 "      - { path: /usr/bin/curl }\n";

static struct decision ask(const struct policy *p, const struct intent *in)
{
	struct decision d;

	policy_decide(p, in, &d);
	return d;
}

static struct decision ask_request(
	const struct policy *p, struct intent in, const char *method, const char *path)
{
	struct request r = { .method = method, .path = path };

	in.request = &r;
	return ask(p, &in);
}

static struct decision ask_address(const struct policy *p, struct intent in, const char *addr)
{
	struct netaddr a;

	assert_int_equal(netaddr_parse(addr, &a), 0);
	in.addrs = &a;
	in.n_addrs = 1;
	return ask(p, &in);
}

static void a_zeroed_decision_denies(void **state)
{
	struct decision d = { 0 };

	(void)state;
	assert_int_equal(d.verdict, VERDICT_DENY);
}

static void the_default_policy_allows_no_connection(void **state)
{
	struct policy *p = policy_of(policy_default_yaml);
	struct intent in = curl_to("api.github.com", 443);
	struct decision d = ask(p, &in);

	(void)state;
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_string_equal(d.reason, "no matching network policy");
	policy_unref(p);
}

static void host_port_and_binary_allow_a_connection(void **state)
{
	struct policy *p = policy_of(quickstart);
	struct intent in = curl_to("api.github.com", 443);
	struct decision d = ask(p, &in);

	(void)state;
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	assert_int_equal(d.layer, LAYER_L4);
	assert_string_equal(d.policy, "github-api-readonly");
	assert_string_equal(d.policy_key, "github_api");
	assert_int_equal(d.endpoint, 0);
	assert_true(d.carriage.is_inspected);
	policy_unref(p);
}

static void an_ancestor_counts_as_the_binary(void **state)
{
	static const char *const ancestors[] = { "/bin/sh", "/usr/bin/curl", NULL };
	struct policy *p = policy_of(quickstart);
	struct intent in = { .host = "api.github.com",
		.port = 443,
		.binary = "/usr/bin/python3",
		.ancestors = ancestors };

	(void)state;
	assert_int_equal(ask(p, &in).verdict, VERDICT_ALLOW);
	policy_unref(p);
}

static void a_binary_miss_names_policy_and_binary(void **state)
{
	struct policy *p = policy_of(quickstart);
	struct intent in = { .host = "api.github.com", .port = 443, .binary = "/usr/bin/wget" };
	struct decision d = ask(p, &in);

	(void)state;
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_non_null(strstr(d.reason, "/usr/bin/wget"));
	assert_non_null(strstr(d.reason, "github-api-readonly"));
	assert_non_null(strstr(d.nearest, "/usr/bin/curl"));
	policy_unref(p);
}

static void an_unknown_binary_is_denied(void **state)
{
	struct policy *p = policy_of(quickstart);
	struct intent in = { .host = "api.github.com", .port = 443 };

	(void)state;
	assert_int_equal(ask(p, &in).verdict, VERDICT_DENY);
	assert_string_equal(ask(p, &in).reason, "the calling binary is unknown");
	in = curl_to("api.github.com", 443);
	in.identity_error = "the executable was deleted";
	assert_string_equal(ask(p, &in).reason, "the executable was deleted");
	policy_unref(p);
}

static void the_nearest_rule_differs_in_port_or_host(void **state)
{
	struct policy *p = policy_of(quickstart);
	struct intent port = curl_to("api.github.com", 80), host = curl_to("raw.github.com", 443);

	(void)state;
	assert_string_equal(ask(p, &port).nearest,
		"policy 'github-api-readonly' allows api.github.com:443; the port differs: 80");
	assert_string_equal(ask(p, &host).nearest,
		"policy 'github-api-readonly' allows api.github.com:443; the host differs: "
		"raw.github.com");
	policy_unref(p);
}

static void port_0_is_not_any_port(void **state)
{
	struct policy *p = policy_of(quickstart);
	struct intent in = curl_to("api.github.com", 0);
	struct decision d = ask(p, &in);

	(void)state;
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_string_equal(d.reason, "port 0 is no port");
	policy_unref(p);
}

static void read_only_allows_get_and_denies_post(void **state)
{
	struct policy *p = policy_of(quickstart);
	struct intent in = curl_to("api.github.com", 443);
	struct decision d = ask_request(p, in, "GET", "/zen");

	(void)state;
	assert_int_equal(d.verdict, VERDICT_ALLOW);
	assert_int_equal(d.layer, LAYER_L7);
	d = ask_request(p, in, "POST", "/repos/octocat/hello-world/issues");
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_int_equal(d.layer, LAYER_L7);
	assert_string_equal(
		d.reason, "POST /repos/octocat/hello-world/issues not permitted by policy");
	policy_unref(p);
}

static void omitted_enforcement_audits(void **state)
{
	struct policy *p = policy_of_endpoint("host: h.test, port: 443, protocol: rest, "
					      "access: read-only");
	struct decision d = ask_request(p, curl_to("h.test", 443), "POST", "/");

	(void)state;
	assert_int_equal(d.verdict, VERDICT_AUDIT);
	assert_string_equal(d.reason, "POST / not permitted by policy");
	policy_unref(p);
}

static void a_declared_host_may_be_private_but_never_loopback(void **state)
{
	struct policy *p = policy_of_endpoint("host: h.test, port: 443");
	struct intent in = curl_to("h.test", 443);

	(void)state;
	assert_int_equal(ask_address(p, in, "10.0.0.5").verdict, VERDICT_ALLOW);
	assert_int_equal(ask_address(p, in, "93.184.216.34").verdict, VERDICT_ALLOW);
	assert_int_equal(ask_address(p, in, "127.0.0.1").verdict, VERDICT_DENY);
	assert_int_equal(ask_address(p, in, "169.254.169.254").layer, LAYER_SSRF);
	assert_int_equal(ask_address(p, in, "64:ff9b::7f00:1").verdict, VERDICT_DENY);
	policy_unref(p);
}

/* A name that answers with a good address and one of ours is refused, wherever the bad one stands. */
static void every_address_of_an_answer_has_to_be_good(void **state)
{
	static const char *const texts[] = { "93.184.216.34", "93.184.216.35", "127.0.0.1" };
	static const unsigned int answers[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 2, 0, 1 } };
	struct policy *p = policy_of_endpoint("host: h.test, port: 443");
	struct intent in = curl_to("h.test", 443);
	struct netaddr addrs[3];

	(void)state;
	in.addrs = addrs;
	for (size_t n = 0; n < ARRAY_SIZE(answers); n++) {
		for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
			assert_int_equal(netaddr_parse(texts[answers[n][i]], &addrs[i]), 0);
		in.n_addrs = 3;
		assert_int_equal(ask(p, &in).layer, LAYER_SSRF);
		assert_int_equal(ask(p, &in).verdict, VERDICT_DENY);
	}
	in.n_addrs = 2;
	assert_int_equal(netaddr_parse(texts[0], &addrs[0]), 0);
	assert_int_equal(netaddr_parse(texts[1], &addrs[1]), 0);
	assert_int_equal(ask(p, &in).verdict, VERDICT_ALLOW);
	policy_unref(p);
}

static void a_wildcard_reaches_public_addresses_only(void **state)
{
	struct policy *p = policy_of_endpoint("host: '*.h.test', port: 443");
	struct intent in = curl_to("a.h.test", 443);
	struct netaddr own;

	(void)state;
	assert_int_equal(ask_address(p, in, "93.184.216.34").verdict, VERDICT_ALLOW);
	assert_int_equal(ask_address(p, in, "10.0.0.5").verdict, VERDICT_DENY);
	assert_int_equal(netaddr_parse("93.184.216.34", &own), 0);
	in.own_addrs = &own;
	in.n_own_addrs = 1;
	assert_int_equal(ask_address(p, in, "93.184.216.34").verdict, VERDICT_DENY);
	policy_unref(p);
}

static void allowed_ips_are_the_only_ones(void **state)
{
	struct policy *p = policy_of_endpoint("port: 443, allowed_ips: [10.0.5.0/24]");
	struct intent in = curl_to("anything.test", 443);

	(void)state;
	assert_int_equal(ask_address(p, in, "10.0.5.9").verdict, VERDICT_ALLOW);
	assert_int_equal(ask_address(p, in, "10.0.6.9").verdict, VERDICT_DENY);
	assert_non_null(strstr(ask_address(p, in, "93.184.216.34").reason, "not in allowed_ips"));
	policy_unref(p);
}

/* What each kind of endpoint may reach, whatever the name answers. */
static void each_kind_of_endpoint_reaches_its_own_addresses(void **state)
{
	static const struct {
		const char *endpoint, *host, *allowed, *denied; /* addresses, separated by blanks */
		uint16_t port;
	} cases[] = {
		{ "host: 10.0.0.5, port: 80", "10.0.0.5", "10.0.0.5", "10.0.0.6 93.184.216.34 127.0.0.1", 80 },
		{ "host: 93.184.216.34, port: 80", "93.184.216.34", "93.184.216.34", "93.184.216.35 10.0.0.5", 80 },
		{ "host: '2606:2800::7', port: 80", "2606:2800::7", "2606:2800::7", "2606:2800::8 ::1", 80 },
		{ "host: h.test, port: 80, allowed_ips: [10.0.5.0/24, 10.0.7.1]", "h.test", "10.0.5.9 10.0.7.1",
			"10.0.6.9 10.0.7.2 93.184.216.34 127.0.0.1", 80 },
		{ "host: '*.h.test', port: 80", "a.h.test", "93.184.216.34 2606:2800::7",
			"10.0.0.5 127.0.0.1 169.254.169.254 100.64.0.1 fd00::1 ::1 ::ffff:10.0.0.5", 80 },
		{ "host: h.test, port: 80", "h.test", "93.184.216.34 10.0.0.5 100.64.0.1 fd00::1",
			"127.0.0.1 169.254.169.254 fe80::1 ::1 0.0.0.0 224.0.0.1 ::ffff:127.0.0.1", 80 },
		{ "host: host.openshell.internal, port: 80", "host.openshell.internal", "127.0.0.1 ::1 10.0.0.5",
			"169.254.169.254 93.184.216.34", 80 },
		/* A control plane is public, or it is closed. */
		{ "host: '*.h.test', port: 6443", "a.h.test", "93.184.216.34", "10.0.0.5", 6443 },
		{ "host: h.test, port: 6443", "h.test", "", "93.184.216.34 10.0.0.5", 6443 },
		{ "host: 10.0.0.5, port: 2379", "10.0.0.5", "", "10.0.0.5", 2379 },
		{ "host: h.test, port: 2380, allowed_ips: [10.0.5.0/24]", "h.test", "", "10.0.5.9", 2380 },
		{ "host: h.test, port: 10250", "h.test", "", "10.0.0.5", 10250 },
		{ "host: h.test, port: 10255", "h.test", "", "10.0.0.5", 10255 },
		{ "host: h.test, port: 10256", "h.test", "10.0.0.5", "", 10256 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy *p = policy_of_endpoint(cases[i].endpoint);
		struct intent in = curl_to(cases[i].host, cases[i].port);

		for (int is_denied = 0; is_denied < 2; is_denied++) {
			char list[512], *save = NULL;

			(void)snprintf(list, sizeof(list), "%s", is_denied ? cases[i].denied : cases[i].allowed);
			for (char *a = strtok_r(list, " ", &save); a; a = strtok_r(NULL, " ", &save)) {
				struct decision d = ask_address(p, in, a);

				if (d.verdict != (is_denied ? VERDICT_DENY : VERDICT_ALLOW) ||
					d.layer != (is_denied ? LAYER_SSRF : LAYER_L4))
					fail_msg("{ %s } to %s: %d %s", cases[i].endpoint, a, d.verdict, d.reason);
			}
		}
		policy_unref(p);
	}
}

/* A policy that names them loads, or it does not; nobody gets there. */
static void an_address_that_is_always_blocked_cannot_be_named(void **state)
{
	static const char *const addrs[] = { "127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "224.0.0.1", "fe80::1" };
	static const char *const endpoints[] = { "host: '%s', port: 80", "host: h.test, port: 80, allowed_ips: ['%s']",
		"host: h.test, port: 80, allowed_ips: ['0.0.0.0/0', '::/0']" };
	size_t n_loaded = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addrs) * ARRAY_SIZE(endpoints); i++) {
		const char *addr = addrs[i / ARRAY_SIZE(endpoints)], *form = endpoints[i % ARRAY_SIZE(endpoints)];
		struct intent in = curl_to(form == endpoints[0] ? addr : "h.test", 80);
		struct policy_findings f = { 0 };
		struct policy *p = NULL;
		char endpoint[128], text[512];

		(void)snprintf(endpoint, sizeof(endpoint), form, addr);
		(void)snprintf(text, sizeof(text), "version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ %s }]\n"
			"    binaries: [{ path: /usr/bin/curl }]\n", endpoint);
		if (policy_load(text, strlen(text), &p, &f) == 0) {
			struct decision d = ask_address(p, in, addr);

			n_loaded++;
			if (d.verdict != VERDICT_DENY || d.layer != LAYER_SSRF)
				fail_msg("{ %s } to %s: %d", endpoint, addr, d.verdict);
		}
		policy_unref(p);
		policy_findings_done(&f);
	}
	assert_true(n_loaded > 0);
}

static void no_address_at_all_is_denied(void **state)
{
	struct policy *p = policy_of_endpoint("host: h.test, port: 443");
	struct intent in = curl_to("h.test", 443);
	struct netaddr none[1];

	(void)state;
	in.addrs = none;
	assert_int_equal(ask(p, &in).verdict, VERDICT_DENY);
	policy_unref(p);
}

static void select_takes_the_most_specific_path(void **state)
{
	struct policy *p =
		policy_of("version: 1\nnetwork_policies:\n  p:\n    endpoints:\n"
			  "      - { host: h.test, port: 443, protocol: rest, access: full }\n"
			  "      - { host: h.test, port: 443, protocol: graphql, access: full, "
			  "path: /graphql,\n"
			  "          enforcement: enforce, graphql_max_body_bytes: 1000 }\n"
			  "    binaries: [{ path: /usr/bin/curl }]\n");
	struct intent in = curl_to("h.test", 443);
	struct inspection i;

	(void)state;
	assert_true(policy_select(p, &in, "/graphql", &i));
	assert_int_equal(i.protocol, PROTOCOL_GRAPHQL);
	assert_int_equal(i.body_max, 1000);
	assert_true(i.is_enforcing);
	assert_true(policy_select(p, &in, "/other", &i));
	assert_int_equal(i.protocol, PROTOCOL_REST);
	assert_false(i.is_enforcing);
	in.port = 80;
	assert_false(policy_select(p, &in, "/other", &i));
	policy_unref(p);
}

static void an_uninspected_endpoint_has_no_rules_for_requests(void **state)
{
	struct policy *p = policy_of_endpoint("host: h.test, port: 443");
	struct decision d = ask_request(p, curl_to("h.test", 443), "GET", "/");

	(void)state;
	assert_int_equal(d.verdict, VERDICT_DENY);
	assert_false(d.carriage.is_inspected);
	policy_unref(p);
}

/* However many ports, programs and letters there are. */
static void each_of_many_ports_is_found(void **state)
{
	char text[4096] = "host: h.test, ports: [1";
	struct policy *p;

	(void)state;
	for (int port = 2; port <= 600; port++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %d", port);
	(void)strcat(text, "]");
	p = policy_of_endpoint(text);
	for (uint16_t port = 1; port <= 601; port++) {
		struct intent in = curl_to("h.test", port);

		assert_int_equal(ask(p, &in).verdict, port <= 600 ? VERDICT_ALLOW : VERDICT_DENY);
	}
	policy_unref(p);
}

static void each_of_many_binaries_is_found(void **state)
{
	static const char *const ancestors[] = { "/usr/bin/none", "/usr/bin/x3", NULL };
	char text[1024] = "version: 1\nnetwork_policies:\n  p:\n    endpoints: [{ host: h.test, port: 443 }]\n"
			  "    binaries:\n";
	struct intent in = curl_to("h.test", 443);
	struct policy *p;

	(void)state;
	for (int i = 12; i > 0; i--)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "    - path: /usr/bin/x%d\n", i);
	p = policy_of(text);
	for (int i = 0; i <= 13; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/usr/bin/x%d", i);
		in.binary = path;
		assert_int_equal(ask(p, &in).verdict, i >= 1 && i <= 12 ? VERDICT_ALLOW : VERDICT_DENY);
	}
	in.binary = "/usr/bin/none";
	assert_int_equal(ask(p, &in).verdict, VERDICT_DENY);
	in.ancestors = ancestors;
	assert_int_equal(ask(p, &in).verdict, VERDICT_ALLOW);
	policy_unref(p);
}

static void what_is_longer_than_a_name_is_no_host(void **state)
{
	struct policy *p = policy_of_endpoint("port: 443, allowed_ips: [192.0.2.0/24]");
	char host[255] = "";
	struct intent in = curl_to(host, 443);

	(void)state;
	(void)memset(host, 'a', 253);
	assert_int_equal(ask(p, &in).verdict, VERDICT_ALLOW);
	(void)strcat(host, "a");
	assert_int_equal(ask(p, &in).verdict, VERDICT_DENY);
	policy_unref(p);
}

static enum verdict connect_to(const char *written, const char *asked)
{
	char text[128];
	struct policy *p;
	struct intent in = curl_to(asked, 443);
	enum verdict v;

	(void)snprintf(text, sizeof(text), "host: '%s', port: 443", written);
	p = policy_of_endpoint(text);
	v = ask(p, &in).verdict;
	policy_unref(p);
	return v;
}

/* Only an endpoint without one is for every host, and that has to list addresses. */
static void a_host_that_is_written_is_never_every_host(void **state)
{
	static const char *const written[] = { ".", "[.]", "..", "[]", "[", "[[.]]", " " };
	struct policy *p = policy_of_endpoint("port: 443, allowed_ips: [192.0.2.0/24]");
	struct intent in = curl_to("evil.test", 443);

	(void)state;
	assert_int_equal(ask(p, &in).verdict, VERDICT_ALLOW);
	policy_unref(p);
	for (size_t i = 0; i < ARRAY_SIZE(written); i++)
		if (connect_to(written[i], "evil.test") != VERDICT_DENY)
			fail_msg("host '%s' is every host", written[i]);
}

static void a_host_has_one_spelling(void **state)
{
	static const struct {
		const char *written, *asked;
		bool want;
	} cases[] = {
		{ "Example.TEST.", "example.test", true },
		{ "*.example.test.", "a.example.test", true },
		{ "2001:DB8:0::1", "2001:db8::1", true },
		{ "[2001:db8::1]", "2001:db8::1", true },
		{ "::ffff:192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1.", "192.0.2.1", true },
		{ "[example.test]", "example.test", false },
		{ "[*.example.test]", "a.example.test", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if ((connect_to(cases[i].written, cases[i].asked) == VERDICT_ALLOW) != cases[i].want)
			fail_msg("'%s' and %s", cases[i].written, cases[i].asked);
}

static void static_sections_are_normalized(void **state)
{
	struct policy *p = policy_of("version: 1\nfilesystem_policy:\n  read_only: [//usr/./lib/]\n"
				     "  read_write: [/tmp/]\n");
	const struct policy_static *s = policy_static(p);

	(void)state;
	assert_true(s->has_filesystem);
	assert_false(s->include_workdir);
	assert_string_equal(s->read_only[0], "/usr/lib");
	assert_null(s->read_only[1]);
	assert_string_equal(s->read_write[0], "/tmp");
	assert_null(s->run_as_user);
	policy_unref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_zeroed_decision_denies),
		cmocka_unit_test(the_default_policy_allows_no_connection),
		cmocka_unit_test(host_port_and_binary_allow_a_connection),
		cmocka_unit_test(an_ancestor_counts_as_the_binary),
		cmocka_unit_test(a_binary_miss_names_policy_and_binary),
		cmocka_unit_test(an_unknown_binary_is_denied),
		cmocka_unit_test(the_nearest_rule_differs_in_port_or_host),
		cmocka_unit_test(port_0_is_not_any_port),
		cmocka_unit_test(read_only_allows_get_and_denies_post),
		cmocka_unit_test(omitted_enforcement_audits),
		cmocka_unit_test(a_declared_host_may_be_private_but_never_loopback),
		cmocka_unit_test(every_address_of_an_answer_has_to_be_good),
		cmocka_unit_test(a_wildcard_reaches_public_addresses_only),
		cmocka_unit_test(allowed_ips_are_the_only_ones),
		cmocka_unit_test(each_kind_of_endpoint_reaches_its_own_addresses),
		cmocka_unit_test(an_address_that_is_always_blocked_cannot_be_named),
		cmocka_unit_test(no_address_at_all_is_denied),
		cmocka_unit_test(select_takes_the_most_specific_path),
		cmocka_unit_test(an_uninspected_endpoint_has_no_rules_for_requests),
		cmocka_unit_test(each_of_many_ports_is_found),
		cmocka_unit_test(each_of_many_binaries_is_found),
		cmocka_unit_test(what_is_longer_than_a_name_is_no_host),
		cmocka_unit_test(a_host_that_is_written_is_never_every_host),
		cmocka_unit_test(a_host_has_one_spelling),
		cmocka_unit_test(static_sections_are_normalized),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
