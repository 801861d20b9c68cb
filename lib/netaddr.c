/*
 * Internet addresses.
 *
 * The classification is one ordered table of prefixes. Forms of IPv6 that carry an IPv4 address
 * to a translator or a tunnel are judged by the address they carry, because that is what a
 * connection to them reaches.
 */
#include "lib/netaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

static unsigned int netaddr_bits(const struct netaddr *a)
{
	return a->family == AF_INET ? 32 : 128;
}

/* a.b.c.d written by hand: inet_pton() accepts leading zeros on some libraries, we never do. */
static int parse_v4(const char *text, uint8_t bytes[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned int v = 0;
		int digits = 0;

		for (; *text >= '0' && *text <= '9'; text++, digits++) {
			if (digits == 3 || (digits == 1 && v == 0))
				return -EINVAL;
			v = v * 10 + (unsigned int)(*text - '0');
		}
		if (digits == 0 || v > 255 || *text != (i < 3 ? '.' : '\0'))
			return -EINVAL;
		bytes[i] = (uint8_t)v;
		text++;
	}
	return 0;
}

static bool is_mapped(const uint8_t b[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(b, prefix, sizeof(prefix)) == 0;
}

static struct netaddr from_v6(const uint8_t b[16])
{
	struct netaddr a = { .family = AF_INET6 };

	if (is_mapped(b)) {
		a.family = AF_INET;
		memcpy(a.bytes, b + 12, 4);
	} else {
		memcpy(a.bytes, b, 16);
	}
	return a;
}

int netaddr_parse(const char *text, struct netaddr *ret)
{
	struct netaddr a = { .family = AF_INET };
	uint8_t v6[16];

	if (!strchr(text, ':')) {
		if (parse_v4(text, a.bytes) < 0)
			return -EINVAL;
		*ret = a;
		return 0;
	}
	if (inet_pton(AF_INET6, text, v6) != 1)
		return -EINVAL;
	*ret = from_v6(v6);
	return 0;
}

int netaddr_parse_host(const char *host, struct netaddr *ret)
{
	size_t len = strlen(host);
	bool has_brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';
	bool has_dot = len > 1 && host[len - 1] == '.';
	char text[NETADDR_TEXT_MAX];

	len -= has_brackets ? 2 : has_dot;
	if (!str_format(text, sizeof(text), "%.*s", (int)len, host + has_brackets))
		return -EINVAL;
	return netaddr_parse(text, ret);
}

const char *netaddr_format(const struct netaddr *a, char *out, size_t size)
{
	if (!inet_ntop(a->family, a->bytes, out, (socklen_t)size))
		(void)str_copy(out, size, "-");
	return out;
}

int netprefix_parse(const char *text, struct netprefix *ret)
{
	const char *slash = strchr(text, '/');
	char addr[NETADDR_TEXT_MAX];
	struct netprefix p = { 0 };
	uint64_t bits;
	bool is_v6;

	if (!str_format(addr, sizeof(addr), "%.*s", slash ? (int)(slash - text) : (int)strlen(text),
		    text) ||
		netaddr_parse(addr, &p.addr) < 0)
		return -EINVAL;
	is_v6 = strchr(addr, ':') != NULL;
	bits = is_v6 ? 128 : 32;
	if (slash && str_to_u64(slash + 1, bits, &bits) < 0)
		return -EINVAL;
	if (is_v6 && p.addr.family == AF_INET) {
		/* ::ffff:a.b.c.d/N: within the mapped range it is IPv4 */
		if (bits < 96) {
			uint8_t v6[16] = { [10] = 0xff, [11] = 0xff };

			memcpy(v6 + 12, p.addr.bytes, 4);
			p.addr.family = AF_INET6;
			memcpy(p.addr.bytes, v6, sizeof(v6));
		} else {
			bits -= 96;
		}
	}
	p.bits = (uint8_t)bits;
	*ret = p;
	return 0;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

/* As IPv6 bytes, for the comparison of an IPv4 address with a prefix wider than ::ffff:0:0/96. */
static void as_v6(const struct netaddr *a, uint8_t out[16])
{
	if (a->family == AF_INET6) {
		memcpy(out, a->bytes, 16);
		return;
	}
	memset(out, 0, 10);
	out[10] = out[11] = 0xff;
	memcpy(out + 12, a->bytes, 4);
}

static bool prefix_equal(const struct netaddr *a, const struct netaddr *b, unsigned int bits)
{
	uint8_t va[16], vb[16];

	as_v6(a, va);
	as_v6(b, vb);
	return bits_equal(va, vb, bits);
}

static unsigned int prefix_bits_v6(const struct netprefix *p)
{
	return p->addr.family == AF_INET ? p->bits + 96u : p->bits;
}

bool netprefix_contains(const struct netprefix *p, const struct netaddr *a)
{
	if (p->addr.family == 0 || a->family == 0)
		return false;
	return prefix_equal(&p->addr, a, prefix_bits_v6(p));
}

bool netprefix_overlaps(const struct netprefix *a, const struct netprefix *b)
{
	unsigned int na, nb;

	if (a->addr.family == 0 || b->addr.family == 0)
		return false;
	na = prefix_bits_v6(a);
	nb = prefix_bits_v6(b);
	return prefix_equal(&a->addr, &b->addr, na < nb ? na : nb);
}

bool netaddr_equal(const struct netaddr *a, const struct netaddr *b)
{
	return a->family == b->family && a->scope == b->scope &&
	       memcmp(a->bytes, b->bytes, netaddr_bits(a) / 8) == 0;
}

/* --- what an address reaches --- */

enum embed { EMBED_NONE = 0, EMBED_LOW32, EMBED_6TO4, EMBED_TEREDO, EMBED_RFC6052_48 };

struct range {
	uint8_t prefix[16];
	uint8_t bits;
	enum netaddr_class class; /* at best; an embedded address can only make it worse */
	const char *name;
	enum embed embed;
};

#define V4(a, b, c, d)                                                                             \
	{                                                                                          \
		a, b, c, d                                                                         \
	}

/* The first that matches decides. */
static const struct range ranges_v4[] = {
	{ V4(169, 254, 169, 254), 32, NETADDR_BLOCKED, "cloud metadata", 0 },
	{ V4(100, 100, 100, 200), 32, NETADDR_BLOCKED, "cloud metadata", 0 },
	{ V4(168, 63, 129, 16), 32, NETADDR_BLOCKED, "cloud metadata", 0 },
	{ V4(192, 0, 0, 192), 32, NETADDR_BLOCKED, "cloud metadata", 0 },
	{ V4(0, 0, 0, 0), 32, NETADDR_BLOCKED, "unspecified", 0 },
	{ V4(0, 0, 0, 0), 8, NETADDR_BLOCKED, "this network", 0 },
	{ V4(127, 0, 0, 0), 8, NETADDR_BLOCKED, "loopback", 0 },
	{ V4(169, 254, 0, 0), 16, NETADDR_BLOCKED, "link-local", 0 },
	{ V4(224, 0, 0, 0), 4, NETADDR_BLOCKED, "multicast", 0 },
	/* upstream lets a host written out in full resolve to it; nothing answers there over TCP */
	{ V4(255, 255, 255, 255), 32, NETADDR_INTERNAL, "broadcast", 0 },
	{ V4(240, 0, 0, 0), 4, NETADDR_BLOCKED, "reserved", 0 },
	{ V4(10, 0, 0, 0), 8, NETADDR_INTERNAL, "private", 0 },
	{ V4(172, 16, 0, 0), 12, NETADDR_INTERNAL, "private", 0 },
	{ V4(192, 168, 0, 0), 16, NETADDR_INTERNAL, "private", 0 },
	{ V4(100, 64, 0, 0), 10, NETADDR_INTERNAL, "shared address space", 0 },
	{ V4(192, 0, 0, 0), 24, NETADDR_INTERNAL, "protocol assignments", 0 },
	{ V4(192, 0, 2, 0), 24, NETADDR_INTERNAL, "documentation", 0 },
	{ V4(198, 18, 0, 0), 15, NETADDR_INTERNAL, "benchmarking", 0 },
	{ V4(198, 51, 100, 0), 24, NETADDR_INTERNAL, "documentation", 0 },
	{ V4(203, 0, 113, 0), 24, NETADDR_INTERNAL, "documentation", 0 },
	{ V4(0, 0, 0, 0), 0, NETADDR_PUBLIC, "public", 0 },
};

static const struct range ranges_v6[] = {
	{ { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 }, 128, NETADDR_BLOCKED, "cloud metadata",
		0 },
	{ { 0xfd, 0x20, 0, 0xce, [14] = 0x02, [15] = 0x54 }, 128, NETADDR_BLOCKED, "cloud metadata",
		0 },
	{ { 0 }, 128, NETADDR_BLOCKED, "unspecified", 0 },
	{ { [15] = 1 }, 128, NETADDR_BLOCKED, "loopback", 0 },
	{ { 0 }, 96, NETADDR_INTERNAL, "IPv4-compatible", EMBED_LOW32 },
	{ { 0, 0x64, 0xff, 0x9b }, 96, NETADDR_PUBLIC, "NAT64", EMBED_LOW32 },
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, NETADDR_INTERNAL, "local NAT64", EMBED_RFC6052_48 },
	{ { 0x20, 0x02 }, 16, NETADDR_PUBLIC, "6to4", EMBED_6TO4 },
	{ { 0x20, 0x01, 0, 0 }, 32, NETADDR_PUBLIC, "Teredo", EMBED_TEREDO },
	{ { 0xfe, 0x80 }, 10, NETADDR_BLOCKED, "link-local", 0 },
	{ { 0xff }, 8, NETADDR_BLOCKED, "multicast", 0 },
	{ { 0xfc }, 7, NETADDR_INTERNAL, "private", 0 },
	/* formerly site-local; RFC 3879 section 4: global unicast like any other */
	{ { 0xfe, 0xc0 }, 10, NETADDR_PUBLIC, "public", 0 },
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, NETADDR_INTERNAL, "documentation", 0 },
	{ { 0x3f, 0xff }, 20, NETADDR_INTERNAL, "documentation", 0 },
	{ { 0x20, 0x01, 0 }, 23, NETADDR_INTERNAL, "protocol assignments", 0 },
	{ { 0x20 }, 3, NETADDR_PUBLIC, "public", 0 },
	{ { 0x01 }, 64, NETADDR_INTERNAL, "discard-only", 0 },
	{ { 0x5f }, 16, NETADDR_INTERNAL, "segment routing", 0 },
	{ { 0 }, 0, NETADDR_BLOCKED, "reserved", 0 },
};

static const struct range *range_of(const struct netaddr *a)
{
	bool is_v4 = a->family == AF_INET;
	const struct range *r = is_v4 ? ranges_v4 : ranges_v6;
	size_t n = is_v4 ? ARRAY_SIZE(ranges_v4) : ARRAY_SIZE(ranges_v6);

	/* the last one matches everything */
	for (size_t i = 0; i + 1 < n; i++, r++)
		if (bits_equal(r->prefix, a->bytes, r->bits))
			break;
	return r;
}

static struct netaddr v4_at(const uint8_t *b, uint8_t flip)
{
	struct netaddr a = { .family = AF_INET };

	for (int i = 0; i < 4; i++)
		a.bytes[i] = b[i] ^ flip;
	return a;
}

/* The IPv4 addresses that @a carries, at most two. */
static int embedded(const struct netaddr *a, enum embed how, struct netaddr out[2])
{
	const uint8_t *b = a->bytes;
	uint8_t split[4] = { b[6], b[7], b[9], b[10] };

	switch (how) {
	case EMBED_NONE:
		break;
	case EMBED_LOW32:
		out[0] = v4_at(b + 12, 0);
		return 1;
	case EMBED_6TO4:
		out[0] = v4_at(b + 2, 0);
		return 1;
	case EMBED_TEREDO: /* the server; the client with its bits flipped: RFC 4380 section 4 */
		out[0] = v4_at(b + 4, 0);
		out[1] = v4_at(b + 12, 0xff);
		return 2;
	case EMBED_RFC6052_48: /* section 2.2; some deployments put a /96 there instead */
		out[0] = v4_at(split, 0);
		out[1] = v4_at(b + 12, 0);
		return 2;
	}
	return 0;
}

/* The range that decides: the worst of the address's own and those of what it carries. */
static const struct range *worst_range(const struct netaddr *a)
{
	const struct range *worst = range_of(a);
	enum netaddr_class class = worst->class;
	struct netaddr in[2];
	int n = embedded(a, worst->embed, in);

	for (int i = 0; i < n; i++) {
		const struct range *r = range_of(&in[i]);

		if (r->class < class) {
			worst = r;
			class = r->class;
		}
	}
	return worst;
}

enum netaddr_class netaddr_classify(const struct netaddr *a)
{
	if (a->family != AF_INET && a->family != AF_INET6)
		return NETADDR_BLOCKED;
	return worst_range(a)->class;
}

const char *netaddr_range_name(const struct netaddr *a)
{
	if (a->family != AF_INET && a->family != AF_INET6)
		return "unknown";
	return worst_range(a)->name;
}

int netaddr_from_sockaddr(
	const struct sockaddr *sa, socklen_t len, struct netaddr *ret, uint16_t *ret_port)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (len >= sizeof(in) && sa->sa_family == AF_INET) {
		struct netaddr a = { .family = AF_INET };

		memcpy(&in, sa, sizeof(in));
		memcpy(a.bytes, &in.sin_addr, 4);
		*ret = a;
		if (ret_port)
			*ret_port = ntohs(in.sin_port);
		return 0;
	}
	/* the kernel takes an IPv6 address without its scope, SIN6_LEN_RFC2133 */
	if (len >= offsetof(struct sockaddr_in6, sin6_scope_id) && sa->sa_family == AF_INET6) {
		memset(&in6, 0, sizeof(in6));
		memcpy(&in6, sa, len < sizeof(in6) ? len : sizeof(in6));
		*ret = from_v6(in6.sin6_addr.s6_addr);
		if (ret->family == AF_INET6)
			ret->scope = in6.sin6_scope_id;
		if (ret_port)
			*ret_port = ntohs(in6.sin6_port);
		return 0;
	}
	return -EAFNOSUPPORT;
}

socklen_t netaddr_to_sockaddr(const struct netaddr *a, uint16_t port, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (a->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->bytes, 4);
		return sizeof(*in);
	}
	if (a->family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		in6->sin6_scope_id = a->scope;
		memcpy(&in6->sin6_addr, a->bytes, 16);
		return sizeof(*in6);
	}
	return 0;
}
