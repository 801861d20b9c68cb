/*
 * For tests of policies: load from text, ask, look at the answer.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/policy.h"

static inline struct policy *policy_of(const char *text)
{
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	int r = policy_load(text, strlen(text), &p, &f);

	for (size_t i = 0; r && i < f.n; i++)
		fprintf(stderr, "%u:%u: %s: %s\n", f.list[i].line, f.list[i].column,
			f.list[i].field, f.list[i].text);
	policy_findings_done(&f);
	assert_int_equal(r, 0);
	return p;
}

/* One policy "p" with one endpoint (flow style, without braces) for /usr/bin/curl. */
static inline struct policy *policy_of_endpoint(const char *endpoint)
{
	char text[4096];

	snprintf(text, sizeof(text),
		"version: 1\nnetwork_policies:\n  p:\n    endpoints:\n      - { %s }\n"
		"    binaries: [{ path: /usr/bin/curl }]\n",
		endpoint);
	return policy_of(text);
}

static inline struct intent curl_to(const char *host, uint16_t port)
{
	return (struct intent){ .host = host, .port = port, .binary = "/usr/bin/curl" };
}
