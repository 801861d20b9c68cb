#include "lib/policy_resolve.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/policy_doc.h"
#include "lib/policy_print.h"
#include "lib/str.h"

/* design.md section 5. */
bool policy_path_is_private(const char *path)
{
	static const char *const dirs[] = { "/tmp/", "/var/tmp/", "/run/", "/dev/", "/proc/",
		"/var/log/", "/sandbox/" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (str_starts(path, dirs[i]))
			return true;
	return false;
}

/* True when @path is a link, or lies behind one, and leads to a file. */
static bool leads_elsewhere(const char *path, char real[PATH_MAX])
{
	return path[0] == '/' && !strchr(path, '*') && !policy_path_is_private(path) &&
	       realpath(path, real) && strcmp(path, real) != 0 && !policy_path_is_private(real);
}

static bool is_listed(const struct doc_binaries *list, const char *path)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_eq(list->list[i].path.text, path))
			return true;
	return false;
}

static int add_binary(struct policy_doc *doc, struct doc_binaries *list, const char *path)
{
	struct doc_binary *grown = policy_doc_grow(doc, list->list, list->n, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	grown[list->n].head.is_set = true;
	grown[list->n].path = policy_doc_string(doc, path);
	if (!grown[list->n].path.text)
		return -ENOMEM;
	list->list = grown;
	list->n++;
	return 0;
}

/* The number of targets added, or -ENOMEM. */
static int resolve_list(struct policy_doc *doc, struct doc_binaries *list)
{
	size_t n = list->n;
	int added = 0;

	for (size_t i = 0; i < n; i++) {
		const char *path = list->list[i].path.text;
		char real[PATH_MAX];

		if (!path || !leads_elsewhere(path, real) || is_listed(list, real))
			continue;
		if (add_binary(doc, list, real) < 0)
			return -ENOMEM;
		added++;
	}
	return added;
}

static int print(const struct policy_doc *doc, char **ret)
{
	auto_buf struct buf b;
	int r;

	buf_init(&b, POLICY_TEXT_MAX);
	r = policy_print(&b, doc);
	if (r < 0)
		return r;
	*ret = buf_steal(&b);
	return *ret ? 0 : -ENOMEM;
}

int policy_resolve_binaries(const char *text, size_t len, char **ret)
{
	auto_policy_doc struct policy_doc *doc = NULL;
	int r = policy_doc_parse(text, len, &doc, NULL);
	int added = 0;

	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	for (size_t i = 0; i < doc->network_policies.n; i++) {
		r = resolve_list(doc, &doc->network_policies.list[i].binaries);
		if (r < 0)
			return r;
		added += r;
	}
	if (added)
		return print(doc, ret);
	*ret = strndup(text, len);
	return *ret ? 0 : -ENOMEM;
}
