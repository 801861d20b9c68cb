#include "tracer/dns.h"

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/netaddr.h"
#include "lib/str.h"
#include "tracer/names.h"

enum { HEADER = 12, LABEL_MAX = 63 };
enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28, CLASS_IN = 1 };
enum { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4 };

struct question {
	char name[NAMES_LEN_MAX + 1]; /* lower case, no trailing dot */
	unsigned int type, class;
	size_t end; /* of the question in the message */
};

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint8_t *put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

/* Letters, digits, hyphen and underscore: what a host name that can be judged consists of. */
static bool is_host_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* A question never needs compression; a pointer in it is refused. */
static bool parse_name(const uint8_t *msg, size_t len, struct question *q)
{
	size_t at = HEADER, out = 0;

	while (at < len && msg[at] != 0) {
		size_t label = msg[at++];

		if (label > LABEL_MAX || label > len - at || out + label + 1 > NAMES_LEN_MAX)
			return false;
		if (out)
			q->name[out++] = '.';
		for (; label; label--, at++) {
			if (!is_host_byte(msg[at]))
				return false;
			q->name[out++] = (char)msg[at];
		}
	}
	if (at >= len)
		return false;
	q->name[out] = '\0';
	str_lower(q->name);
	q->end = at + 1;
	return true;
}

static bool parse_question(const uint8_t *msg, size_t len, struct question *q)
{
	if (!parse_name(msg, len, q) || len - q->end < 4)
		return false;
	q->type = get16(msg + q->end);
	q->class = get16(msg + q->end + 2);
	q->end += 4;
	return true;
}

/* localhost and everything below it (RFC 6761 section 6.3), and the sandbox itself. */
static bool is_local(const char *name, const char *own_name)
{
	return str_eq(name, "localhost") || str_ends(name, ".localhost") || str_eq(name, own_name);
}

static bool find_addrs(struct names *names, const char *own_name, const char *name,
	struct netaddr *v4, struct netaddr *v6)
{
	if (is_local(name, own_name))
		return netaddr_parse("127.0.0.1", v4) == 0 && netaddr_parse("::1", v6) == 0;
	return names_assign(names, name, v4, v6) == 0;
}

/* One resource record whose owner is the name of the question (a pointer to offset 12). */
static size_t put_record(uint8_t *out, unsigned int type, const struct netaddr *a)
{
	size_t size = a->family == AF_INET ? 4 : 16;
	uint8_t *p = out;

	p = put16(p, 0xc000 | HEADER);
	p = put16(p, type);
	p = put16(p, CLASS_IN);
	p = put16(p, 0);
	p = put16(p, DNS_TTL_S);
	p = put16(p, (unsigned int)size);
	memcpy(p, a->bytes, size);
	return (size_t)(p - out) + size;
}

static size_t put_header(const uint8_t *query, uint8_t *out, unsigned int rcode,
	const struct question *q, unsigned int answers)
{
	size_t len = q ? q->end : HEADER;

	memcpy(out, query, len);
	/* QR, AA, RA; the opcode and RD as they were asked. */
	out[2] = (uint8_t)(0x84 | (query[2] & 0x79));
	out[3] = (uint8_t)(0x80 | rcode);
	(void)put16(out + 4, q ? 1 : 0);
	(void)put16(out + 6, answers);
	(void)put16(out + 8, 0);
	(void)put16(out + 10, 0);
	return len;
}

static unsigned int refusal(const uint8_t *query, const struct question *q)
{
	if ((query[2] & 0x78) != 0 || q->class != CLASS_IN)
		return NOTIMP;
	if (q->type == TYPE_PTR || str_ends(q->name, ".arpa"))
		return NXDOMAIN;
	return NOERROR;
}

size_t dns_answer(struct names *names, const char *own_name, const uint8_t *query, size_t len,
	uint8_t *out)
{
	struct netaddr v4, v6;
	struct question q;
	unsigned int rcode;
	size_t n;

	/* Shorter than a header, longer than UDP carries, or itself an answer: silence. */
	if (len < HEADER || len > DNS_MESSAGE_MAX || (query[2] & 0x80))
		return 0;
	if (get16(query + 4) != 1 || !parse_question(query, len, &q))
		return put_header(query, out, FORMERR, NULL, 0);
	rcode = refusal(query, &q);
	if (rcode != NOERROR)
		return put_header(query, out, rcode, &q, 0);
	/* The root exists, and has no address. */
	if ((q.type != TYPE_A && q.type != TYPE_AAAA) || !q.name[0])
		return put_header(query, out, NOERROR, &q, 0);
	if (!find_addrs(names, own_name, q.name, &v4, &v6))
		return put_header(query, out, SERVFAIL, &q, 0);
	n = put_header(query, out, NOERROR, &q, 1);
	return n + put_record(out + n, q.type, q.type == TYPE_A ? &v4 : &v6);
}
