#include "lib/http1.h"

#include <errno.h>
#include <llhttp.h>
#include <string.h>

#include "lib/http1_fields.h"
#include "lib/request.h"
#include "lib/wsupgrade.h"

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

/* One line end at @at is looked at: 1 it ends the head, 0 it does not, -EBADMSG. */
static int check_line_end(const char *data, size_t at, const char **ret_why)
{
	if (!at || data[at - 1] != '\r')
		return refuse(ret_why, "line does not end in CRLF");
	if (at == 1)
		return refuse(ret_why, "empty line where a message should begin");
	return at >= 3 && data[at - 2] == '\n';
}

int http1_head_find(const char *data, size_t len, size_t max, size_t *scan, const char **ret_why)
{
	size_t end = len < max ? len : max;

	while (*scan < end) {
		const char *lf = memchr(data + *scan, '\n', end - *scan);
		int r;

		if (!lf) {
			*scan = end;
			break;
		}
		r = check_line_end(data, (size_t)(lf - data), ret_why);
		if (r < 0)
			return r;
		*scan = (size_t)(lf - data) + 1;
		if (r > 0)
			return (int)*scan;
	}
	if (len < max)
		return 0;
	*ret_why = "head is too long";
	return -EMSGSIZE;
}

/* What llhttp made of a head. */
struct opinion {
	bool is_complete, is_chunked, has_length;
	uint64_t content_length;
	unsigned int major, minor, status;
};

static int on_headers_complete(llhttp_t *p)
{
	struct opinion *o = p->data;

	*o = (struct opinion){
		.is_complete = true,
		.is_chunked = p->flags & F_CHUNKED,
		.has_length = p->flags & F_CONTENT_LENGTH,
		.content_length = p->content_length,
		.major = p->http_major,
		.minor = p->http_minor,
		.status = p->status_code,
	};
	return 1;
}

/*
 * Runs llhttp over a head that passed our own parser. It knows a fixed set of methods, while any
 * token is one; so all but CONNECT are shown to it as POST.
 */
static int ask_llhttp(struct opinion *o, llhttp_type_t type, const char *method, const char *head,
	size_t len, size_t skip)
{
	static const llhttp_settings_t settings = { .on_headers_complete = on_headers_complete };
	llhttp_errno_t r = HPE_OK;
	llhttp_t p;

	llhttp_init(&p, type, &settings);
	p.data = o;
	if (method)
		r = llhttp_execute(&p, method, strlen(method));
	if (r == HPE_OK)
		r = llhttp_execute(&p, head + skip, len - skip);
	return r == HPE_OK || r == HPE_PAUSED_UPGRADE ? 0 : -EBADMSG;
}

static int agree(const struct http1_fields *f, const struct http1_scan *scan, unsigned int minor,
	const struct opinion *o, const char **ret_why)
{
	if (!o->is_complete || o->major != 1 || o->minor != minor ||
		o->is_chunked != scan->has_coding || o->has_length != f->has_length ||
		(f->has_length && o->content_length != f->content_length))
		return refuse(ret_why, "message is ambiguous");
	return 0;
}

static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
	"CONNECT", "TRACE", "TRACK" };
enum { OVERRIDES = 7 }; /* of these may be asked for by a header */

/* The well-known method that @s is but for case, or NULL. */
static const char *well_known(const char *s, size_t len, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strlen(methods[i]) == len && strncasecmp(methods[i], s, len) == 0)
			return methods[i];
	}
	return NULL;
}

int http1_set_method(struct http1_request *r, const char *s, size_t len, const char **ret_why)
{
	const char *known = well_known(s, len, sizeof(methods) / sizeof(methods[0]));

	if (!http1_is_token(s, len))
		return refuse(ret_why, "request method is not a valid HTTP token");
	if (len > HTTP1_METHOD_MAX)
		return refuse(ret_why, "request method is too long");
	memcpy(r->method, known ? known : s, len);
	r->method[len] = '\0';
	r->is_trace = known && (strcmp(known, "TRACE") == 0 || strcmp(known, "TRACK") == 0);
	return 0;
}

static int override(
	char *ret, const char *method, const struct http1_header *h, const char **ret_why)
{
	const char *asked = h ? well_known(h->value, h->value_len, OVERRIDES) : method;

	if (!asked)
		return refuse(ret_why, "method override asks for an unknown method");
	if (h && strcmp(method, "CONNECT") == 0)
		return refuse(ret_why, "method override in CONNECT");
	memcpy(ret, asked, strlen(asked) + 1);
	return 0;
}

int http1_effective_method(char *ret, const char *method, const struct http1_header *list, size_t n,
	const char **ret_why)
{
	const struct http1_header *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (list[i].id != HTTP1_METHOD_OVERRIDE)
			continue;
		if (found)
			return refuse(ret_why, "more than one method override");
		found = &list[i];
	}
	return override(ret, method, found, ret_why);
}

int http1_override_by_query(
	struct http1_request *r, const struct query_param *list, size_t n, const char **ret_why)
{
	const char *found = NULL, *asked;

	if (strcmp(r->method, "POST") != 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (!url_param_may_be(list[i].name, "_method", false))
			continue;
		if (found || strcmp(r->effective_method, r->method) != 0)
			return refuse(ret_why, "more than one method override");
		found = list[i].value;
	}
	if (!found)
		return 0;
	asked = well_known(found, strlen(found), OVERRIDES);
	if (!asked || strcmp(asked, "GET") == 0 || strcmp(asked, "HEAD") == 0)
		return refuse(ret_why, "_method asks for what a form cannot ask for");
	memcpy(r->effective_method, asked, strlen(asked) + 1);
	return 0;
}

int http1_set_target(struct http1_request *r, const char *s, size_t len, const char **ret_why)
{
	if (!len)
		return refuse(ret_why, "request target is empty");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c <= 0x20 || c >= 0x7f)
			return refuse(ret_why, "request target contains a blank, a control byte or "
					       "raw non-ASCII bytes");
	}
	r->target = s;
	r->target_len = len;
	return 0;
}

/* "METHOD SP target SP HTTP/1.x", with single spaces. */
static int parse_request_line(
	struct http1_request *r, const char *line, size_t len, const char **ret_why)
{
	const char *a = memchr(line, ' ', len), *b;
	int minor, err;

	b = a ? memchr(a + 1, ' ', len - (size_t)(a + 1 - line)) : NULL;
	if (!b)
		return refuse(ret_why, "request line is not METHOD target HTTP/1.x");
	err = http1_set_method(r, line, (size_t)(a - line), ret_why);
	if (err == 0)
		err = http1_set_target(r, a + 1, (size_t)(b - a - 1), ret_why);
	if (err < 0)
		return err;
	minor = http1_minor(b + 1, len - (size_t)(b + 1 - line));
	if (minor < 0)
		return refuse(ret_why, "unsupported HTTP version");
	r->minor = (unsigned int)minor;
	return 0;
}

static int parse_host(
	const struct http1_scan *scan, struct url_authority *ret, const char **ret_why)
{
	int r = url_authority_parse(scan->host->value, scan->host->value_len, ret, ret_why);

	return r < 0 ? refuse(ret_why, "Host header contains an invalid authority") : 0;
}

/* The target's authority, with the port that its scheme means. */
static int parse_absolute(
	struct http1_request *r, const struct url_absolute *abs, const char **ret_why)
{
	int err = url_authority_parse(abs->authority, abs->authority_len, &r->authority, ret_why);

	r->form = HTTP1_ABSOLUTE;
	r->is_https = abs->is_https;
	return err;
}

static int parse_form(struct http1_request *r, const char **ret_why)
{
	struct url_absolute abs;
	int err;

	r->authority = (struct url_authority){ .port = 0 };
	if (strcmp(r->method, "CONNECT") == 0) {
		r->form = HTTP1_AUTHORITY;
		err = url_authority_parse(r->target, r->target_len, &r->authority, ret_why);
		if (err == 0 && !r->authority.port)
			err = refuse(ret_why, "CONNECT target has no port");
		return err;
	}
	if (r->target_len == 1 && r->target[0] == '*') {
		r->form = HTTP1_ASTERISK;
		return strcmp(r->method, "OPTIONS") == 0
			       ? 0
			       : refuse(ret_why, "request target is not a path");
	}
	r->form = HTTP1_ORIGIN;
	err = url_absolute_split(r->target, r->target_len, &abs, ret_why);
	if (err == 0)
		return parse_absolute(r, &abs, ret_why);
	if (err > 0 && r->target[0] != '/')
		return refuse(ret_why, "request target is not a path");
	return err < 0 ? err : 0;
}

static uint16_t port_or(const struct url_authority *a, uint16_t other)
{
	return a->port ? a->port : other;
}

/* Host must be there (1.1) and agree with what the target says. */
static int check_host(struct http1_request *r, const struct http1_scan *scan, const char **ret_why)
{
	uint16_t usual = r->form == HTTP1_AUTHORITY ? r->authority.port : r->is_https ? 443 : 80;
	struct url_authority host;
	int err;

	if (!scan->host) {
		if (r->minor == 0 || r->form == HTTP1_AUTHORITY)
			return 0;
		return refuse(ret_why, "request is missing a Host header");
	}
	err = parse_host(scan, &host, ret_why);
	if (err < 0)
		return err;
	if (r->form == HTTP1_ORIGIN || r->form == HTTP1_ASTERISK) {
		r->authority = host;
		return 0;
	}
	if (strcmp(host.host, r->authority.host) != 0 ||
		port_or(&host, usual) != port_or(&r->authority, usual))
		return refuse(ret_why, "request target does not match the Host header");
	return 0;
}

static void set_upgrade(struct http1_request *r, const struct http1_scan *scan)
{
	struct ws_upgrade u;

	r->upgrade = HTTP1_UPGRADE_NONE;
	r->upgrade_why = NULL;
	if (scan->has_websocket) {
		int err = ws_upgrade_parse(
			&u, r->effective_method, r->minor, &r->fields, &r->upgrade_why);

		r->upgrade = err < 0 ? HTTP1_UPGRADE_INVALID : HTTP1_UPGRADE_WEBSOCKET;
	} else if (scan->has_h2c && r->fields.says_upgrade) {
		r->upgrade = HTTP1_UPGRADE_H2C;
	}
}

static void set_facts(struct http1_request *r, const struct http1_scan *scan)
{
	struct http1_fields *f = &r->fields;

	f->framing = scan->has_coding ? HTTP1_CHUNKED
		     : f->has_length  ? HTTP1_LENGTH
				      : HTTP1_NO_BODY;
	r->keep_alive = !f->says_close && (r->minor == 1 || f->says_keep_alive);
	r->expect_continue = scan->expects_continue && r->minor == 1;
	set_upgrade(r, scan);
}

/* The length of the first line, without CRLF; 0 when the head is none. */
static size_t first_line(const char *head, size_t len)
{
	const char *cr = memchr(head, '\r', len);
	size_t n = cr ? (size_t)(cr - head) : len;

	if (len - n < 4 || cr[1] != '\n' || memcmp(head + len - 4, "\r\n\r\n", 4) != 0)
		return 0;
	return n;
}

static int check_opinion(struct http1_request *r, const struct http1_scan *scan, const char *head,
	size_t len, const char **ret_why)
{
	bool is_connect = r->form == HTTP1_AUTHORITY;
	struct opinion o = { .is_complete = false };

	if (ask_llhttp(&o, HTTP_REQUEST, is_connect ? "CONNECT" : "POST", head, len,
		    strlen(r->method)) < 0)
		return refuse(ret_why, "request is malformed");
	return agree(&r->fields, scan, r->minor, &o, ret_why);
}

int http1_request_parse(
	struct http1_request *ret, const char *head, size_t len, const char **ret_why)
{
	struct http1_scan scan = { .is_request = true };
	size_t n = first_line(head, len);
	int r;

	ret->is_https = false;
	http1_fields_init(&ret->fields);
	if (!n)
		return refuse(ret_why, "head does not end in an empty line");
	r = parse_request_line(ret, head, n, ret_why);
	if (r == 0)
		r = http1_fields_parse(&ret->fields, &scan, head + n + 2, len - n - 4, ret_why);
	if (r == 0)
		r = http1_fields_check(&ret->fields, &scan, ret->minor, ret_why);
	if (r == 0)
		r = parse_form(ret, ret_why);
	if (r == 0)
		r = check_host(ret, &scan, ret_why);
	if (r == 0)
		r = override(ret->effective_method, ret->method, scan.override, ret_why);
	if (r == 0)
		r = check_opinion(ret, &scan, head, len, ret_why);
	if (r < 0)
		return r;
	set_facts(ret, &scan);
	return 0;
}

/* "HTTP/1.x SP NNN [SP reason]" */
static int parse_status_line(
	struct http1_response *r, const char *line, size_t len, const char **ret_why)
{
	int minor = len >= 12 ? http1_minor(line, 8) : -1;

	if (minor < 0 || line[8] != ' ' || (len > 12 && line[12] != ' '))
		return refuse(ret_why, "status line is not HTTP/1.x NNN reason");
	r->minor = (unsigned int)minor;
	r->status = 0;
	for (size_t i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return refuse(ret_why, "status is not a number");
		r->status = r->status * 10 + (unsigned int)(line[i] - '0');
	}
	if (r->status < 100 || r->status > 599)
		return refuse(ret_why, "status is out of range");
	r->reason = len > 12 ? line + 13 : line + 12;
	r->reason_len = len > 12 ? len - 13 : 0;
	for (size_t i = 0; i < r->reason_len; i++) {
		unsigned char c = (unsigned char)r->reason[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return refuse(ret_why, "reason phrase contains a control byte");
	}
	return 0;
}

bool http1_is_bodiless(unsigned int status, const char *method)
{
	return strcmp(method, "HEAD") == 0 || status < 200 || status == 204 || status == 304 ||
	       (strcmp(method, "CONNECT") == 0 && status < 300);
}

/* RFC 9112 section 6.3 */
static enum http1_framing response_framing(
	const struct http1_response *r, const struct http1_scan *scan, const char *method)
{
	if (http1_is_bodiless(r->status, method))
		return HTTP1_NO_BODY;
	if (scan->has_coding)
		return HTTP1_CHUNKED;
	return r->fields.has_length ? HTTP1_LENGTH : HTTP1_UNTIL_CLOSE;
}

/*
 * llhttp knows nothing of the request, and skips what follows the status line of 1xx and 204 only
 * as far as framing goes; the fields it saw are what is compared.
 */
static int check_response(const struct http1_response *r, const struct http1_scan *scan,
	const char *head, size_t len, const char **ret_why)
{
	struct opinion o = { .is_complete = false };

	if (ask_llhttp(&o, HTTP_RESPONSE, NULL, head, len, 0) < 0 || o.status != r->status)
		return refuse(ret_why, "response is malformed");
	return agree(&r->fields, scan, r->minor, &o, ret_why);
}

int http1_response_parse(struct http1_response *ret, const char *head, size_t len,
	const char *method, const char **ret_why)
{
	struct http1_scan scan = { .is_request = false };
	struct http1_fields *f = &ret->fields;
	size_t n = first_line(head, len);
	int r;

	http1_fields_init(f);
	if (!n)
		return refuse(ret_why, "head does not end in an empty line");
	r = parse_status_line(ret, head, n, ret_why);
	if (r == 0)
		r = http1_fields_parse(f, &scan, head + n + 2, len - n - 4, ret_why);
	if (r == 0)
		r = http1_fields_check(f, &scan, ret->minor, ret_why);
	if (r == 0)
		r = check_response(ret, &scan, head, len, ret_why);
	if (r < 0)
		return r;
	f->framing = response_framing(ret, &scan, method);
	ret->keep_alive = !f->says_close && (ret->minor == 1 || f->says_keep_alive) &&
			  f->framing != HTTP1_UNTIL_CLOSE && ret->status != 101;
	ret->is_event_stream =
		http1_has_media_type(f->list, f->n, HTTP1_CONTENT_TYPE, "text/event-stream");
	ret->is_upgrade = ret->status == 101 && scan.has_websocket && f->says_upgrade;
	return 0;
}

void http1_body_init(struct http1_body *b, enum http1_framing framing, uint64_t content_length)
{
	b->framing = framing;
	b->left = framing == HTTP1_LENGTH ? content_length : 0;
	chunked_init(&b->chunked);
}

void http1_body_done(struct http1_body *b)
{
	chunked_done(&b->chunked);
}

static int counted_next(struct http1_body *b, const char *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_len)
{
	size_t n = b->framing == HTTP1_UNTIL_CLOSE || b->left > len ? len : (size_t)b->left;

	*ret_used = n;
	if (!n)
		return b->framing == HTTP1_UNTIL_CLOSE || b->left ? CHUNKED_MORE : CHUNKED_END;
	*ret_data = in;
	*ret_len = n;
	if (b->framing == HTTP1_LENGTH)
		b->left -= n;
	return CHUNKED_DATA;
}

int http1_body_next(struct http1_body *b, const char *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_len, const char **ret_why)
{
	if (b->framing == HTTP1_CHUNKED)
		return chunked_next(&b->chunked, in, len, ret_used, ret_data, ret_len, ret_why);
	return counted_next(b, in, len, ret_used, ret_data, ret_len);
}

bool http1_body_may_end(const struct http1_body *b)
{
	if (b->framing == HTTP1_CHUNKED)
		return b->chunked.state == CHUNKED_DONE;
	return b->framing != HTTP1_LENGTH || !b->left;
}
