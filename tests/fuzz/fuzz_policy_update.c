/*
 * The flags of `policy update`, one a line (its first letter says which), on a small policy: what
 * is planned can be merged, what is merged can be printed, what is printed is read back the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/policy_print.h"
#include "lib/policy_shape.h"
#include "lib/policy_update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 16 };

static const char policy[] = "version: 1\n"
			     "network_policies:\n"
			     "  a:\n"
			     "    endpoints: [{host: a, ports: [443, 80], protocol: rest, access: "
			     "read-only}, {host: b, port: 1}]\n"
			     "    binaries: [{path: /b}, {path: /c}]\n"
			     "  m:\n"
			     "    endpoints: [{host: m, port: 443, protocol: websocket, rules: "
			     "[{allow: {method: GET, path: /}}]}]\n"
			     "    binaries: [{path: /b}]\n";

struct lists {
	char *of[6][LINES_MAX + 1];
	size_t n[6];
};

static void sort_lines(char *text, struct lists *l)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		size_t i = (size_t)(unsigned char)line[0] % 6;

		if (l->n[i] < LINES_MAX)
			l->of[i][l->n[i]++] = line + 1;
	}
}

static void check_printed(const struct policy_doc *d)
{
	auto_policy_doc struct policy_doc *again = NULL;
	auto_buf struct buf out = { 0 };

	buf_init(&out, 16 << 20);
	assert(policy_print(&out, d) == 0 && buf_cstr(&out));
	if (policy_doc_parse(buf_cstr(&out), out.len, &again, NULL) < 0)
		return; /* bytes that are no UTF-8, a name that comes twice */
	assert(doc_equal(&policy_doc_shape, d, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = malloc(size + 1);
	auto_policy_doc struct policy_doc *d = NULL;
	struct lists l = { 0 };
	struct update_flags f = { .add_endpoint = l.of[0],
		.remove_endpoint = l.of[1],
		.add_allow = l.of[2],
		.add_deny = l.of[3],
		.remove_rule = l.of[4],
		.binary = l.of[5] };
	struct merge_report report;
	struct update_plan plan;
	struct err err = { 0 };

	memcpy(text, data, size);
	text[size] = '\0';
	sort_lines(text, &l);
	assert(policy_doc_parse(policy, strlen(policy), &d, NULL) == 0);
	if (update_plan_make(d, &f, &plan, &err) < 0) {
		assert(err.text[0]);
		return 0;
	}
	if (policy_merge(d, plan.ops, plan.n, &report, &err) == 0)
		check_printed(d);
	else
		assert(err.text[0] && report.error != MERGE_OK);
	return 0;
}
