#include "proxy/sigv4.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/cleanup.h"
#include "lib/placeholder.h"
#include "lib/str.h"
#include "lib/url.h"

enum {
	STAMP_LEN = 16, /* 20130524T000000Z */
	DATE_LEN = 8,
	CANONICAL_MAX = 512 * 1024, /* a head, each byte of it encoded twice */
};

struct field {
	const char *name, *value; /* value without surrounding blanks */
	size_t name_len, value_len;
};

/* --- the head in lines --- */

/* The field at @at, which moves past its line; false at the blank line. */
static bool next_field(const char **at, const char *end, struct field *ret)
{
	const char *p = *at, *eol = memmem(p, (size_t)(end - p), "\r\n", 2), *colon;

	if (!eol || eol == p)
		return false;
	*at = eol + 2;
	colon = memchr(p, ':', (size_t)(eol - p));
	if (!colon)
		return false; /* not a head that we wrote */
	ret->name = p;
	ret->name_len = (size_t)(colon - p);
	for (colon++; colon < eol && (*colon == ' ' || *colon == '\t');)
		colon++;
	while (eol > colon && (eol[-1] == ' ' || eol[-1] == '\t'))
		eol--;
	ret->value = colon;
	ret->value_len = (size_t)(eol - colon);
	return true;
}

static bool is_named(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && strncasecmp(f->name, name, f->name_len) == 0;
}

static bool is_one_of(const struct field *f, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_named(f, names[i]))
			return true;
	return false;
}

static const char *first_field(const char *head, size_t len)
{
	const char *eol = memmem(head, len, "\r\n", 2);

	return eol ? eol + 2 : head + len;
}

int sigv4_strip(const char *head, size_t len, struct buf *out)
{
	static const char *const ours[] = { "authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256" };
	const char *end = head + len, *at = first_field(head, len), *line = at;
	int r = buf_append(out, head, (size_t)(at - head));
	struct field f;

	for (; r == 0 && next_field(&at, end, &f); line = at)
		if (!is_one_of(&f, ours, ARRAY_SIZE(ours)))
			r = buf_append(out, line, (size_t)(at - line));
	return r == 0 ? buf_append(out, line, (size_t)(end - line)) : r;
}

/* --- what is signed --- */

enum sigv4_payload sigv4_payload(enum aws_signing mode, const struct http1_fields *f, char ret_said[static SIGV4_HASH_MAX + 1])
{
	static const char trailer[] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER", unsigned_[] = "UNSIGNED-PAYLOAD";
	bool has_body = f->framing != HTTP1_NO_BODY;
	const struct http1_header *said = NULL;

	ret_said[0] = '\0';
	for (size_t i = 0; i < f->n && !said; i++) {
		struct field one = { f->list[i].name, f->list[i].value, f->list[i].name_len, f->list[i].value_len };

		if (is_named(&one, "x-amz-content-sha256"))
			said = &f->list[i];
	}
	if (said && said->value_len <= SIGV4_HASH_MAX) {
		memcpy(ret_said, said->value, said->value_len);
		ret_said[said->value_len] = '\0';
	}
	if (strcmp(ret_said, trailer) == 0)
		return SIGV4_SAID; /* the body is written in that form */
	if (mode == AWS_SIGN_NO_BODY)
		return SIGV4_UNSIGNED;
	if (!has_body)
		return SIGV4_HASH;
	if (strlen(ret_said) == SIGV4_HASH_MAX && strspn(ret_said, "0123456789abcdef") == SIGV4_HASH_MAX)
		return SIGV4_SAID;
	if (str_starts(ret_said, "STREAMING-"))
		return SIGV4_UNSUPPORTED;
	if (mode == AWS_SIGN_BODY)
		return SIGV4_HASH;
	return strcmp(ret_said, unsigned_) == 0 || f->framing != HTTP1_LENGTH ? SIGV4_UNSIGNED : SIGV4_HASH;
}

/* Not what a server with another HTTP version gets otherwise, what hops may change, what tells two tries apart. */
static bool is_signed(const struct field *f)
{
	static const char *const not[] = { "connection", "accept-encoding", "content-length", "transfer-encoding", "te", "expect",
		"user-agent", "upgrade", "via", "amz-sdk-invocation-id", "amz-sdk-request", "x-amzn-trace-id" };

	return !is_one_of(f, not, ARRAY_SIZE(not));
}

static int compare_names(const struct field *x, const struct field *y)
{
	size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	int r = strncasecmp(x->name, y->name, n);

	return r ? r : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* Of one name in the order in which they stand: qsort() does not keep it. */
static int by_name(const void *a, const void *b)
{
	const struct field *x = a, *y = b;
	int r = compare_names(x, y);

	return r ? r : (x->value > y->value) - (x->value < y->value);
}

static int put_lower(struct buf *out, const char *s, size_t len)
{
	char *to = buf_reserve(out, len + 1);

	if (!to)
		return -ENOBUFS;
	memcpy(to, s, len);
	to[len] = '\0';
	str_lower(to);
	buf_commit(out, len);
	return 0;
}

/* Runs of blanks count as one. */
static int put_value(struct buf *out, const struct field *f)
{
	int r = 0;

	for (size_t i = 0; i < f->value_len && r == 0; i++)
		if (f->value[i] != ' ' || f->value[i + 1] != ' ')
			r = buf_putc(out, f->value[i]);
	return r;
}

/* The canonical fields, and their names for the signature: "host;x-amz-date". */
static int put_fields(struct buf *out, struct buf *names, struct field *list, size_t n)
{
	int r = 0;

	qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n && r == 0; i++) {
		bool again = i && compare_names(&list[i - 1], &list[i]) == 0;
		bool goes_on = i + 1 < n && compare_names(&list[i], &list[i + 1]) == 0;

		if (!again) {
			r = names->len ? buf_putc(names, ';') : 0;
			r = r == 0 ? put_lower(names, list[i].name, list[i].name_len) : r;
			r = r == 0 ? put_lower(out, list[i].name, list[i].name_len) : r;
		}
		r = r == 0 ? buf_putc(out, again ? ',' : ':') : r;
		r = r == 0 ? put_value(out, &list[i]) : r;
		r = r == 0 && !goes_on ? buf_putc(out, '\n') : r;
	}
	return r;
}

static int put_encoded(struct buf *out, const char *s, size_t len, const char *also)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++)
		if (s[i] && (strchr(plain, s[i]) || strchr(also, s[i])))
			r = buf_putc(out, s[i]);
		else
			r = buf_printf(out, "%%%02X", (unsigned char)s[i]);
	return r;
}

/*
 * The path as it is sent, encoded once more: what services other than S3 make of it. S3 takes what the path means, and
 * encodes that once.
 */
static int put_path(struct buf *out, const char *path, size_t len, bool is_s3)
{
	int r = 0;

	if (!is_s3)
		return put_encoded(out, path, len, "/");
	for (size_t i = 0; i < len && r == 0; i++) {
		char c = path[i];
		int high, low;

		if (c == '%' && i + 2 < len && (high = str_hex_digit(path[i + 1])) >= 0 &&
			(low = str_hex_digit(path[i + 2])) >= 0) {
			c = (char)(high << 4 | low);
			i += 2;
			r = put_encoded(out, &c, 1, ""); /* an encoded slash stays one */
		} else {
			r = put_encoded(out, &c, 1, "/");
		}
	}
	return r;
}

static int by_param(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int put_query(struct buf *out, const char *query, size_t len)
{
	struct url_query q = { 0 };
	const char *why, *pairs[URL_PARAMS_MAX];
	auto_buf struct buf text;
	size_t at[URL_PARAMS_MAX] = { 0 };
	int r = url_query_parse(&q, query, len, &why);

	buf_init(&text, CANONICAL_MAX);
	for (size_t i = 0; i < q.n && r == 0; i++) {
		at[i] = text.len;
		r = put_encoded(&text, q.params[i].name, strlen(q.params[i].name), "");
		r = r == 0 ? buf_putc(&text, '=') : r;
		r = r == 0 ? put_encoded(&text, q.params[i].value, strlen(q.params[i].value), "") : r;
		r = r == 0 ? buf_append(&text, "", 1) : r;
	}
	for (size_t i = 0; i < q.n && r == 0; i++)
		pairs[i] = buf_head(&text) + at[i];
	if (r == 0)
		qsort(pairs, q.n, sizeof(*pairs), by_param);
	for (size_t i = 0; i < q.n && r == 0; i++) {
		r = i ? buf_putc(out, '&') : 0;
		r = r == 0 ? buf_puts(out, pairs[i]) : r;
	}
	return r;
}

/* The request line: method, path and query, a line each. */
static int put_line(struct buf *out, const char *line, size_t len, bool is_s3)
{
	const char *end = line + len, *target = memchr(line, ' ', len), *query, *stop;
	int r;

	if (!target)
		return -EBADMSG;
	r = buf_append(out, line, (size_t)(target - line));
	target++;
	stop = memchr(target, ' ', (size_t)(end - target));
	if (!stop)
		return -EBADMSG;
	query = memchr(target, '?', (size_t)(stop - target));
	r = r == 0 ? buf_putc(out, '\n') : r;
	r = r == 0 ? put_path(out, target, (size_t)((query ? query : stop) - target), is_s3) : r;
	r = r == 0 ? buf_putc(out, '\n') : r;
	if (r == 0 && query)
		r = put_query(out, query + 1, (size_t)(stop - query - 1));
	return r == 0 ? buf_putc(out, '\n') : r;
}

/* --- the signature --- */

static void hash_hex(const void *data, size_t len, char ret[static 2 * SHA256_DIGEST_LENGTH + 1])
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	SHA256(data ? data : "", len, hash);
	str_to_hex(hash, sizeof(hash), ret);
}

static void mac(unsigned char key[static SHA256_DIGEST_LENGTH], const char *text)
{
	unsigned char in[SHA256_DIGEST_LENGTH];

	memcpy(in, key, sizeof(in));
	HMAC(EVP_sha256(), in, sizeof(in), (const unsigned char *)text, strlen(text), key, NULL);
	explicit_bzero(in, sizeof(in));
}

/* The key of the day, the region and the service signs the hash of the request. */
static int sign_text(const struct sigv4 *s, const char *date, const char *text, char ret[static 2 * SHA256_DIGEST_LENGTH + 1])
{
	unsigned char key[SHA256_DIGEST_LENGTH];
	auto_buf struct buf first;
	int r;

	buf_init(&first, 4 + s->secret_len);
	r = buf_puts(&first, "AWS4");
	r = r == 0 ? buf_append(&first, s->secret, s->secret_len) : r;
	if (r < 0)
		return r;
	HMAC(EVP_sha256(), buf_head(&first), (int)first.len, (const unsigned char *)date, DATE_LEN, key, NULL);
	explicit_bzero(buf_head(&first), first.len);
	mac(key, s->region);
	mac(key, s->service);
	mac(key, "aws4_request");
	mac(key, text);
	str_to_hex(key, sizeof(key), ret);
	explicit_bzero(key, sizeof(key));
	return 0;
}

/* The signed fields of @head and ours. */
static size_t gather(const char *head, size_t len, const struct field *ours, size_t n_ours, struct field *ret, size_t max)
{
	const char *at = first_field(head, len), *end = head + len;
	struct field f;
	size_t n = 0;

	while (n < max - n_ours && next_field(&at, end, &f))
		if (is_signed(&f))
			ret[n++] = f;
	memcpy(ret + n, ours, n_ours * sizeof(*ours));
	return n + n_ours;
}

static int write_signed(const struct sigv4 *s, const char *head, size_t len, const struct field *ours, size_t n_ours,
	const char *scope, const char *names, const char *signature, struct buf *out)
{
	int r = buf_append(out, head, len - 2); /* up to the blank line */

	for (size_t i = 0; i < n_ours && r == 0; i++)
		r = buf_printf(out, "%s: %.*s\r\n", ours[i].name, (int)ours[i].value_len, ours[i].value);
	return r == 0 ? buf_printf(out,
				"Authorization: AWS4-HMAC-SHA256 Credential=%.*s/%s, SignedHeaders=%s, Signature=%s\r\n\r\n",
				(int)s->key_id_len, s->key_id, scope, names, signature)
		      : r;
}

int sigv4_sign(const struct sigv4 *s, const char *head, size_t len, struct buf *out)
{
	char stamp[STAMP_LEN + 1], payload[SIGV4_HASH_MAX + 1], hash[2 * SHA256_DIGEST_LENGTH + 1], signature[sizeof(hash)];
	char scope[2 * AWS_WORD_MAX + 64], text[sizeof(scope) + 128];
	struct field list[HTTP1_HEADERS_MAX + 8], ours[3] = { { "X-Amz-Date", stamp, 10, STAMP_LEN },
		{ "X-Amz-Content-Sha256", payload, 20, 0 }, { "X-Amz-Security-Token", s->token, 20, s->token_len } };
	size_t n_ours = s->token ? 3 : 2, n;
	bool is_s3 = str_starts(s->service, "s3");
	struct buf canonical;
	auto_buf struct buf names;
	struct tm tm;
	int r;

	buf_init(&canonical, CANONICAL_MAX);
	buf_init(&names, CANONICAL_MAX);
	if (len < 4 || !gmtime_r(&s->now, &tm) || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) != STAMP_LEN)
		return -EBADMSG;
	if (s->payload)
		(void)str_copy(payload, sizeof(payload), s->payload);
	else
		hash_hex(s->body, s->body_len, payload);
	ours[1].value_len = strlen(payload);

	n = gather(head, len, ours, n_ours, list, ARRAY_SIZE(list));
	r = put_line(&canonical, head, (size_t)(first_field(head, len) - head), is_s3);
	r = r == 0 ? put_fields(&canonical, &names, list, n) : r;
	r = r == 0 ? buf_putc(&canonical, '\n') : r;
	r = r == 0 ? buf_append(&canonical, buf_head(&names), names.len) : r;
	r = r == 0 ? buf_printf(&canonical, "\n%s", payload) : r;
	if (r == 0 && (!buf_cstr(&names) || !str_format(scope, sizeof(scope), "%.*s/%s/%s/aws4_request", DATE_LEN, stamp, s->region, s->service)))
		r = -ENOMEM;
	if (r == 0) {
		hash_hex(buf_head(&canonical), canonical.len, hash);
		(void)str_format(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", stamp, scope, hash);
		r = sign_text(s, stamp, text, signature);
	}
	placeholder_wipe(&canonical); /* the token is in it */
	return r == 0 ? write_signed(s, head, len, ours, n_ours, scope, buf_head(&names), signature, out) : r;
}
