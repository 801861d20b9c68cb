#include "proxy/inject.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/cleanup.h"
#include "lib/placeholder.h"
#include "lib/str.h"
#include "proxy/credentials.h"
#include "proxy/exchange_internal.h"
#include "proxy/judge.h"
#include "proxy/sigv4.h"

struct asking {
	struct conn *conn;
	struct credential_use use;
	char used[256]; /* keys, for the log */
};

static int find(void *arg, const char *key, size_t len, const char **ret, size_t *ret_len)
{
	struct asking *a = arg;
	size_t at = strlen(a->used);
	int r = credentials_find(a->conn->px, &a->use, key, len, ret, ret_len);

	if (r == 0)
		(void)snprintf(
			a->used + at, sizeof(a->used) - at, "%s%.*s", at ? " " : "", (int)len, key);
	return r;
}

static void ask(struct asking *a, struct conn *c)
{
	*a = (struct asking){ .conn = c,
		.use = { .host = c->host,
			.port = c->port,
			.path = exchange_path(c),
			.provider = c->ex.inject.provider } };
}

/* --- what there is to replace --- */

static enum inject_body body_kind(const struct judged *j)
{
	const struct http1_fields *f = &j->rq.fields;
	const struct http1_header *type = http1_find(f->list, f->n, HTTP1_CONTENT_TYPE);

	if (!j->inspection.rewrite_body || !j->body.data || !type)
		return INJECT_NO_BODY;
	if (http1_has_media_type(
		    f->list, f->n, HTTP1_CONTENT_TYPE, "application/x-www-form-urlencoded"))
		return INJECT_FORM;
	if (http1_has_media_type(f->list, f->n, HTTP1_CONTENT_TYPE, "application/json") ||
		(type->value_len > 5 && strncasecmp(type->value, "text/", 5) == 0))
		return INJECT_TEXT;
	return INJECT_NO_BODY;
}

/* --- what there is to sign --- */

static void note_signing(struct conn *c, const struct judged *j)
{
	const struct signing *signing = &j->inspection.signing;
	struct inject *to = &c->ex.inject;

	if (!signing->mode)
		return;
	to->payload = sigv4_payload(signing->mode, &j->rq.fields, to->said);
	if (j->body.data && to->payload == SIGV4_SAID)
		to->payload = SIGV4_HASH; /* a middleware may have changed it */
	(void)str_copy(to->service, sizeof(to->service), signing->service);
	if (!signing->region)
		(void)aws_region(c->host, to->region);
	else
		(void)str_copy(to->region, sizeof(to->region), signing->region);
	to->is_wanted = true;
}

/* Basic hides what it holds. */
static bool may_hold(const char *head, size_t len)
{
	return placeholder_is_in(head, len) || memmem(head, len, "asic ", 5) ||
	       memmem(head, len, "ASIC ", 5);
}

void inject_note(struct conn *c, const struct judged *j, size_t head_len)
{
	struct inject *in = &c->ex.inject;

	*in = (struct inject){ .head_len = head_len };
	note_signing(c, j);
	if (!c->px->had_credentials)
		return;
	in->has_scan = true;
	in->body = body_kind(j);
	(void)str_copy(in->provider, sizeof(in->provider),
		j->inspection.credential_provider ? j->inspection.credential_provider : "");
	in->is_wanted = in->is_wanted || in->body != INJECT_NO_BODY || may_hold(buf_head(&c->ex.head), head_len);
}

/* --- replacing --- */

/* The request as the server gets it. Its body is the one in ex.head where nothing in that is replaced. */
struct written {
	struct buf head, filled;
	const char *body;
	size_t body_len;
};

static void written_wipe(struct written *w)
{
	placeholder_wipe(&w->head);
	placeholder_wipe(&w->filled);
}

static int fill_body(struct placeholder_source *src, enum inject_body kind, struct written *w)
{
	int r;

	if (!placeholder_is_in(w->body, w->body_len))
		return 0;
	if (kind == INJECT_NO_BODY)
		return -ENOKEY;
	if (kind == INJECT_FORM)
		r = placeholder_form(src, w->body, w->body_len, &w->filled);
	else
		r = placeholder_text(src, w->body, w->body_len, &w->filled);
	w->body = buf_head(&w->filled);
	w->body_len = w->filled.len;
	return r;
}

/* @head, whose Content-Length we wrote, with the length that the body has now. */
static int put_head(struct buf *out, const struct buf *head, size_t body_len)
{
	static const char field[] = "\r\nContent-Length: ";
	const char *start = buf_head(head), *p = memmem(start, head->len, field, sizeof(field) - 1);
	const char *end = start + head->len, *rest;
	int r;

	if (!p)
		return buf_append(out, start, head->len);
	p += sizeof(field) - 1;
	rest = memmem(p, (size_t)(end - p), "\r\n", 2);
	if (!rest)
		return -EBADMSG;
	r = buf_append(out, start, (size_t)(p - start));
	if (r == 0)
		r = buf_printf(out, "%zu", body_len);
	return r == 0 ? buf_append(out, rest, (size_t)(end - rest)) : r;
}

enum purpose { TO_CHECK, TO_SEND };

/* A key for signing. Nothing that could end a field may be in it. */
static int find_key(struct asking *a, const char *key, const char **ret, size_t *ret_len)
{
	int r = find(a, key, strlen(key), ret, ret_len);

	for (size_t i = 0; r == 0 && i < *ret_len; i++)
		if ((*ret)[i] <= ' ' || (*ret)[i] > '~')
			r = -ENOKEY;
	return r == 0 && !*ret_len ? -ENOKEY : r;
}

/* With what @purpose needs of the body. -ENOKEY, -EACCES: the keys; -EBADMSG: the request; -ENOBUFS, -ENOMEM. */
static int sign_head(struct asking *a, const struct buf *head, struct written *w, enum purpose purpose)
{
	const struct inject *in = &a->conn->ex.inject;
	struct sigv4 s = { .region = in->region, .service = in->service, .now = time(NULL),
		.body = w->body, .body_len = w->body_len };
	int r;

	if (in->payload == SIGV4_SAID)
		s.payload = in->said;
	else if (in->payload != SIGV4_HASH || purpose == TO_CHECK) /* no hash decides whether it can be signed */
		s.payload = "UNSIGNED-PAYLOAD";
	r = find_key(a, "AWS_ACCESS_KEY_ID", &s.key_id, &s.key_id_len);
	r = r == 0 ? find_key(a, "AWS_SECRET_ACCESS_KEY", &s.secret, &s.secret_len) : r;
	if (r < 0)
		return r;
	r = find_key(a, "AWS_SESSION_TOKEN", &s.token, &s.token_len);
	if (r == -EACCES)
		return r;
	if (r < 0)
		s.token = NULL; /* keys that last have none */
	return sigv4_sign(&s, buf_head(head), head->len, &w->head);
}

/* The head, its placeholders filled in; one that will be signed without what signed it before. */
static int fill_head(struct placeholder_source *src, const struct exchange *ex, struct buf *out)
{
	const char *head = buf_head(&ex->head);
	auto_buf struct buf bare = { 0 };
	int r;

	if (!ex->inject.service[0])
		return placeholder_head(src, head, ex->inject.head_len, out);
	buf_init(&bare, WRITING_MAX);
	r = sigv4_strip(head, ex->inject.head_len, &bare);
	return r == 0 ? placeholder_head(src, buf_head(&bare), bare.len, out) : r;
}

static size_t writing_max(const struct exchange *ex)
{
	return ex->inject.service[0] ? WRITING_MAX + SIGN_BODY_MAX : WRITING_MAX;
}

/* 0, -ENOKEY, -EACCES, -EBADMSG, -ENOBUFS, -ENOMEM; @w is to be wiped after all of them. */
static int write_request(struct asking *a, enum purpose purpose, struct written *w)
{
	const struct exchange *ex = &a->conn->ex;
	struct placeholder_source src = { find, a, 0 };
	struct buf filled;
	int r;

	*w = (struct written){ .body = buf_head(&ex->head) + ex->inject.head_len,
		.body_len = ex->head.len - ex->inject.head_len };
	buf_init(&w->head, WRITING_MAX);
	buf_init(&w->filled, writing_max(ex));
	buf_init(&filled, WRITING_MAX);
	if (ex->inject.service[0] && (!ex->inject.payload || !ex->inject.region[0]))
		return -EBADMSG;
	r = fill_head(&src, ex, &filled);
	if (r == 0)
		r = fill_body(&src, ex->inject.body, w);
	if (r == 0 && ex->inject.service[0])
		r = sign_head(a, &filled, w, purpose);
	else if (r == 0 && ex->inject.body != INJECT_NO_BODY)
		r = put_head(&w->head, &filled, w->body_len);
	else if (r == 0)
		r = buf_append(&w->head, buf_head(&filled), filled.len);
	placeholder_wipe(&filled);
	return r == 0 && w->head.len + w->body_len > writing_max(ex) ? -ENOBUFS : r;
}

/* A secret in clear text is everybody's: only where that was asked for in so many words. */
static bool may_go_in_clear(const struct conn *c)
{
	return c->is_tls || c->port == 80 || strcmp(c->host, "host.openshell.internal") == 0;
}

static int write_checked(struct asking *a, enum purpose purpose, struct written *w)
{
	int r = write_request(a, purpose, w);

	return r == 0 && a->used[0] && !may_go_in_clear(a->conn) ? -EACCES : r;
}

static void refuse_signing(struct conn *c, int r)
{
	const struct inject *in = &c->ex.inject;

	if (in->payload == SIGV4_UNSUPPORTED)
		exchange_fault(c, 400, "invalid_request", "credentials",
			"chunks that are signed one by one cannot be signed anew: credential_signing sigv4:no_body "
			"lets the body stream unsigned");
	else if (!in->region[0])
		exchange_fault(c, 500, "credential_injection_failed", "credentials",
			"%s names no region to sign for: the policy's signing_region can", c->host);
	else if (r == -ENOKEY)
		exchange_fault(c, 500, "credential_unavailable", "credentials",
			"the request cannot be signed: a placeholder stands where none is replaced, or no provider "
			"has AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for it");
	else
		exchange_fault(c, 400, "invalid_request", "credentials", "the request cannot be signed");
}

static int refuse(struct conn *c, int r)
{
	leg_close(take_ptr(c->leg));
	if (c->ex.inject.service[0] && (r == -ENOKEY || r == -EBADMSG)) {
		refuse_signing(c, r);
		return -EACCES;
	}
	if (r == -EACCES && !may_go_in_clear(c))
		exchange_fault(c, 403, "credential_endpoint_mismatch", "credential-binding",
			"Credential is not sent without TLS");
	else if (r == -EACCES)
		exchange_fault(c, 403, "credential_endpoint_mismatch", "credential-binding",
			"Credential is not authorized for this request endpoint");
	else if (r == -ENOKEY)
		exchange_fault(c, 500, "credential_unavailable", "credentials",
			"Credential placeholder could not be resolved");
	else if (r == -ENOBUFS)
		exchange_fault(c, 413, "invalid_request", "credentials",
			"the request is too large with the credentials in it");
	else
		exchange_fault(c, 503, "overloaded", "credentials", "no memory for the request");
	return -EACCES;
}

static void log_use(struct conn *c, const char *keys)
{
	char text[300];

	(void)str_format(text, sizeof(text), "credentials used: %s", keys);
	judge_log_credentials(c, text);
}

int inject_check(struct conn *c)
{
	struct written w;
	struct asking a;
	int r;

	ask(&a, c);
	r = write_checked(&a, TO_CHECK, &w);
	written_wipe(&w);
	if (r < 0)
		return refuse(c, r);
	if (a.used[0])
		log_use(c, a.used);
	return 0;
}

/* A small body goes in one record with its head. */
static int send_written(struct side *to, struct written *w)
{
	size_t len = w->head.len + w->body_len;
	bool is_small = len <= SCRATCH_SIZE;
	int r = is_small ? buf_append(&w->head, w->body, w->body_len) : 0;

	if (len > SEND_PENDING_MAX)
		to->out.max = len;
	if (r == 0)
		r = side_send(to, buf_head(&w->head), w->head.len);
	return r == 0 && !is_small ? side_send(to, w->body, w->body_len) : r;
}

int inject_send(struct conn *c)
{
	struct written w;
	struct asking a;
	int r;

	ask(&a, c);
	/* They may have been taken away since they were checked. */
	r = write_checked(&a, TO_SEND, &w);
	if (r == 0)
		r = send_written(&c->leg->side, &w);
	else
		r = refuse(c, r);
	written_wipe(&w);
	return r;
}

/* --- bodies that are not rewritten --- */

/* One that is split over reads is found as well, for the end of the last read is kept. */
bool inject_scan(struct conn *c, const char *data, size_t len)
{
	struct inject *in = &c->ex.inject;
	char seam[2 * INJECT_TAIL];
	size_t n = len < INJECT_TAIL ? len : INJECT_TAIL;

	if (!in->has_scan)
		return true;
	memcpy(seam, in->tail, in->tail_len);
	memcpy(seam + in->tail_len, data, n);
	if (placeholder_is_in(seam, in->tail_len + n) || placeholder_is_in(data, len))
		return false;
	if (len >= INJECT_TAIL) {
		memcpy(in->tail, data + len - INJECT_TAIL, INJECT_TAIL);
		in->tail_len = INJECT_TAIL;
	} else {
		size_t all = in->tail_len + len, from = all > INJECT_TAIL ? all - INJECT_TAIL : 0;

		memcpy(in->tail, seam + from, all - from);
		in->tail_len = all - from;
	}
	return true;
}

int inject_message(struct conn *c, const char *text, size_t len, struct buf *out)
{
	struct placeholder_source src = { find, NULL, 0 };
	struct asking a;
	int r;

	ask(&a, c);
	src.arg = &a;
	r = placeholder_text(&src, text, len, out);
	return r == 0 && a.used[0] && !may_go_in_clear(c) ? -EACCES : r;
}
