#include "lib/analyzer.h"
#include "lib/policy_static.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/policy_print.h"
#include "lib/policy_shape.h"
#include "lib/str.h"

static const char running[] = "on a live sandbox (applied at startup)";

static const struct doc_field *section(const char *name)
{
	const struct doc_field *f = policy_doc_shape.fields;

	while (f->name && strcmp(f->name, name) != 0)
		f++;
	return f;
}

static int check_equal(
	const struct policy_doc *a, const struct policy_doc *b, const char *name, struct err *err)
{
	const struct doc_field *f = section(name);

	if (!doc_field_is_set(f, (const char *)a + f->offset))
		return 0;
	if (doc_field_equal(f, (const char *)a + f->offset, (const char *)b + f->offset))
		return 0;
	return err_set(err, -EINVAL, "%s: %s policy cannot be changed %s", name, name, running);
}

static bool has(const struct doc_strs *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->list[i].text, path))
			return true;
	return false;
}

static int check_paths(
	const struct doc_strs *old, const struct doc_strs *new, const char *name, struct err *err)
{
	for (size_t i = 0; i < old->n; i++)
		if (!has(new, old->list[i].text))
			return err_set(err, -EINVAL,
				"filesystem_policy: %s path '%s' cannot be removed %s", name,
				old->list[i].text, running);
	return 0;
}

static int check_filesystem(
	const struct doc_filesystem *old, const struct doc_filesystem *new, struct err *err)
{
	int r;

	if (!old->head.is_set)
		return 0;
	if (!new->head.is_set)
		return err_set(err, -EINVAL,
			"filesystem_policy: filesystem policy cannot be removed %s", running);
	if (old->include_workdir.value != new->include_workdir.value)
		return err_set(err, -EINVAL,
			"filesystem_policy: include_workdir cannot be changed %s", running);
	r = check_paths(&old->read_only, &new->read_only, "read_only", err);
	return r < 0 ? r : check_paths(&old->read_write, &new->read_write, "read_write", err);
}

int policy_static_check(
	const struct policy_doc *before, const struct policy_doc *update, struct err *err)
{
	int r;

	r = check_filesystem(&before->filesystem_policy, &update->filesystem_policy, err);
	if (r == 0)
		r = check_equal(before, update, "landlock", err);
	return r < 0 ? r : check_equal(before, update, "process", err);
}

/* gcc 12: the document was parsed, or nobody gets here. */
ANALYZER_OFF("-Wanalyzer-null-dereference")
bool policy_static_inherit(const struct policy_doc *before, struct policy_doc *update)
{
	bool is_taken = false;

	if (!update->filesystem_policy.head.is_set && before->filesystem_policy.head.is_set) {
		update->filesystem_policy = before->filesystem_policy;
		is_taken = true;
	}
	if (!update->landlock.head.is_set && before->landlock.head.is_set) {
		update->landlock = before->landlock;
		is_taken = true;
	}
	if (!update->process.head.is_set && before->process.head.is_set) {
		update->process = before->process;
		is_taken = true;
	}
	return is_taken;
}
ANALYZER_ON

int policy_static_complete(const char *before, const char *update, char **ret, struct err *err)
{
	auto_policy_doc struct policy_doc *a = NULL, *b = NULL;
	struct policy_findings f = { 0 };
	auto_buf struct buf out = { 0 };
	bool is_taken;
	int r;

	r = policy_doc_parse(before, strlen(before), &a, &f);
	if (r == 0)
		r = policy_doc_parse(update, strlen(update), &b, &f);
	if (r < 0)
		policy_findings_to_err(&f, "policy", err);
	policy_findings_done(&f);
	if (r < 0)
		return r;
	is_taken = policy_static_inherit(a, b);
	r = policy_static_check(a, b, err);
	if (r < 0)
		return r;
	buf_init(&out, POLICY_TEXT_MAX);
	if (is_taken && (policy_print(&out, b) < 0 || !buf_cstr(&out)))
		return err_set(err, -ENOMEM, "policy: %s", err_name(-ENOMEM));
	*ret = is_taken ? buf_steal(&out) : NULL;
	return 0;
}
