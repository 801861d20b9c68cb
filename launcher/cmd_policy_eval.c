/*
 * openshell policy eval: what would be decided, and why. A single question is put together from
 * the command line into the JSON of a batch line, so that both are one code.
 */
#include "launcher/cmd_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/eval.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/jsontext.h"
#include "lib/policy.h"
#include "lib/policy_resolve.h"
#include "lib/state.h"
#include "lib/str.h"

enum eval_exit { EVAL_ALLOW = 0, EVAL_DENY = 1, EVAL_ERROR = 2 };

static const char help[] =
	"Usage: openshell policy eval --policy FILE|--sandbox NAME --binary PATH [--ancestor "
	"PATH]...\n"
	"         --host HOST --port PORT [--ip ADDR]...\n"
	"         [--method METHOD --path TARGET [--header 'NAME: VALUE']... [--body FILE]]\n"
	"       openshell policy eval --batch FILE.jsonl\n"
	"\n"
	"Prints what would be decided, and why, as JSON. Exits 0 for allow or audit, 1 for deny,\n"
	"2 when the question or the policy makes no sense. \"-\" is standard input. A batch "
	"judges\n"
	"the text alone; otherwise links to programs are followed, as a sandbox does here.\n"
	"\n"
	"EXAMPLES\n"
	"  openshell policy eval --policy policy.yaml --binary /usr/bin/curl \\\n"
	"      --host api.github.com --port 443 --method GET --path /zen\n";

static int complain(const char *fmt, const char *what)
{
	(void)fputs("openshell: ", stderr);
	(void)fprintf(stderr, fmt, what);
	(void)fputs("\nhint: see 'openshell policy eval --help'\n", stderr);
	return EVAL_ERROR;
}

static int read_file(struct buf *b, const char *path)
{
	auto_close int fd = -1;
	int r;

	if (strcmp(path, "-") == 0)
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		fd = open(path, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : buf_read_all(b, fd);
	if (r < 0)
		(void)fprintf(stderr, "openshell: %s: %s\n", path, err_name(r));
	return r;
}

/* --- one answer --- */

static void add_errors(json_t *answer, const struct policy_findings *f)
{
	struct err err = { .text = "" };

	if (!f->n_errors)
		return;
	policy_findings_to_err(f, "policy", &err);
	(void)json_object_set_new(answer, "error", json_string(err.text));
}

/*
 * A policy that is refused though its rules mean something is answered for all the same, with the
 * error beside the decision. One that is not understood is an error alone.
 */
static json_t *answer(const char *text, size_t len, const json_t *question)
{
	struct policy_findings f = { 0 };
	struct policy *p = NULL;
	json_t *out;

	out = policy_load_refused(text, len, &p, &f) == 0 ? eval_question(p, question)
							  : json_object();
	if (out)
		add_errors(out, &f);
	policy_unref(p);
	policy_findings_done(&f);
	return out;
}

/* As a sandbox on this machine would take the policy: it knows where links to programs lead. */
static json_t *answer_here(const char *text, size_t len, const json_t *question)
{
	auto_free char *resolved = NULL;

	if (policy_resolve_binaries(text, len, &resolved) < 0)
		return answer(text, len, question);
	return answer(resolved, strlen(resolved), question);
}

static int status_of(const json_t *out)
{
	const char *decision = json_string_value(json_object_get(out, "decision"));

	if (!decision || json_object_get(out, "error"))
		return EVAL_ERROR;
	return strcmp(decision, "deny") == 0 ? EVAL_DENY : EVAL_ALLOW;
}

static void print_answer(const json_t *out)
{
	(void)json_dumpf(out, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	(void)putchar('\n');
}

/* --- batch --- */

static json_t *answer_line(const char *line, size_t len)
{
	json_error_t error;
	json_t *q = jsontext_load(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	const json_t *policy = json_object_get(q, "policy");
	json_t *id = json_object_get(q, "id"), *out, *whole;

	if (!json_is_object(q))
		out = json_pack("{s:s}", "error", q ? "not a JSON object" : error.text);
	else if (!json_is_string(policy))
		out = json_pack("{s:s}", "error", "'policy' is missing");
	else
		out = answer(json_string_value(policy), json_string_length(policy), q);
	whole = json_pack("{s:O?}", "id", id);
	if (whole && !id)
		(void)json_object_set_new(whole, "id", json_null());
	if (whole && out)
		(void)json_object_update(whole, out);
	json_decref(out);
	json_decref(q);
	return whole;
}

static int run_batch(const char *path)
{
	auto_fclose FILE *f =
		strcmp(path, "-") == 0 ? fdopen(dup(STDIN_FILENO), "r") : fopen(path, "re");
	auto_free char *line = NULL;
	size_t alloc = 0;
	ssize_t n;

	if (!f)
		return complain("%s: cannot be read", path);
	while ((n = getline(&line, &alloc, f)) >= 0) {
		json_t *out;

		if (line[strspn(line, " \t\r\n")] == '\0' && strlen(line) == (size_t)n)
			continue;
		out = answer_line(line, (size_t)n);
		if (!out)
			return complain("%s: out of memory", path);
		print_answer(out);
		json_decref(out);
	}
	return ferror(f) ? complain("%s: cannot be read", path) : EVAL_ALLOW;
}

/* --- a single question --- */

struct options {
	const char *policy, *sandbox, *batch, *body;
	json_t *q;
};

static int add_string(json_t *q, const char *key, const char *value)
{
	json_t *s = json_string(value);

	if (!s)
		return complain("--%s is not UTF-8", key);
	(void)json_object_set_new(q, key, s);
	return 0;
}

static int add_to_list(json_t *q, const char *key, const char *value)
{
	json_t *list = json_object_get(q, key), *s = json_string(value);

	if (!s)
		return complain("'%s' is not UTF-8", key);
	if (!list) {
		list = json_array();
		(void)json_object_set_new(q, key, list);
	}
	(void)json_array_append_new(list, s);
	return 0;
}

static int add_port(json_t *q, const char *value)
{
	uint64_t port;

	if (str_to_u64(value, UINT16_MAX, &port) < 0)
		return complain("'%s' is no port", value);
	(void)json_object_set_new(q, "port", json_integer((json_int_t)port));
	return 0;
}

static int add_header(json_t *q, const char *value)
{
	const char *colon = strchr(value, ':');
	json_t *headers = json_object_get(q, "headers");
	auto_free char *name = NULL;

	if (!colon)
		return complain("'%s' is no header: write 'NAME: VALUE'", value);
	if (!headers) {
		headers = json_object();
		(void)json_object_set_new(q, "headers", headers);
	}
	name = strndup(value, (size_t)(colon - value));
	if (!name)
		return complain("%s", "out of memory");
	colon++;
	colon += strspn(colon, " \t");
	return add_to_list(headers, name, colon);
}

static char *base64(const char *in, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = malloc(len / 3 * 4 + 5), *to = out;
	uint32_t bits = 0;
	int n = 0;

	if (!out)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | (unsigned char)in[i];
		for (n += 8; n >= 6; n -= 6)
			*to++ = digits[bits >> (n - 6) & 63];
	}
	if (n)
		*to++ = digits[bits << (6 - n) & 63];
	*to = '\0';
	return out;
}

/* A body may be any bytes, which JSON cannot hold. */
static int add_body(json_t *q, const char *path)
{
	auto_free char *coded = NULL;
	auto_buf struct buf b;

	buf_init(&b, EVAL_BODY_MAX);
	if (read_file(&b, path) < 0)
		return EVAL_ERROR;
	coded = base64(b.len ? buf_head(&b) : "", b.len);
	return coded ? add_string(q, "body_b64", coded) : complain("%s", "out of memory");
}

static int add_option(struct options *o, int c, const char *value)
{
	switch (c) {
	case 'p':
		o->policy = value;
		return 0;
	case 's':
		o->sandbox = value;
		return 0;
	case 'b':
		o->batch = value;
		return 0;
	case 'B':
		return add_string(o->q, "binary", value);
	case 'a':
		return add_to_list(o->q, "ancestors", value);
	case 'H':
		return add_string(o->q, "host", value);
	case 'P':
		return add_port(o->q, value);
	case 'i':
		return add_to_list(o->q, "ips", value);
	case 'm':
		return add_string(o->q, "method", value);
	case 't':
		return add_string(o->q, "path", value);
	case 'e':
		return add_header(o->q, value);
	case 'y':
		return add_body(o->q, value);
	default:
		return complain("policy eval: %s", "unknown option, or a value is missing");
	}
}

static int read_sandbox(const char *name, char **ret, size_t *ret_len)
{
	auto_state struct state *s = NULL;
	struct state_revision rev;
	struct err err = { .text = "" };
	int r = state_open(&s, name, &err);

	if (r < 0) {
		(void)fprintf(stderr, "openshell: %s\n", err.text);
		return r;
	}
	r = state_revision_read(s, state_revision_last(s), &rev, ret, ret_len);
	if (r < 0)
		(void)fprintf(
			stderr, "openshell: sandbox '%s' has no policy: %s\n", name, err_name(r));
	return r;
}

static int run_single(const struct options *o)
{
	auto_free char *text = NULL;
	size_t len = 0;
	auto_buf struct buf b;
	json_t *out;
	int status;

	buf_init(&b, POLICY_TEXT_MAX + 1);
	if (o->sandbox && read_sandbox(o->sandbox, &text, &len) < 0)
		return EVAL_ERROR;
	if (o->policy) {
		if (read_file(&b, o->policy) < 0)
			return EVAL_ERROR;
		len = b.len;
		text = buf_steal(&b);
	}
	out = answer_here(text ? text : "", len, o->q);
	if (!out)
		return complain("%s", "out of memory");
	print_answer(out);
	status = status_of(out);
	json_decref(out);
	return status;
}

static int run(const struct options *o)
{
	if (o->batch && (o->policy || o->sandbox || json_object_size(o->q)))
		return complain("policy eval: %s", "--batch takes no other options");
	if (o->batch)
		return run_batch(o->batch);
	if (!o->policy == !o->sandbox)
		return complain("policy eval: %s", "one of --policy and --sandbox is needed");
	if (!json_object_get(o->q, "host") || !json_object_get(o->q, "port") ||
		!json_object_get(o->q, "binary"))
		return complain("policy eval: %s", "--host, --port and --binary are needed");
	return run_single(o);
}

int cmd_policy_eval(int argc, char **argv)
{
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "sandbox", required_argument, NULL, 's' },
		{ "batch", required_argument, NULL, 'b' },
		{ "binary", required_argument, NULL, 'B' },
		{ "ancestor", required_argument, NULL, 'a' },
		{ "host", required_argument, NULL, 'H' },
		{ "port", required_argument, NULL, 'P' },
		{ "ip", required_argument, NULL, 'i' },
		{ "method", required_argument, NULL, 'm' },
		{ "path", required_argument, NULL, 't' },
		{ "header", required_argument, NULL, 'e' },
		{ "body", required_argument, NULL, 'y' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .q = json_object() };
	int c, status = 0;

	optind = 0;
	opterr = 0;
	while (!status && (c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			(void)fputs(help, stdout);
			json_decref(o.q);
			return EVAL_ALLOW;
		}
		status = add_option(&o, c, optarg);
	}
	if (!status && optind < argc)
		status = complain("policy eval: '%s' is not expected", argv[optind]);
	if (!status)
		status = run(&o);
	json_decref(o.q);
	return status;
}
