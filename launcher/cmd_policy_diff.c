/*
 * openshell policy diff: what policy B allows that A did not, and the reverse, in words. A and B
 * are files, or NAME or NAME@REV of a sandbox.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/out.h"
#include "launcher/policyfile.h"
#include "launcher/sandbox.h"
#include "lib/cleanup.h"
#include "lib/policy_diff.h"
#include "lib/str.h"
#include "lib/strv.h"

struct diff_options {
	enum out_format format;
};

const struct cli_option cmd_policy_diff_options[] = {
	{ CLI_FORMAT, "output", 'o', offsetof(struct diff_options, format), 0, "FORMAT",
		"table (words), json or yaml" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

/* "NAME@REV" or "NAME": the revision's text, the caller's. */
static int read_revision(const char *given, char **ret, struct err *err)
{
	auto_free char *name = strdup(given);
	auto_state struct state *s = NULL;
	struct state_revision rev;
	uint64_t version = 0;
	char *at;
	int r;

	if (!name)
		return err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
	at = strchr(name, '@');
	if (at)
		*at++ = '\0';
	if (at && str_to_u64(at, UINT32_MAX, &version) < 0)
		return err_set(err, -EINVAL, "'%s': '%s' is no version", given, at);
	r = state_open(&s, name, err);
	return r < 0 ? r : sandbox_policy(s, (uint32_t)version, &rev, ret, err);
}

/* A path, or something that exists, is a file; the rest are sandboxes. */
static int read_policy(const char *given, char **ret)
{
	struct err err = { 0 };

	if (str_eq(given, "-") || strchr(given, '/') || access(given, F_OK) == 0)
		return policyfile_load(given, POLICYFILE_TO_CHANGE, ret);
	return read_revision(given, ret, &err) < 0 ? out_fail(-1, &err) : 0;
}

static int parse(const char *given, struct policy_doc **ret)
{
	auto_free char *text = NULL;
	struct policy_findings findings = { 0 };
	struct err err = { 0 };
	int r;

	if (read_policy(given, &text) < 0 || !text)
		return -1;
	r = policy_doc_parse(text, strlen(text), ret, &findings);
	if (r < 0)
		policy_findings_to_err(&findings, given, &err);
	policy_findings_done(&findings);
	return r < 0 ? out_fail(-1, &err) : 0;
}

static void print_lines(const char *head, char *const *lines)
{
	if (!lines)
		return;
	(void)printf("%s\n", head);
	for (; *lines; lines++)
		(void)printf("  %s\n", *lines);
}

static int print_words(const struct policy_diff *d, const char *a, const char *b)
{
	auto_free char *gained = NULL, *lost = NULL;

	if (asprintf(&gained, "%s allows, and %s does not:", b, a) < 0 ||
		asprintf(&lost, "%s allows, and %s does not:", a, b) < 0)
		return out_error(CLI_FAILED, "out of memory");
	print_lines(gained, d->gained);
	print_lines(lost, d->lost);
	print_lines("How the sandbox is built:", d->changed);
	if (!d->gained && !d->lost && !d->changed)
		(void)printf("Both allow the same.\n");
	return CLI_OK;
}

static json_t *array_of(char *const *lines)
{
	json_t *a = json_array();

	for (; lines && *lines; lines++)
		(void)json_array_append_new(a, json_string(*lines));
	return a;
}

static int print_diff(const struct policy_diff *d, const struct cli_args *a, enum out_format format)
{
	if (format == OUT_TABLE)
		return print_words(d, a->pos[0], a->pos[1]);
	return out_json(json_pack("{s:o, s:o, s:o}", "gained", array_of(d->gained), "lost",
				array_of(d->lost), "changed", array_of(d->changed)),
		format);
}

int cmd_policy_diff(const struct cli_command *cmd, int argc, char **argv)
{
	auto_policy_doc struct policy_doc *x = NULL, *y = NULL;
	auto_policy_diff struct policy_diff d = { 0 };
	struct diff_options o = { 0 };
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r >= 0)
		return r;
	if (parse(a.pos[0], &x) < 0 || parse(a.pos[1], &y) < 0)
		return CLI_FAILED;
	if (policy_diff(x, y, &d) < 0)
		return out_error(CLI_FAILED, "out of memory");
	return print_diff(&d, &a, o.format);
}
