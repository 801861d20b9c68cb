/*
 * Request targets, queries and authorities in one canonical form.
 *
 * A rule must judge the very bytes that the server will act on. So a target is brought into one
 * form, judged in that form and sent in that form; what has no single meaning is refused. Nothing
 * here allocates, and nothing is decoded twice.
 *
 * Path: percent-decoded once, bytes that are not pchar encoded again in upper case, "." and ".."
 * resolved, "//" collapsed, each segment cut at ";" (RFC 3986 sections 3.3 and 5.2.4). ".." above
 * the root, control bytes, fragments, raw non-ASCII and, unless the endpoint wants it, "%2F" are
 * errors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/request.h"

struct buf;

enum {
	URL_PATH_MAX = 4096,   /* bytes of path, as sent and as canonical */
	URL_QUERY_MAX = 16384, /* bytes of query; a header block is no larger */
	URL_PARAMS_MAX = 256,  /* parameters in one query */
	URL_HOST_MAX = 253,    /* RFC 1035 section 3.1, without the final dot */
};

enum url_flags {
	URL_ENCODED_SLASH = 1, /* keep "%2F" inside a segment instead of refusing it */
	URL_KEEP_PARAMS = 2,   /* keep ";x" */
};

struct url_target {
	char path[URL_PATH_MAX + 1]; /* canonical, begins with "/" */
	size_t path_len;
	const char *query; /* as sent, without "?"; within the input; NULL when there was no "?" */
	size_t query_len;
	bool is_rewritten; /* the canonical path differs from the one sent */
};

/*
 * Origin-form or absolute-form (http and https; scheme and authority are dropped). 0, or -EBADMSG
 * and the reason in @ret_why (a constant).
 */
int url_canonicalize(const char *target, size_t len, unsigned int flags, struct url_target *ret,
	const char **ret_why);

struct url_query {
	struct query_param params[URL_PARAMS_MAX]; /* in order; names and values point into text */
	size_t n;
	char text[URL_QUERY_MAX + 2];
};

/*
 * Splits at "&" and the first "=", decodes "+" and percent escapes; the result must be UTF-8.
 * Empty pairs are skipped. A decoded NUL is held as the two bytes C0 80, which are not UTF-8, so
 * that no C string ends early and no pattern equals it by accident; url_plain() undoes that.
 * 0, or -EBADMSG and the reason.
 */
int url_query_parse(struct url_query *q, const char *query, size_t len, const char **ret_why);
/*
 * Whether a server may take the parameter @name for @known. PHP skips blanks before a name, takes "." and
 * blanks in it for "_", and ends it at a NUL or a "[", as qs does in Express; ASP.NET ignores case.
 */
bool url_param_may_be(const char *name, const char *known, bool any_case);

/* Appends @value with C0 80 turned back into NUL bytes, for output. 0 or what buf_append() says. */
int url_plain(struct buf *out, const char *value);

struct url_authority {
	char host[URL_HOST_MAX + 1]; /* lower case, no trailing dot, no brackets */
	bool is_ipv4, is_ipv6;
	uint16_t port; /* 0: none was given */
};

/*
 * host[:port], as in Host, CONNECT and absolute-form. IPv6 in brackets becomes RFC 5952 text, a
 * v4-mapped one IPv4. Refused: user information, NUL, control bytes, blanks, anything but letters,
 * digits, "-" and "_" in labels, empty or overlong labels, zones, and numbers that are not a
 * dotted quad of four decimals (an integer, octal or hexadecimal spelling of an address). What is
 * accepted round-trips: parsing the canonical form gives it again. 0, or -EBADMSG and the reason.
 */
int url_authority_parse(
	const char *text, size_t len, struct url_authority *ret, const char **ret_why);

/* The same for a host alone; IPv6 with or without brackets. */
int url_host_parse(const char *text, size_t len, struct url_authority *ret, const char **ret_why);

/*
 * Cuts "http://authority/rest" or "https://…": 0 and the two parts; 1 when @target does not begin
 * with a scheme and "://" (it is not absolute-form); -EBADMSG for another scheme. @ret_rest may be
 * empty.
 */
struct url_absolute {
	bool is_https;
	const char *authority, *rest;
	size_t authority_len, rest_len;
};

int url_absolute_split(
	const char *target, size_t len, struct url_absolute *ret, const char **ret_why);
