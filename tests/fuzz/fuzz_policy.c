/* A policy's text: whatever loads can be asked, whatever does not has said why. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct policy *p)
{
	static const char *const ancestors[] = { "/usr/bin/git", NULL };
	struct request r = { .method = "GET", .path = "/v1/a" };
	struct intent in = { .host = "api.example.com",
		.port = 443,
		.binary = "/usr/bin/curl",
		.ancestors = ancestors,
		.request = &r };
	struct inspection look;
	struct decision d;

	policy_decide(p, &in, &d);
	assert(d.verdict == VERDICT_ALLOW || d.reason[0]);
	if (!policy_select(p, &in, r.path, &look))
		assert(d.verdict == VERDICT_DENY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	int r = policy_load((const char *)data, size, &p, &f);

	assert(r == -ENOMEM || (r == 0) == (f.n_errors == 0));
	for (size_t i = 0; i < f.n; i++)
		assert(f.list[i].text[0]);
	if (r == 0)
		ask(p);
	policy_unref(p);
	policy_findings_done(&f);
	if (policy_load_refused((const char *)data, size, &p, NULL) == 0) {
		ask(p);
		policy_unref(p);
	}
	return 0;
}
