#include "lib/policy_update.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

static const char endpoint_form[] = "host:port[:access[:protocol[:enforcement[:options]]]]";
static const char options_form[] = "allow-uninspected-credentials, websocket-credential-rewrite, "
				   "request-body-credential-rewrite, allowed-ip=ADDRESS";

/* --- segments --- */

/* One specification, cut at the colons. */
struct spec {
	const char *flag, *text;
	char *at[UPDATE_SEGMENTS_MAX]; /* segments that were not given are "" */
	size_t n;
};

static int refuse(struct err *err, const struct spec *s, const char *why)
{
	return err_set(err, -EINVAL, "%s '%s': %s", s->flag, s->text, why);
}

/* The host is an IPv6 address in brackets, which go: what follows them, or NULL when it is none. */
static char *cut_ipv6(char *text)
{
	char *end = strchr(text, ']');

	if (!end || end[1] != ':')
		return NULL;
	*end = '\0';
	memmove(text, text + 1, (size_t)(end - text));
	return strchr(text, ':') ? end + 1 : NULL;
}

/*
 * Cuts into at most @max segments: -EINVAL when there are more, or less than @min. A path, which is
 * @open_end, may hold colons.
 */
static int split(struct policy_doc *d, struct spec *s, size_t min, size_t max, bool open_end,
	const char *form, struct err *err)
{
	char *rest = (char *)(uintptr_t)policy_doc_string(d, s->text).text;

	if (strlen(s->text) > UPDATE_SPEC_MAX)
		return err_set(err, -EINVAL, "%s '%.64s…': longer than %d bytes", s->flag, s->text, UPDATE_SPEC_MAX);
	if (!rest)
		return err_set(err, -ENOMEM, "%s", err_name(-ENOMEM));
	for (size_t i = 0; i < UPDATE_SEGMENTS_MAX; i++)
		s->at[i] = rest + strlen(rest);
	for (char *next; rest; rest = next) {
		next = !s->n && *rest == '[' ? cut_ipv6(rest) : open_end && s->n == max - 1 ? NULL : strchr(rest, ':');
		if (next)
			*next++ = '\0';
		if (s->n == max)
			return err_set(err, -EINVAL, "%s '%s': expects %s", s->flag, s->text, form);
		s->at[s->n++] = rest;
	}
	if (s->n < min)
		return err_set(err, -EINVAL, "%s '%s': expects %s", s->flag, s->text, form);
	return 0;
}

static int take_host(const struct spec *s, const char **ret, struct err *err)
{
	if (!s->at[0][0])
		return refuse(err, s, "empty host segment");
	if (strpbrk(s->at[0], " \t\r\n/?#@"))
		return refuse(err, s, "host must not contain blanks, '/', '?', '#' or '@'");
	*ret = s->at[0];
	return 0;
}

static int take_port(const struct spec *s, uint16_t *ret, struct err *err)
{
	uint64_t port;
	int r;

	if (!s->at[1][0])
		return refuse(err, s, "empty port segment");
	r = str_to_u64(s->at[1], 65535, &port);
	if (r == -EINVAL)
		return refuse(err, s, "port must be a base-10 integer");
	if (r < 0 || !port)
		return refuse(err, s, "port must be in the range 1-65535");
	*ret = (uint16_t)port;
	return 0;
}

static bool is_one_of(const char *text, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(*names, text) == 0)
			return true;
	return false;
}

/* --- --add-endpoint --- */

static struct doc_str present(const char *text)
{
	return (struct doc_str){ .text = text[0] ? text : NULL };
}

static struct doc_bool yes(void)
{
	return (struct doc_bool){ .is_set = true, .value = true };
}

static int add_allowed_ip(struct policy_doc *d, struct doc_endpoint *e, const char *text)
{
	struct doc_str *grown;

	for (size_t i = 0; i < e->allowed_ips.n; i++)
		if (strcmp(e->allowed_ips.list[i].text, text) == 0)
			return 0;
	grown = policy_doc_grow(d, e->allowed_ips.list, e->allowed_ips.n, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[e->allowed_ips.n++].text = text;
	e->allowed_ips.list = grown;
	e->allowed_ips.is_set = true;
	return 0;
}

static int take_option(struct policy_doc *d, const struct spec *s, const char *option,
	struct doc_endpoint *e, struct err *err)
{
	bool is_rest = str_eq(e->protocol.text, "rest");
	bool is_websocket = str_eq(e->protocol.text, "websocket");

	if (strcmp(option, "allow-uninspected-credentials") == 0) {
		e->allow_uninspected_credentials = yes();
	} else if (strcmp(option, "websocket-credential-rewrite") == 0) {
		if (!is_rest && !is_websocket)
			return refuse(err, s,
				"websocket-credential-rewrite needs rest or websocket "
				"in the protocol segment");
		e->websocket_credential_rewrite = yes();
	} else if (strcmp(option, "request-body-credential-rewrite") == 0) {
		if (!is_rest)
			return refuse(err, s,
				"request-body-credential-rewrite needs rest in the "
				"protocol segment");
		e->request_body_credential_rewrite = yes();
	} else if (str_starts(option, "allowed-ip=") && option[11]) {
		return add_allowed_ip(d, e, option + 11);
	} else {
		return err_set(err, -EINVAL, "%s '%s': options segment supports only %s", s->flag,
			s->text, options_form);
	}
	return 0;
}

static int take_options(
	struct policy_doc *d, const struct spec *s, struct doc_endpoint *e, struct err *err)
{
	int r = 0;

	for (char *option = s->at[5], *next; r == 0 && option && *s->at[5]; option = next) {
		next = strchr(option, ',');
		if (next)
			*next++ = '\0';
		r = take_option(d, s, option, e, err);
	}
	return r;
}

static int check_segments(const struct spec *s, struct err *err)
{
	static const char *const accesses[] = { "", "read-only", "read-write", "full", NULL };
	static const char *const protocols[] = { "", "tcp", "rest", "websocket", "sql", NULL };
	static const char *const enforcements[] = { "", "enforce", "audit", NULL };

	if (s->n > 2 && !s->at[s->n - 1][0])
		return refuse(err, s, "the last segment must not be empty");
	if (!is_one_of(s->at[2], accesses))
		return refuse(err, s, "access segment must be read-only, read-write or full");
	if (!is_one_of(s->at[3], protocols))
		return refuse(err, s, "protocol segment must be tcp, rest, websocket or sql");
	if (!is_one_of(s->at[4], enforcements))
		return refuse(err, s, "enforcement segment must be enforce or audit");
	if (s->at[4][0] && !s->at[3][0])
		return refuse(err, s, "cannot set enforcement without protocol");
	if (strcmp(s->at[3], "tcp") == 0 && (s->at[2][0] || s->at[4][0]))
		return refuse(err, s, "protocol tcp takes neither access nor enforcement");
	return 0;
}

int update_parse_endpoint(
	struct policy_doc *d, const char *spec, struct doc_endpoint *ret, struct err *err)
{
	struct spec s = { .flag = "--add-endpoint", .text = spec };
	struct doc_endpoint e = { .head.is_set = true };
	uint16_t port = 0;
	int r;

	r = split(d, &s, 2, 6, false, endpoint_form, err);
	if (r == 0)
		r = take_host(&s, &e.host.text, err);
	if (r == 0)
		r = take_port(&s, &port, err);
	if (r == 0)
		r = check_segments(&s, err);
	if (r < 0)
		return r;
	e.port = (struct doc_int){ .is_set = true, .value = port };
	e.access = present(s.at[2]);
	e.protocol = present(s.at[3]);
	e.enforcement = present(s.at[4]);
	r = take_options(d, &s, &e, err);
	if (r < 0)
		return r == -ENOMEM ? err_set(err, r, "%s", err_name(r)) : r;
	*ret = e;
	return 0;
}

/* --- the others --- */

int update_parse_remove(struct policy_doc *d, const char *spec, const char **ret_host,
	uint16_t *ret_port, struct err *err)
{
	struct spec s = { .flag = "--remove-endpoint", .text = spec };
	int r;

	r = split(d, &s, 2, 2, false, "host:port", err);
	if (r == 0)
		r = take_host(&s, ret_host, err);
	return r < 0 ? r : take_port(&s, ret_port, err);
}

static int check_l7(const struct spec *s, struct err *err)
{
	const char *method = s->at[2], *path = s->at[3];

	if (!method[0])
		return refuse(err, s, "empty METHOD segment");
	if (strpbrk(method, " \t\r\n"))
		return refuse(err, s, "METHOD must not contain whitespace");
	if (!path[0])
		return refuse(err, s, "empty path segment");
	if (path[0] != '/' && strcmp(path, "**") != 0 && !str_starts(path, "**/"))
		return refuse(err, s, "path must start with '/', be '**' or start with '**/'");
	return 0;
}

static void upper(char *s)
{
	for (; *s; s++)
		if (*s >= 'a' && *s <= 'z')
			*s = (char)(*s - 0x20);
}

int update_parse_l7(struct policy_doc *d, const char *flag, const char *spec, struct update_l7 *ret,
	struct err *err)
{
	struct spec s = { .flag = flag, .text = spec };
	struct update_l7 l = { .rule.head.is_set = true };
	int r;

	r = split(d, &s, 4, 4, true, "host:port:METHOD:path_glob", err);
	if (r == 0)
		r = take_host(&s, &l.host, err);
	if (r == 0)
		r = take_port(&s, &l.port, err);
	if (r == 0)
		r = check_l7(&s, err);
	if (r < 0)
		return r;
	upper(s.at[2]);
	l.rule.method.text = s.at[2];
	l.rule.path.text = s.at[3];
	*ret = l;
	return 0;
}

void update_rule_name(char name[UPDATE_NAME_MAX], const char *host, uint16_t port)
{
	size_t n = 6;

	memcpy(name, "allow_", n);
	for (; *host && n < UPDATE_NAME_MAX - 8; host++) {
		bool is_alnum = (*host >= 'a' && *host <= 'z') || (*host >= 'A' && *host <= 'Z') ||
				(*host >= '0' && *host <= '9') || *host == '_';

		if (*host == '.' || *host == '-')
			name[n++] = '_';
		else if (is_alnum)
			name[n++] = *host;
	}
	(void)snprintf(name + n, UPDATE_NAME_MAX - n, "_%u", port);
}

/* --- the plan --- */

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* A policy is UTF-8; control characters have no place in any of these. */
static bool is_text(const char *s)
{
	size_t left = strlen(s), n;
	uint32_t cp = 0;

	for (; left; left -= n, s += n) {
		n = str_utf8_decode((const unsigned char *)s, left, &cp);
		if (!n || cp < 0x20 || cp == 0x7f)
			return false;
	}
	return true;
}

static int check_text(const struct update_flags *f, struct err *err)
{
	char *const *const lists[] = { f->add_endpoint, f->remove_endpoint, f->add_allow,
		f->add_deny, f->remove_rule, f->binary };
	bool is_good = !f->rule_name || is_text(f->rule_name);

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (char *const *s = lists[i]; s && *s; s++)
			is_good &= is_text(*s);
	if (is_good)
		return 0;
	return err_set(err, -EINVAL,
		"the values of policy update must be UTF-8 without control characters");
}

int update_check_flags(const struct update_flags *f, struct err *err)
{
	size_t adds = count(f->add_endpoint);

	if (check_text(f, err) < 0)
		return -EINVAL;
	if (!adds && !count(f->remove_endpoint) && !count(f->add_allow) && !count(f->add_deny) &&
		!count(f->remove_rule) && !f->rule_name && !count(f->binary))
		return err_set(err, -EINVAL, "policy update requires at least one operation flag");
	if (f->rule_name && !adds)
		return err_set(err, -EINVAL, "--rule-name can only be used with --add-endpoint");
	if (f->rule_name && adds > 1)
		return err_set(err, -EINVAL, "--rule-name needs exactly one --add-endpoint");
	if (count(f->binary) && !adds)
		return err_set(err, -EINVAL, "--binary can only be used with --add-endpoint");
	for (size_t i = 0; f->binary && f->binary[i]; i++)
		if (!f->binary[i][0])
			return err_set(err, -EINVAL, "--binary values must not be empty");
	return 0;
}

static struct merge_op *plan_add(struct policy_doc *d, struct update_plan *p)
{
	struct merge_op *grown = policy_doc_grow(d, p->ops, p->n, sizeof(*grown));

	if (!grown)
		return NULL;
	p->ops = grown;
	return &grown[p->n++];
}

static int plan_binaries(struct policy_doc *d, char *const *paths, struct doc_binaries *ret)
{
	for (; paths && *paths; paths++) {
		struct doc_binary *grown = policy_doc_grow(d, ret->list, ret->n, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		grown[ret->n].head.is_set = true;
		grown[ret->n].path = policy_doc_string(d, *paths);
		if (!grown[ret->n++].path.text)
			return -ENOMEM;
		ret->list = grown;
		ret->is_set = true;
	}
	return 0;
}

static int plan_endpoint(struct policy_doc *d, const struct update_flags *f, const char *spec,
	struct update_plan *p, struct err *err)
{
	struct doc_network_policy *rule = policy_doc_grow(d, NULL, 0, sizeof(*rule));
	struct doc_endpoint *e = policy_doc_grow(d, NULL, 0, sizeof(*e));
	char name[UPDATE_NAME_MAX];
	struct merge_op *op;
	int r;

	if (!rule || !e)
		return -ENOMEM;
	r = update_parse_endpoint(d, spec, e, err);
	if (r == 0)
		r = plan_binaries(d, f->binary, &rule->binaries);
	if (r < 0)
		return r;
	rule->endpoints = (struct doc_endpoints){ .list = e, .n = 1, .is_set = true };
	rule->head.is_set = true;
	update_rule_name(name, e->host.text, (uint16_t)e->port.value);
	op = plan_add(d, p);
	if (!op)
		return -ENOMEM;
	op->type = MERGE_ADD_RULE;
	op->rule = rule;
	op->rule_name = policy_doc_string(d, f->rule_name ? f->rule_name : name).text;
	return op->rule_name ? 0 : -ENOMEM;
}

static int plan_removed_endpoint(
	struct policy_doc *d, const char *spec, struct update_plan *p, struct err *err)
{
	struct merge_op *op = plan_add(d, p);

	if (!op)
		return -ENOMEM;
	op->type = MERGE_REMOVE_ENDPOINT;
	return update_parse_remove(d, spec, &op->host, &op->port, err);
}

static int plan_removed_rule(struct policy_doc *d, const char *name, struct update_plan *p)
{
	struct merge_op *op = plan_add(d, p);

	if (!op)
		return -ENOMEM;
	op->type = MERGE_REMOVE_RULE;
	op->rule_name = policy_doc_string(d, name).text;
	return op->rule_name ? 0 : -ENOMEM;
}

/* The operation for this endpoint among those from @first on, or a new one. */
static struct merge_op *plan_group(
	struct policy_doc *d, struct update_plan *p, size_t first, const struct update_l7 *l)
{
	struct merge_op *op;

	for (size_t i = first; i < p->n; i++)
		if (p->ops[i].port == l->port && str_case_eq(p->ops[i].host, l->host))
			return &p->ops[i];
	op = plan_add(d, p);
	if (op) {
		op->host = l->host;
		op->port = l->port;
	}
	return op;
}

static int by_endpoint(const void *a, const void *b)
{
	const struct merge_op *x = a, *y = b;
	int order = strcmp(x->host, y->host);

	return order ? order : (int)x->port - (int)y->port;
}

static int plan_l7(struct policy_doc *d, enum merge_op_type type, const char *flag,
	char *const *specs, struct update_plan *p, struct err *err)
{
	size_t first = p->n;

	for (; specs && *specs; specs++) {
		struct doc_rule *grown;
		struct update_l7 l;
		struct merge_op *op;
		int r = update_parse_l7(d, flag, *specs, &l, err);

		if (r < 0)
			return r;
		op = plan_group(d, p, first, &l);
		grown = op ? policy_doc_grow(d, op->rules, op->n_rules, sizeof(*grown)) : NULL;
		if (!grown)
			return -ENOMEM;
		grown[op->n_rules++] = l.rule;
		op->rules = grown;
		op->type = type;
	}
	if (p->n > first)
		qsort(p->ops + first, p->n - first, sizeof(*p->ops), by_endpoint);
	return 0;
}

int update_plan_make(struct policy_doc *d, const struct update_flags *f, struct update_plan *ret,
	struct err *err)
{
	struct update_plan p = { 0 };
	int r = update_check_flags(f, err);

	for (size_t i = 0; r == 0 && f->add_endpoint && f->add_endpoint[i]; i++)
		r = plan_endpoint(d, f, f->add_endpoint[i], &p, err);
	for (size_t i = 0; r == 0 && f->remove_endpoint && f->remove_endpoint[i]; i++)
		r = plan_removed_endpoint(d, f->remove_endpoint[i], &p, err);
	for (size_t i = 0; r == 0 && f->remove_rule && f->remove_rule[i]; i++)
		r = plan_removed_rule(d, f->remove_rule[i], &p);
	if (r == 0)
		r = plan_l7(d, MERGE_ADD_ALLOW, "--add-allow", f->add_allow, &p, err);
	if (r == 0)
		r = plan_l7(d, MERGE_ADD_DENY, "--add-deny", f->add_deny, &p, err);
	if (r < 0)
		return r == -ENOMEM ? err_set(err, r, "%s", err_name(r)) : r;
	*ret = p;
	return 0;
}
