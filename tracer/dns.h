/*
 * The sandbox's resolver: one question, one answer, nobody asked (RFC 1035, RFC 3596, RFC 6891).
 *
 * A and AAAA are answered with the synthetic addresses of names.h; the sandbox's own host name and
 * localhost with loopback; reverse questions with NXDOMAIN; every other type with NODATA, so that
 * clients go on at once. Pure: a query's bytes in, an answer's bytes out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct names;

enum { DNS_MESSAGE_MAX = 1232, DNS_TTL_S = 60 };

/*
 * Answers @query into @out (at least DNS_MESSAGE_MAX bytes). Length of the answer; 0 when the
 * bytes are not a query that may be answered at all. @own_name is the sandbox's host name.
 */
size_t dns_answer(struct names *names, const char *own_name, const uint8_t *query, size_t len,
	uint8_t *out);
