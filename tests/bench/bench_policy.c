/*
 * A policy of ten thousand endpoints: how long it takes to load, and what one decision costs in it
 * compared with the same decision in a policy of one endpoint.
 *
 * Prints lines as tests/bench/bench.sh describes them.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/policy.h"

enum { MANY = 10000, LOADS = 5, ROUNDS = 200000, TEXT_MAX = 16 * 1024 * 1024 };

/* Processor time: nothing here waits, and a busy machine should not count. */
static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Ways in which ten thousand endpoints can be alike. */
enum layout {
	HOSTS = 0, /* each its own host, every third with a wildcard */
	WILDCARDS, /* all below one domain */
	BINARIES,  /* all the same host, each for another program */
};

static void write_layout(struct buf *b, int n, enum layout layout)
{
	static const char *const formats[] = { NULL, "service-%d-*.example.com",
		"service.example.com" };

	assert(buf_puts(b, "version: 1\nnetwork_policies:\n") == 0);
	for (int i = 0; i < n; i++) {
		assert(buf_printf(b, "  policy_%d: { endpoints: [{ port: 443, host: \"", i) == 0);
		assert(buf_printf(b, formats[layout], i) == 0);
		assert(buf_printf(b, "\" }], binaries: [{ path: /usr/bin/curl%s", "") == 0);
		if (layout == BINARIES && i)
			assert(buf_printf(b, "-%d", i) == 0);
		assert(buf_puts(b, " }] }\n") == 0);
	}
}

/* Every third endpoint is a wildcard, every one is inspected and has a rule. */
static void write_policy(struct buf *b, int n)
{
	assert(buf_puts(b, "version: 1\nnetwork_policies:\n") == 0);
	for (int i = 0; i < n; i++)
		assert(buf_printf(b,
			       "  policy_%d:\n"
			       "    endpoints:\n"
			       "      - host: \"%sservice-%d.example.com\"\n"
			       "        port: 443\n"
			       "        protocol: rest\n"
			       "        enforcement: enforce\n"
			       "        rules:\n"
			       "          - allow: { method: GET, path: /v1/**/items }\n"
			       "    binaries:\n"
			       "      - { path: /usr/bin/curl }\n",
			       i, i % 3 == 2 ? "*." : "", i) == 0);
}

static struct policy *load(const struct buf *b)
{
	struct policy *p = NULL;

	assert(policy_load(buf_head(b), b->len, &p, NULL) == 0);
	return p;
}

static double load_ms(const struct buf *b)
{
	double best = 1e18;

	for (int i = 0; i < LOADS; i++) {
		double start = now_ns(), took;

		policy_unref(load(b));
		took = (now_ns() - start) / 1e6;
		if (took < best)
			best = took;
	}
	return best;
}

static double decide_ns(const struct policy *p, const struct intent *in, enum verdict expected)
{
	struct decision d;
	double start;

	policy_decide(p, in, &d);
	assert(d.verdict == expected);
	start = now_ns();
	for (int i = 0; i < ROUNDS; i++)
		policy_decide(p, in, &d);
	return (now_ns() - start) / ROUNDS;
}

static const struct request get = { .method = "GET", .path = "/v1/projects/17/things/items" };
static const struct request put = { .method = "PUT", .path = "/v1/items/17" };

static const struct question {
	const char *name, *host;
	const struct request *request;
	enum verdict expected;
} questions[] = {
	{ "policy_connect", "service-0.example.com", NULL, VERDICT_ALLOW },
	{ "policy_request", "service-0.example.com", &get, VERDICT_ALLOW },
	{ "policy_request_denied", "service-0.example.com", &put, VERDICT_DENY },
	{ "policy_connect_denied", "nowhere.example.org", NULL, VERDICT_DENY },
	{ "policy_connect_near", "service-x.example.com", NULL, VERDICT_DENY },
};

static void report(const char *name, double value, const char *unit, double yardstick,
	double budget, const char *note)
{
	char yard[32] = "-", ratio[32] = "-";

	if (yardstick > 0) {
		(void)snprintf(yard, sizeof(yard), "%.0f", yardstick);
		(void)snprintf(ratio, sizeof(ratio), "%.2fx", value / yardstick);
	}
	printf("BENCH %s %.1f %s %s %s <=%g%s %s %s\n", name, value, unit, yard, ratio, budget,
		unit, value <= budget ? "pass" : "miss", note);
}

enum { LOAD_MS_MAX = 100, DECIDE_NS_MAX = 2000 };

static void measure_layout(enum layout layout, const char *name, const char *host)
{
	struct intent in = { .host = host, .port = 443, .binary = "/usr/bin/curl" };
	auto_buf struct buf many, one;
	struct policy *all, *single;

	buf_init(&many, TEXT_MAX);
	buf_init(&one, TEXT_MAX);
	write_layout(&many, MANY, layout);
	write_layout(&one, 1, layout);
	all = load(&many);
	single = load(&one);
	report(name, decide_ns(all, &in, VERDICT_ALLOW), "ns",
		decide_ns(single, &in, VERDICT_ALLOW), DECIDE_NS_MAX,
		"10000 endpoints against one");
	policy_unref(all);
	policy_unref(single);
}

int main(void)
{
	auto_buf struct buf many, one;
	struct policy *all, *single;

	buf_init(&many, TEXT_MAX);
	buf_init(&one, TEXT_MAX);
	write_policy(&many, MANY);
	write_policy(&one, 1);
	report("policy_load", load_ms(&many), "ms", 0, LOAD_MS_MAX,
		"10000 endpoints, processor time, best of 5");
	all = load(&many);
	single = load(&one);
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const struct question *q = &questions[i];
		struct intent in = { .host = q->host,
			.port = 443,
			.binary = "/usr/bin/curl",
			.request = q->request };

		report(q->name, decide_ns(all, &in, q->expected), "ns",
			decide_ns(single, &in, q->expected), DECIDE_NS_MAX,
			"10000 endpoints against one");
	}
	policy_unref(all);
	policy_unref(single);
	measure_layout(WILDCARDS, "policy_connect_wildcards", "service-0-x.example.com");
	measure_layout(BINARIES, "policy_connect_binaries", "service.example.com");
	return 0;
}
