/*
 * Everything that can be wrong with a policy: openshell-upstream.md sections 2.2 to 2.9, with
 * compat.md. All of it is reported, not the first error only. Warnings are for what is legal and
 * yet not what its author will expect.
 */
#include "lib/policy_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

enum {
	PATH_BYTES_MAX = 4096,
	PATHS_MAX = 256,
	MIDDLEWARES_MAX = 10,
	SELECTORS_MAX = 32,
	ID_MAX = 4294967294u,
};

static void unknown_word(struct policy_findings *f, const struct doc_str *s,
	const char *const *words, const struct doc_path *path)
{
	const char *meant = str_suggest(s->text, words);
	char list[256] = "";

	for (size_t i = 0; words[i]; i++) {
		size_t at = strlen(list);

		(void)snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", words[i]);
	}
	meaningless(f, s->pos, path, "unrecognized value '%.80s'; expected one of: %s%s%s%s",
		s->text, list, meant ? " (did you mean '" : "", meant ? meant : "",
		meant ? "'?)" : "");
}

bool check_word(struct policy_findings *f, const struct doc_str *s, const char *const *words,
	const struct doc_path *path)
{
	if (!doc_has(s))
		return true;
	for (size_t i = 0; words[i]; i++)
		if (strcmp(words[i], s->text) == 0)
			return true;
	unknown_word(f, s, words, path);
	return false;
}

void check_pattern(struct policy_findings *f, const struct doc_str *s, enum glob_flavour flavour,
	const struct doc_path *path)
{
	const char *why;

	if (!doc_has(s) || !strpbrk(s->text, "*?[]{}\\"))
		return;
	if (glob_check(s->text, flavour, &why) < 0)
		meaningless(f, s->pos, path, "invalid pattern '%.80s': %s", s->text, why);
}

/* --- static sections --- */

static bool has_dotdot(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && memcmp(path, "..", 2) == 0)
			return true;
		path += n;
		path += *path == '/';
	}
	return false;
}

static void check_file_path(struct policy_findings *f, const struct doc_str *s, bool is_writable,
	const struct doc_path *path)
{
	size_t len = strlen(s->text);

	if (len > PATH_BYTES_MAX)
		bad(f, s->pos, path, "path exceeds maximum length (%zu > %d)", len, PATH_BYTES_MAX);
	else if (s->text[0] != '/')
		bad(f, s->pos, path, "path must be absolute (start with '/'), got '%.80s'",
			s->text);
	else if (has_dotdot(s->text))
		bad(f, s->pos, path, "path contains '..' traversal component: '%.80s'", s->text);
	else if (is_writable && s->text[strspn(s->text, "/.")] == '\0')
		bad(f, s->pos, path, "read-write path is overly broad: '%.80s'", s->text);
}

static void check_paths(struct policy_findings *f, const struct doc_strs *list, const char *name,
	bool is_writable, const struct doc_path *up)
{
	const struct doc_path *path = PATH_KEY(up, name);

	for (size_t i = 0; i < list->n; i++)
		check_file_path(f, &list->list[i], is_writable, PATH_INDEX(path, i));
}

static void check_filesystem(struct policy_findings *f, const struct doc_filesystem *fs)
{
	const struct doc_path *path = PATH_KEY(NULL, "filesystem_policy");
	size_t n = fs->read_only.n + fs->read_write.n;

	check_paths(f, &fs->read_only, "read_only", false, path);
	check_paths(f, &fs->read_write, "read_write", true, path);
	if (n > PATHS_MAX)
		bad(f, fs->head.pos, path, "too many filesystem paths (%zu > %d)", n, PATHS_MAX);
}

static void check_account(struct policy_findings *f, const struct doc_str *s, const char *name)
{
	const struct doc_path *path = PATH_KEY(PATH_KEY(NULL, "process"), name);
	uint64_t id;

	if (!doc_has(s) || strcmp(s->text, "sandbox") == 0)
		return;
	if (str_to_u64(s->text, ID_MAX, &id) < 0 || id == 0)
		bad(f, s->pos, path,
			"%s must be 'sandbox' or a numeric UID/GID in range [1, 4294967294], got "
			"'%.80s'",
			name, s->text);
}

static void check_statics(struct policy_findings *f, const struct policy_doc *doc)
{
	static const char *const compatibilities[] = { "best_effort", "hard_requirement", NULL };

	if (doc->version.value != 1)
		meaningless(f, doc->version.pos, PATH_KEY(NULL, "version"),
			"version must be 1, got %lld", (long long)doc->version.value);
	check_filesystem(f, &doc->filesystem_policy);
	(void)check_word(f, &doc->landlock.compatibility, compatibilities,
		PATH_KEY(PATH_KEY(NULL, "landlock"), "compatibility"));
	check_account(f, &doc->process.run_as_user, "run_as_user");
	check_account(f, &doc->process.run_as_group, "run_as_group");
}

/* --- network policies --- */

static void check_binary(
	struct policy_findings *f, const struct doc_binary *b, const struct doc_path *up)
{
	const struct doc_path *path = PATH_KEY(up, "path");
	const char *text = b->path.text;
	size_t len = text ? strlen(text) : 0;

	if (!doc_has(&b->path)) {
		bad(f, b->head.pos, path, "a binary needs a path");
		return;
	}
	if (strchr(text, '*'))
		check_pattern(f, &b->path, GLOB_PATH, path);
	if (strcmp(text, "**") == 0 || strcmp(text, "/**") == 0)
		odd(f, b->path.pos, path, "'%s' lets every program use these endpoints", text);
	else if (strstr(text, "**"))
		odd(f, b->path.pos, path, "'%.80s' covers every program at any depth below", text);
	else if (len > 1 && text[len - 1] == '*' && text[len - 2] != '/')
		odd(f, b->path.pos, path,
			"'%.80s' is wider than it looks: every program whose name begins so", text);
	else if (text[0] != '/' && text[0] != '*')
		odd(f, b->path.pos, path,
			"'%.80s' can never match: programs are known by their "
			"absolute path",
			text);
	else if (!strchr(text, '*') && strpbrk(text, "?[{"))
		odd(f, b->path.pos, path,
			"without '*' this is a literal path: '?', '[' and '{' stand "
			"for themselves");
}

static void check_group(
	struct policy_findings *f, const struct doc_network_policy *g, const struct doc_path *up)
{
	const struct doc_path *path = PATH_KEY(up, g->head.key.text);
	const struct doc_path *endpoints = PATH_KEY(path, "endpoints");
	const struct doc_path *binaries = PATH_KEY(path, "binaries");

	if (!g->head.key.text[0])
		bad(f, g->head.key.pos, up, "the name of a policy must not be empty");
	if (!g->endpoints.n)
		odd(f, g->head.pos, path, "no endpoints: this policy allows nothing");
	else if (!g->binaries.n)
		odd(f, g->binaries.is_set ? g->binaries.pos : g->head.pos, binaries,
			"no binaries: nobody can use these endpoints; list the programs, e.g. "
			"binaries: [{ path: /usr/bin/curl }]");
	for (size_t i = 0; i < g->endpoints.n; i++)
		policy_check_endpoint(&g->endpoints.list[i], PATH_INDEX(endpoints, i), f);
	for (size_t i = 0; i < g->binaries.n; i++)
		check_binary(f, &g->binaries.list[i], PATH_INDEX(binaries, i));
}

/* --- middlewares --- */

static const char *selector_fault(const char *s)
{
	if (!*s)
		return "it is empty";
	if (strpbrk(s, "{}"))
		return "braces are not supported";
	if (strpbrk(s, " \t\r\n"))
		return "it holds whitespace";
	if (s[0] == '.' || s[strlen(s) - 1] == '.' || strstr(s, ".."))
		return "it has an empty label";
	return NULL;
}

static void check_selectors(struct policy_findings *f, const struct doc_strs *list,
	const char *name, const struct doc_path *up)
{
	const struct doc_path *path = PATH_KEY(PATH_KEY(up, "endpoints"), name);

	for (size_t i = 0; i < list->n; i++) {
		const struct doc_str *s = &list->list[i];
		const char *fault = selector_fault(s->text);

		if (fault)
			meaningless(f, s->pos, PATH_INDEX(path, i), "invalid pattern '%.80s': %s",
				s->text, fault);
		else
			check_pattern(f, s, GLOB_SELECTOR, PATH_INDEX(path, i));
	}
}

static void check_middleware(
	struct policy_findings *f, const struct doc_middleware *m, const struct doc_path *path)
{
	static const char *const on_errors[] = { "fail_closed", "fail_open", NULL };
	static const char *const modes[] = { "redact", NULL };
	size_t n = m->endpoints.include.n + m->endpoints.exclude.n;

	if (!m->head.key.text[0])
		bad(f, m->head.key.pos, path->up, "middleware name must not be empty");
	if (m->middleware.text && strcmp(m->middleware.text, "openshell/regex") != 0)
		meaningless(f, m->middleware.pos, PATH_KEY(path, "middleware"),
			"middleware '%.80s' is not available here: the only one is openshell/regex",
			m->middleware.text);
	(void)check_word(f, &m->on_error, on_errors, PATH_KEY(path, "on_error"));
	(void)check_word(f, &m->config.mode, modes, PATH_KEY(PATH_KEY(path, "config"), "mode"));
	if (!m->endpoints.include.n)
		bad(f, m->endpoints.head.is_set ? m->endpoints.head.pos : m->head.pos,
			PATH_KEY(PATH_KEY(path, "endpoints"), "include"),
			"at least one host pattern is required");
	if (n > SELECTORS_MAX)
		bad(f, m->endpoints.head.pos, PATH_KEY(path, "endpoints"),
			"too many selector patterns (%zu > %d)", n, SELECTORS_MAX);
	check_selectors(f, &m->endpoints.include, "include", path);
	check_selectors(f, &m->endpoints.exclude, "exclude", path);
}

static void check_orders(
	struct policy_findings *f, const struct doc_middlewares *list, const struct doc_path *up)
{
	for (size_t i = 1; i < list->n; i++) {
		const struct doc_middleware *m = &list->list[i];

		for (size_t j = 0; j < i; j++) {
			if (list->list[j].order.value != m->order.value)
				continue;
			bad(f, m->order.is_set ? m->order.pos : m->head.pos,
				PATH_KEY(PATH_KEY(up, m->head.key.text), "order"),
				"duplicate order %lld (also '%.80s')", (long long)m->order.value,
				list->list[j].head.key.text);
			break;
		}
	}
}

/* The other half of "what cannot be inspected must not pass" is the proxy's, at run time. */
static void check_skipped_tls(struct policy_findings *f, const struct doc_middleware *m,
	const struct doc_path *path, const struct doc_endpoint *e)
{
	auto_glob struct glob *host = NULL;
	const char *why;

	if (!doc_has(&e->tls) || strcmp(e->tls.text, "skip") != 0 || !doc_has(&e->host) ||
		glob_compile(e->host.text, GLOB_HOST, &host, &why) < 0)
		return;
	for (size_t i = 0; i < m->endpoints.exclude.n; i++)
		if (str_eq(m->endpoints.exclude.list[i].text, e->host.text))
			return;
	for (size_t i = 0; i < m->endpoints.include.n; i++) {
		const struct doc_str *s = &m->endpoints.include.list[i];
		auto_glob struct glob *g = NULL;

		if (glob_compile(s->text, GLOB_SELECTOR, &g, &why) == 0 &&
			glob_overlaps(g, host) != 0)
			bad(f, s->pos, path,
				"fail-closed selector '%.80s' overlaps endpoint '%.80s' "
				"(line %u), whose 'tls: skip' cannot be inspected",
				s->text, e->host.text, e->tls.pos.line);
	}
}

static void check_middleware_reach(struct policy_findings *f, const struct policy_doc *doc,
	const struct doc_middleware *m, const struct doc_path *path)
{
	if (doc_has(&m->on_error) && strcmp(m->on_error.text, "fail_open") == 0)
		return;
	for (size_t g = 0; g < doc->network_policies.n; g++) {
		const struct doc_endpoints *list = &doc->network_policies.list[g].endpoints;

		for (size_t i = 0; i < list->n; i++)
			check_skipped_tls(f, m, path, &list->list[i]);
	}
}

static void check_middlewares(struct policy_findings *f, const struct policy_doc *doc)
{
	const struct doc_middlewares *list = &doc->network_middlewares;
	const struct doc_path *path = PATH_KEY(NULL, "network_middlewares");

	if (list->n > MIDDLEWARES_MAX) {
		bad(f, list->pos, path, "too many middleware configs (%zu > %d)", list->n,
			MIDDLEWARES_MAX);
		return;
	}
	for (size_t i = 0; i < list->n; i++) {
		const struct doc_middleware *m = &list->list[i];

		check_middleware(f, m, PATH_KEY(path, m->head.key.text));
		check_middleware_reach(f, doc, m, PATH_KEY(path, m->head.key.text));
	}
	check_orders(f, list, path);
}

void policy_check(const struct policy_doc *doc, struct policy_findings *f)
{
	const struct doc_path *path = PATH_KEY(NULL, "network_policies");

	check_statics(f, doc);
	for (size_t i = 0; i < doc->network_policies.n; i++)
		check_group(f, &doc->network_policies.list[i], path);
	check_middlewares(f, doc);
}
