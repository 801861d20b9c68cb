/*
 * openshell policy check: is this file what its author believes it to be?
 *
 * The library reads and judges text alone. What depends on this machine is looked at here: whether
 * the programs that a policy names exist, and whether they are what they seem.
 */
#include "launcher/cmd_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/out.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/policy.h"
#include "lib/policy_doc.h"
#include "lib/policy_findings.h"
#include "lib/policy_resolve.h"
#include "lib/str.h"

enum check_exit { CHECK_VALID = 0, CHECK_INVALID = 1, CHECK_USAGE = 2 };

static const char help[] =
	"Usage: openshell policy check [-o table|json|yaml] FILE...\n"
	"\n"
	"Validates policies without a sandbox. Every error is printed as\n"
	"FILE:LINE:COLUMN: FIELD: TEXT, every surprise as a warning. \"-\" is standard input.\n"
	"Exits 0 when all are valid, 1 when one is not, 2 for wrong usage.\n"
	"\n"
	"EXAMPLES\n"
	"  openshell policy check policy.yaml\n";

static int read_file(struct buf *b, const char *path, struct err *err)
{
	auto_close int fd = -1;
	int r;

	if (strcmp(path, "-") == 0)
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, err_name(-errno));
	r = buf_read_all(b, fd);
	if (r < 0)
		return err_set(err, r, "%s: %s", path, err_name(r));
	return 0;
}

/* --- what the programs are on this machine --- */

static void check_program(
	struct policy_findings *f, const struct doc_str *s, const struct doc_path *path)
{
	char real[PATH_MAX];
	struct stat st;

	if (!s->text || s->text[0] != '/' || strchr(s->text, '*') ||
		policy_path_is_private(s->text))
		return;
	if (!realpath(s->text, real))
		policy_finding(f, POLICY_WARNING, s->pos, path, "'%s' does not exist here: %s",
			s->text, err_name(-errno));
	else if (strcmp(real, s->text) != 0)
		policy_finding(f, POLICY_WARNING, s->pos, path,
			"'%s' is a symbolic link, and programs are known by their real path: the "
			"sandbox adds '%s'; write that instead",
			s->text, real);
	else if (stat(real, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		policy_finding(f, POLICY_WARNING, s->pos, path, "'%s' is no program", s->text);
}

static void check_programs(struct policy_findings *f, const struct policy_doc *doc)
{
	const struct doc_path *top = PATH_KEY(NULL, "network_policies");

	for (size_t g = 0; g < doc->network_policies.n; g++) {
		const struct doc_network_policy *p = &doc->network_policies.list[g];
		const struct doc_path *list = PATH_KEY(PATH_KEY(top, p->head.key.text), "binaries");

		for (size_t i = 0; i < p->binaries.n; i++)
			check_program(f, &p->binaries.list[i].path,
				PATH_KEY(PATH_INDEX(list, i), "path"));
	}
}

/* --- telling --- */

static void print_escaped(const char *s)
{
	auto_buf struct buf b;

	buf_init(&b, 16 * strlen(s) + 1);
	if (str_escape(&b, s, strlen(s)) == 0 && b.len)
		(void)fwrite(buf_head(&b), 1, b.len, stdout);
}

static void print_finding(const char *file, const struct policy_finding *p)
{
	print_escaped(file);
	(void)printf(
		":%u:%u: %s", p->line, p->column, p->severity == POLICY_WARNING ? "warning: " : "");
	if (p->field[0]) {
		print_escaped(p->field);
		(void)fputs(": ", stdout);
	}
	print_escaped(p->text);
	(void)putchar('\n');
}

static json_t *finding_json(const char *file, const struct policy_finding *p)
{
	return json_pack("{s:s, s:i, s:i, s:s, s:s, s:s}", "file", file, "line", (int)p->line,
		"column", (int)p->column, "severity",
		p->severity == POLICY_WARNING ? "warning" : "error", "field", p->field, "text",
		p->text);
}

static void tell(const char *file, const struct policy_findings *f, json_t *json)
{
	size_t shown = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (json)
			(void)json_array_append_new(json, finding_json(file, &f->list[i]));
		else
			print_finding(file, &f->list[i]);
		shown += f->list[i].severity == POLICY_ERROR;
	}
	if (json)
		return;
	print_escaped(file);
	if (!f->n_errors)
		(void)printf(": valid%s\n", f->n ? ", with warnings" : "");
	else if (shown < f->n_errors)
		(void)printf(": %zu errors, of which %zu are shown\n", f->n_errors, shown);
	else
		(void)printf(": %zu error%s\n", f->n_errors, f->n_errors == 1 ? "" : "s");
}

static int check_file(const char *file, json_t *json)
{
	auto_policy_doc struct policy_doc *doc = NULL;
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	struct err err = { .text = "" };
	auto_buf struct buf b;
	int r;

	buf_init(&b, POLICY_TEXT_MAX + 1);
	r = read_file(&b, file, &err);
	if (r < 0) {
		(void)fprintf(stderr, "openshell: %s\n", err.text);
		return CHECK_INVALID;
	}
	r = policy_load(b.len ? buf_head(&b) : "", b.len, &p, &f);
	if (r == 0 && policy_doc_parse(buf_head(&b), b.len, &doc, NULL) == 0)
		check_programs(&f, doc);
	policy_findings_sort(&f);
	if (r == -ENOMEM)
		(void)fprintf(stderr, "openshell: %s: out of memory\n", file);
	else
		tell(file, &f, json);
	policy_unref(p);
	policy_findings_done(&f);
	return r < 0 ? CHECK_INVALID : CHECK_VALID;
}

static int check_files(char *const *files, enum out_format format)
{
	json_t *json = format == OUT_TABLE ? NULL : json_array();
	int status = CHECK_VALID;

	for (; *files; files++)
		if (check_file(*files, json) != CHECK_VALID)
			status = CHECK_INVALID;
	if (json)
		(void)out_json(json, format);
	return status;
}

static int usage(const char *why)
{
	(void)fprintf(stderr,
		"openshell: policy check: %s\n"
		"hint: see 'openshell policy check --help'\n",
		why);
	return CHECK_USAGE;
}

int cmd_policy_check(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' },
		{ "output", required_argument, NULL, 'o' }, { NULL, 0, NULL, 0 } };
	enum out_format format = OUT_TABLE;
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "ho:", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			(void)fputs(help, stdout);
			return CHECK_VALID;
		case 'o':
			if (out_format_parse(optarg, &format) < 0)
				return usage("-o takes table, json or yaml");
			break;
		default:
			return usage("unknown option");
		}
	}
	if (optind == argc)
		return usage("no file given");
	return check_files(argv + optind, format);
}
