#include "proxy/deny.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/learn_paths.h"
#include "lib/str.h"
#include "proxy/advisor.h"

enum { BODY_MAX = 64 * 1024 };

/* `,"key":"text"`; null where there is no text. */
static void put_text(struct buf *b, int *r, const char *key, const char *text)
{
	if (*r == 0)
		*r = buf_printf(b, ",\"%s\":%s", key, text ? "\"" : "null");
	if (*r == 0 && text)
		*r = str_json_escape(b, text, strlen(text));
	if (*r == 0 && text)
		*r = buf_putc(b, '"');
}

static void put_raw(struct buf *b, int *r, const char *text)
{
	if (*r == 0)
		*r = buf_puts(b, text);
}

static void put_port(struct buf *b, int *r, unsigned int port)
{
	if (*r == 0)
		*r = buf_printf(b, ",\"port\":%u", port);
}

static const char *or_null(const char *s)
{
	return s && *s ? s : NULL;
}

static const char *layer_name(const struct refusal *r)
{
	static const char *const names[] = {
		[LAYER_L4] = "l4", [LAYER_SSRF] = "ssrf", [LAYER_L7] = "l7", [LAYER_HTTP] = "http"
	};

	return names[r->layer];
}

/* The rule that is missing, in upstream's shape. */
static void put_missing(struct buf *b, int *r, const struct conn *c, const char *method,
	const char *path)
{
	put_raw(b, r, ",\"rule_missing\":{\"type\":");
	put_raw(b, r, method ? "\"rest_allow\",\"layer\":\"l7\"" : "\"endpoint\",\"layer\":\"l4\"");
	if (method) {
		put_text(b, r, "method", method);
		put_text(b, r, "path", path);
	}
	put_text(b, r, "host", or_null(c->host));
	put_port(b, r, c->port);
	put_text(b, r, "binary", c->binary);
	put_raw(b, r, "}");
}

/* What was refused, and not what a "*" that somebody put into its path would mean in a rule. */
static bool format_allow(char *ret, size_t size, const struct conn *c, const char *method, const char *path)
{
	char authority[CONN_AUTHORITY_MAX];
	auto_buf struct buf literal;

	buf_init(&literal, size);
	if (strchr(path, '\'') || learn_path_quote(&literal, path) < 0 || buf_putc(&literal, '\0') < 0)
		return false;
	return str_format(ret, size, "openshell policy update %s --add-allow '%s:%s:%s' --wait", c->px->sandbox,
		conn_authority(c, authority), method, buf_head(&literal));
}

static bool format_endpoint(char *ret, size_t size, const struct conn *c)
{
	char authority[CONN_AUTHORITY_MAX];
	const char *binary = c->binary ? c->binary : "PATH";

	return !strpbrk(binary, "'*") &&
	       str_format(ret, size, "openshell policy update %s --add-endpoint '%s' --binary '%s' --wait",
		       c->px->sandbox, conn_authority(c, authority), binary);
}

/* None where the command, pasted, would mean something else. */
static void put_command(struct buf *b, int *r, const struct conn *c, const char *method,
	const char *path)
{
	char step[2048];

	if (method ? !format_allow(step, sizeof(step), c, method, path) : !format_endpoint(step, sizeof(step), c))
		return;
	put_raw(b, r, "\"outside the sandbox, if this is wanted: ");
	if (*r == 0)
		*r = str_json_escape(b, step, strlen(step));
	put_raw(b, r, "\"");
}

int deny_body(struct buf *out, const struct conn *c, const struct refusal *f, const char *method,
	const char *path)
{
	int r = buf_printf(out, "{\"error\":\"%s\"", f->error);

	put_text(out, &r, "policy", or_null(f->policy));
	put_text(out, &r, "detail", f->detail);
	if (or_null(f->reason) && strcmp(f->reason, f->detail) != 0)
		put_text(out, &r, "reason", f->reason);
	put_text(out, &r, "layer", layer_name(f));
	put_text(out, &r, "protocol", method ? "rest" : "tcp");
	if (method) {
		put_text(out, &r, "method", method);
		put_text(out, &r, "path", path);
	}
	put_text(out, &r, "host", or_null(c->host));
	put_port(out, &r, c->port);
	put_text(out, &r, "binary", c->binary);
	if (f->is_denial && f->layer != LAYER_SSRF) {
		put_text(out, &r, "nearest_rule", or_null(f->nearest));
		put_missing(out, &r, c, f->layer == LAYER_L7 ? method : NULL, path);
		if (c->px->has_advisor && r == 0)
			r = advisor_put_guidance(out);
		put_raw(out, &r, ",\"next_steps\":[");
		/* Inside, nobody can run the command; agents get what they can do themselves. */
		if (!c->px->has_advisor)
			put_command(out, &r, c, f->layer == LAYER_L7 ? method : NULL, path);
		else if (r == 0)
			r = advisor_put_steps(out);
		put_raw(out, &r, "]");
	}
	put_raw(out, &r, "}");
	return r;
}

static const char *reason_phrase(unsigned int status)
{
	static const struct {
		unsigned int status;
		const char *phrase;
	} phrases[] = {
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 413, "Content Too Large" },
		{ 421, "Misdirected Request" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Error";
}

/* A display name is free text; in a header field only what cannot end it is repeated. */
static void put_policy_header(struct buf *out, int *r, const char *policy)
{
	if (!*policy)
		return;
	put_raw(out, r, "X-OpenShell-Policy: ");
	for (; *policy && *r == 0; policy++)
		*r = buf_putc(out, *policy > ' ' && *policy < 0x7f ? *policy : '_');
	put_raw(out, r, "\r\n");
}

int deny_response(struct buf *out, const struct conn *c, const struct refusal *f,
	const char *method, const char *path, bool close)
{
	auto_buf struct buf body;
	int r;

	buf_init(&body, BODY_MAX);
	r = deny_body(&body, c, f, method, path);
	if (r < 0)
		return r;
	r = buf_printf(out,
		"HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n", f->status,
		reason_phrase(f->status), body.len);
	put_policy_header(out, &r, f->policy);
	put_raw(out, &r, close ? "Connection: close\r\n\r\n" : "\r\n");
	if (r == 0 && !(method && strcmp(method, "HEAD") == 0))
		r = buf_append(out, buf_head(&body), body.len);
	return r;
}
