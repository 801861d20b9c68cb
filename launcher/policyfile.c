#include "launcher/policyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/out.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/policy.h"
#include "lib/str.h"

static int read_stdin(char **ret, size_t *ret_len)
{
	auto_buf struct buf b;
	int r;

	buf_init(&b, POLICY_TEXT_MAX);
	r = buf_read_all(&b, STDIN_FILENO);
	if (r < 0)
		return r;
	*ret_len = b.len;
	*ret = buf_steal(&b);
	return *ret ? 0 : -ENOMEM;
}

static void print(const char *path, const struct policy_findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct policy_finding *p = &f->list[i];
		bool has_field = p->field && p->field[0];

		out_note("policy '%s': line %u:%u: %s%s%s%s", path, p->line, p->column,
			p->severity == POLICY_WARNING ? "warning: " : "", has_field ? p->field : "",
			has_field ? ": " : "", p->text);
	}
}

/* In every policy, whether the host has them or not, or the sandbox's own: nobody misses them. */
static bool is_baseline(const char *path)
{
	static const char *const baseline[] = { "/app", "/sandbox", "/tmp", "/var/log", "/lib" };

	for (size_t i = 0; i < ARRAY_SIZE(baseline); i++) {
		if (str_eq(path, baseline[i]))
			return true;
	}
	return false;
}

static void warn_missing(const char *file, const char *const *paths)
{
	for (size_t i = 0; paths && paths[i]; i++) {
		if (!is_baseline(paths[i]) &&
			faccessat(AT_FDCWD, paths[i], F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			out_note("warning: policy '%s': '%s' is skipped: %s", file, paths[i],
				err_name(errno));
	}
}

static int validate(const char *path, enum policyfile_use use, const char *text, size_t len)
{
	struct policy_findings findings = { 0 };
	struct policy *policy = NULL;
	int r;

	r = policy_load(text, len, &policy, &findings);
	print(path, &findings);
	if (r < 0 && findings.n_errors == 0)
		(void)out_error(CLI_FAILED, "policy '%s': %s", path, err_name(r));
	if (r == 0 && use == POLICYFILE_TO_START) {
		warn_missing(path, policy_static(policy)->read_only);
		warn_missing(path, policy_static(policy)->read_write);
	}
	policy_findings_done(&findings);
	policy_unref(policy);
	return r < 0 ? -1 : 0;
}

int policyfile_load(const char *path, enum policyfile_use use, char **ret)
{
	auto_free char *text = NULL;
	size_t len = 0;
	int r;

	if (str_eq(path, "-"))
		r = read_stdin(&text, &len);
	else
		r = fd_slurp_at(AT_FDCWD, path, POLICY_TEXT_MAX, &text, &len);
	if (r < 0)
		return out_error(-1, "policy '%s': %s", path, err_name(r));
	if (strlen(text) != len)
		return out_error(-1, "policy '%s': contains a NUL byte", path);
	if (validate(path, use, text, len) < 0)
		return -1;
	*ret = take_ptr(text);
	return 0;
}
