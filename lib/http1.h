/*
 * HTTP/1 heads: found, guarded, parsed, judged for framing, and written anew (RFC 9112).
 *
 * Bytes in, facts and bytes out; no socket, no clock, no allocation. A head is collected until its
 * blank line, then parsed as a whole. Two parsers look at it: ours, which refuses everything that
 * is read differently in different places, and llhttp in strict mode. Where they disagree about
 * framing, the head is refused. Nothing of what was received is forwarded as it was: requests and
 * responses are written from the parsed form.
 *
 * Refused: bare CR or LF, obs-fold, blanks before ":", names that are no tokens, control bytes,
 * bytes that are not UTF-8 (requests), any version but 1.0 and 1.1, a missing Host on 1.1, a
 * second Host or Content-Length, Content-Length with Transfer-Encoding, lengths that are not plain
 * decimals, codings other than "chunked", Connection naming Host or a framing field, method
 * overrides that are unknown or more than one, fields that ask for another target.
 *
 * Slices point into the head, which must outlive the parsed form.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/chunked.h"
#include "lib/url.h"

struct buf;

struct query_param;

enum {
	HTTP1_HEAD_MAX = 16384,		 /* a request inside a tunnel: 431 beyond */
	HTTP1_PROXY_HEAD_MAX = 8192,	 /* CONNECT and absolute-form: 431 beyond */
	HTTP1_RESPONSE_HEAD_MAX = 16384, /* 502 beyond */
	HTTP1_HEADERS_MAX = 100,	 /* fields in a head, and in trailers */
	HTTP1_METHOD_MAX = 31,		 /* bytes of a method */
	HTTP1_NOMINATED_MAX = 16,	 /* options in Connection */
};

/* Names that mean something to a proxy. */
enum http1_name {
	HTTP1_OTHER = 0,
	HTTP1_ACCEPT,
	HTTP1_CONNECTION,
	HTTP1_CONTENT_ENCODING,
	HTTP1_CONTENT_LENGTH,
	HTTP1_CONTENT_TYPE,
	HTTP1_EXPECT,
	HTTP1_HOP, /* others that end at the next hop: Proxy-*, Keep-Alive, HTTP2-Settings */
	HTTP1_HOST,
	HTTP1_METHOD_OVERRIDE,
	HTTP1_TARGET_OVERRIDE, /* X-Original-URL, X-Rewrite-URL: in a request refused */
	HTTP1_TE,
	HTTP1_TRAILER,
	HTTP1_TRANSFER_ENCODING,
	HTTP1_UPGRADE,
	HTTP1_WS_ACCEPT,
	HTTP1_WS_EXTENSIONS,
	HTTP1_WS_KEY,
	HTTP1_WS_PROTOCOL,
	HTTP1_WS_VERSION,
	HTTP1_NAMES,
};

struct http1_header {
	const char *name, *value; /* not NUL-terminated; value without surrounding blanks */
	uint16_t name_len, value_len;
	uint8_t id;  /* enum http1_name */
	bool is_hop; /* not forwarded: hop-by-hop, named by Connection, or written anew */
};

/* What @name is known as; case does not matter, nor "_" for "-" where a field would change the request line. */
enum http1_name http1_name_lookup(const char *name, size_t len);
/* The first field of that name, or NULL. */
const struct http1_header *http1_find(
	const struct http1_header *list, size_t n, enum http1_name id);
/* Whether some field @id, a list of media types, holds @type (parameters ignored). */
bool http1_has_media_type(
	const struct http1_header *list, size_t n, enum http1_name id, const char *type);
/* Whether the comma-separated @value holds @token, ignoring case. */
bool http1_has_token(const char *value, size_t len, const char *token);
/* RFC 9110 token characters only, and not empty. */
bool http1_is_token(const char *s, size_t len);

enum http1_framing {
	HTTP1_NO_BODY = 0,
	HTTP1_LENGTH, /* content_length bytes */
	HTTP1_CHUNKED,
	HTTP1_UNTIL_CLOSE, /* responses only */
};

struct http1_fields {
	struct http1_header list[HTTP1_HEADERS_MAX];
	size_t n;
	enum http1_framing framing;
	uint64_t content_length; /* with HTTP1_LENGTH; in answers without a body what was announced
				  */
	bool has_length;	 /* a Content-Length was there */
	bool says_close, says_keep_alive, says_upgrade; /* options of Connection */
};

enum http1_form { HTTP1_ORIGIN = 0, HTTP1_ABSOLUTE, HTTP1_AUTHORITY, HTTP1_ASTERISK };

enum http1_upgrade {
	HTTP1_UPGRADE_NONE = 0,
	HTTP1_UPGRADE_INVALID,	 /* a WebSocket upgrade that is not one: refuse */
	HTTP1_UPGRADE_WEBSOCKET, /* valid (lib/wsupgrade.h tells what was offered) */
	HTTP1_UPGRADE_H2C,	 /* asks for HTTP/2; may be answered as if it did not */
};

struct http1_request {
	char method[HTTP1_METHOD_MAX + 1]; /* well-known ones in upper case whatever was sent */
	/* What a method-override header asks for, else the method: judge this and send this. */
	char effective_method[HTTP1_METHOD_MAX + 1];
	bool is_trace; /* TRACE or TRACK: 405 */
	enum http1_form form;
	const char *target; /* as sent; url_canonicalize() takes origin and absolute form */
	size_t target_len;
	bool is_https; /* absolute-form with that scheme */
	/*
	 * Where the request wants to go: of the target if it has one (then Host agrees), else Host.
	 * The host is empty for HTTP/1.0 without Host; port 0 when none was given.
	 */
	struct url_authority authority;
	unsigned int minor; /* HTTP/1.minor */
	bool keep_alive;
	bool expect_continue;
	enum http1_upgrade upgrade;
	const char *upgrade_why; /* INVALID: the reason */
	struct http1_fields fields;
};

/*
 * Looks for the blank line in @data. > 0: the length of the head with it; 0: not there yet;
 * -EMSGSIZE: not within @max bytes; -EBADMSG: an empty line first, or a line that does not end in
 * CRLF. @scan starts at 0 and keeps the place, so that a head in many pieces is looked at once.
 */
int http1_head_find(const char *data, size_t len, size_t max, size_t *scan, const char **ret_why);

/*
 * Parses a whole head (as found above). 0; -EBADMSG: answer 400; -EMSGSIZE: too many fields,
 * answer 431. On failure @ret_why says why and @ret is not to be used.
 */
int http1_request_parse(
	struct http1_request *ret, const char *head, size_t len, const char **ret_why);

/*
 * The method that @list's override header asks for, or @method; for requests of other origin
 * (HTTP/2). 0 or -EBADMSG. @ret holds HTTP1_METHOD_MAX + 1 bytes.
 */
int http1_effective_method(char *ret, const char *method, const struct http1_header *list, size_t n,
	const char **ret_why);
/*
 * What "_method" in the query of a POST asks for, as several frameworks take it, into
 * .effective_method: PUT, PATCH, DELETE and the like. 0 or -EBADMSG: several, or another method.
 */
int http1_override_by_query(
	struct http1_request *r, const struct query_param *list, size_t n, const char **ret_why);

struct http1_response {
	unsigned int status; /* 100 to 599 */
	unsigned int minor;
	const char *reason;
	size_t reason_len;
	bool keep_alive; /* the connection may carry another request afterwards */
	bool is_event_stream;
	bool is_upgrade; /* 101 with Connection: upgrade and Upgrade: websocket */
	struct http1_fields fields;
};

/*
 * Parses the head of an answer to a request with @method (effective_method): answers to HEAD,
 * 1xx, 204, 304 and 2xx to CONNECT have no body whatever they announce. 0, -EBADMSG, -EMSGSIZE.
 */
int http1_response_parse(struct http1_response *ret, const char *head, size_t len,
	const char *method, const char **ret_why);

enum http1_ws {
	HTTP1_WS_NONE = 0,
	HTTP1_WS_AS_SENT, /* an upgrade; Sec-WebSocket-Extensions stays */
	HTTP1_WS_REWRITE, /* an upgrade; Sec-WebSocket-Extensions is .ws_extension or absent */
};

/* A request to be written. */
struct http1_send {
	const char *method;
	const char *path;  /* canonical, NUL-terminated */
	const char *query; /* NULL: none */
	size_t query_len;
	const struct url_authority *authority;
	uint16_t default_port; /* not written after the host */
	enum http1_framing framing;
	uint64_t content_length;
	bool close;  /* adds Connection: close */
	bool via;    /* adds Via: forward mode */
	bool expect; /* adds Expect: 100-continue */
	enum http1_ws ws;
	const char *ws_extension; /* NULL: none */
};

/*
 * Appends the request head for the server: hop-by-hop fields and those that Connection named are
 * left out; Host, framing and Connection are written anew. 0, -ENOBUFS, -ENOMEM.
 */
int http1_request_write(
	struct buf *out, const struct http1_send *s, const struct http1_header *list, size_t n);

/* A response to be written. */
struct http1_answer {
	unsigned int status;
	const char *reason; /* NULL: none */
	size_t reason_len;
	enum http1_framing framing;
	uint64_t content_length; /* with HTTP1_LENGTH or announces_length */
	bool announces_length;	 /* no body, yet a Content-Length: answers to HEAD, 304 */
	bool close;
	bool keep;	  /* adds Connection: keep-alive, without which HTTP/1.0 waits for the end */
	enum http1_ws ws; /* 101 */
};

/* Appends the response head for the client, likewise. */
int http1_response_write(
	struct buf *out, const struct http1_answer *a, const struct http1_header *list, size_t n);

/*
 * The fields of trailers (chunked.trailers, with the blank line), without those that frame, route or
 * authenticate (RFC 9110 section 6.5.1). Slices point into @block. 0, -EBADMSG, -EMSGSIZE.
 */
int http1_trailers_parse(struct http1_fields *f, const char *block, size_t len,
	const char **ret_why);

/*
 * Appends trailers (chunked.trailers, with the blank line) as they may be forwarded: each line
 * checked like a header field; names that frame, route or authenticate are left out (RFC 9110
 * section 6.5.1). Ends with the blank line. 0, -EBADMSG, -EMSGSIZE, -ENOBUFS, -ENOMEM.
 */
int http1_trailers_write(struct buf *out, const char *block, size_t len, const char **ret_why);

/* The body of a message, however it is framed. */
struct http1_body {
	enum http1_framing framing;
	uint64_t left; /* HTTP1_LENGTH: bytes that are still to come */
	struct chunked chunked;
};

void http1_body_init(struct http1_body *b, enum http1_framing framing, uint64_t content_length);
/* Releases trailers. */
void http1_body_done(struct http1_body *b);
/*
 * As chunked_next(), for every framing: CHUNKED_DATA with a slice of @in, CHUNKED_END (nothing of
 * @in beyond *ret_used belongs to this message), CHUNKED_MORE, or -EBADMSG.
 */
int http1_body_next(struct http1_body *b, const char *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_len, const char **ret_why);
/* Whether a message that ends here, because its sender closed, is complete. */
bool http1_body_may_end(const struct http1_body *b);
