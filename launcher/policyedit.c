#include "launcher/policyedit.h"

#include <errno.h>
#include <sys/file.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/policy.h"
#include "lib/policy_print.h"

int policy_edit_lock(const struct state *s)
{
	int fd = state_subdir(s, "policy");

	if (fd >= 0)
		(void)flock(fd, LOCK_EX);
	return fd;
}

int policy_edit_print(const struct policy_doc *d, char **ret_yaml, struct err *err)
{
	struct policy_findings findings = { 0 };
	auto_buf struct buf out = { 0 };
	struct policy *policy = NULL;
	int r;

	buf_init(&out, POLICY_TEXT_MAX);
	r = policy_print(&out, d);
	if (r < 0 || !buf_cstr(&out))
		return err_set(err, r < 0 ? r : -ENOMEM, "policy: %s", err_name(r));
	r = policy_load(buf_cstr(&out), out.len, &policy, &findings);
	if (r < 0)
		policy_findings_to_err(&findings, "the policy that would come out", err);
	policy_findings_done(&findings);
	policy_unref(policy);
	if (r == 0)
		*ret_yaml = buf_steal(&out);
	return r;
}
