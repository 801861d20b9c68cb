/*
 * Text → policy: read, check, compile, compare the endpoints with each other.
 */
#include <errno.h>

#include "lib/cleanup.h"
#include "lib/policy_findings.h"
#include "lib/policy_impl.h"

DEFINE_CLEANUP(policy, policy_unref)

static int load(const char *text, size_t len, bool accept_refused, struct policy **ret,
	struct policy_findings *f)
{
	auto_policy_doc struct policy_doc *doc = NULL;
	__attribute__((cleanup(cleanup_policy))) struct policy *p = NULL;
	int r;

	r = policy_doc_parse(text, len, &doc, f);
	if (r < 0)
		return r;
	policy_check(doc, f);
	if (f->n_errors > f->n_refusals || (f->n_errors && !accept_refused))
		return -EINVAL;
	r = policy_compile(doc, &p);
	if (r < 0)
		return r;
	policy_check_overlaps(p, doc, f);
	if (f->n_errors && !accept_refused)
		return -EINVAL;
	*ret = take_ptr(p);
	return 0;
}

static int load_reported(const char *text, size_t len, bool accept_refused, struct policy **ret,
	struct policy_findings *findings)
{
	struct policy_findings own = { 0 }, *f = findings ? findings : &own;
	int r = load(text, len, accept_refused, ret, f);

	policy_findings_sort(f);
	policy_findings_done(&own);
	return r == -E2BIG ? -EINVAL : r;
}

int policy_load(const char *text, size_t len, struct policy **ret, struct policy_findings *findings)
{
	return load_reported(text, len, false, ret, findings);
}

int policy_load_refused(
	const char *text, size_t len, struct policy **ret, struct policy_findings *findings)
{
	return load_reported(text, len, true, ret, findings);
}
