#include "tracer/peers.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/analyzer.h"

enum { PORTS = 65536 };

struct entry {
	uint64_t cookie;
	socklen_t len;
	struct sockaddr_in6 asked; /* the larger of the two */
};

/* One table a family: the same port may be in use in both. Untouched pages cost nothing. */
struct peers {
	struct entry *v4[PORTS], *v6[PORTS];
};

struct peers *peers_new(void)
{
	return calloc(1, sizeof(struct peers));
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < PORTS; i++) {
		free(p->v4[i]);
		free(p->v6[i]);
	}
	free(p);
}

static int cookie_of(int sock, uint64_t *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(sock, SOL_SOCKET, SO_COOKIE, ret, &len) < 0 ? -errno : 0;
}

static int domain_of(int sock)
{
	socklen_t len = sizeof(int);
	int domain = 0;

	return getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ? 0 : domain;
}

/*
 * As the kernel tells a peer: whole, whatever length it was given with, and without what connect()
 * does not keep (padding; flow; the scope of an address that has none).
 */
static socklen_t as_told(const struct sockaddr *asked, socklen_t len, struct sockaddr_in6 *ret)
{
	struct sockaddr_in6 in6 = { 0 };
	struct sockaddr_in in = { 0 };

	memset(ret, 0, sizeof(*ret));
	if (asked->sa_family == AF_INET) {
		memcpy(&in, asked, len < sizeof(in) ? len : sizeof(in));
		memset(in.sin_zero, 0, sizeof(in.sin_zero));
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(&in6, asked, len < sizeof(in6) ? len : sizeof(in6));
	ret->sin6_family = AF_INET6;
	ret->sin6_port = in6.sin6_port;
	ret->sin6_addr = in6.sin6_addr;
	if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
		ret->sin6_scope_id = in6.sin6_scope_id;
	return sizeof(*ret);
}

/* gcc 12: the table owns the entry. */
ANALYZER_OFF("-Wanalyzer-malloc-leak")
int peers_set(struct peers *p, int sock, uint16_t port, const struct sockaddr *asked, socklen_t len)
{
	struct entry **slot = domain_of(sock) == AF_INET ? &p->v4[port] : &p->v6[port];
	uint64_t cookie;
	int r = cookie_of(sock, &cookie);

	if (r < 0)
		return r;
	if (!*slot)
		*slot = malloc(sizeof(**slot));
	if (!*slot)
		return -ENOMEM;
	(*slot)->cookie = cookie;
	(*slot)->len = as_told(asked, len, &(*slot)->asked);
	return 0;
}
ANALYZER_ON

static uint16_t source_port(int sock)
{
	struct sockaddr_in6 a = { 0 };
	socklen_t len = sizeof(a);

	/* sin_port and sin6_port lie at the same place. */
	if (getsockname(sock, (struct sockaddr *)&a, &len) < 0)
		return 0;
	return a.sin6_family == AF_INET || a.sin6_family == AF_INET6 ? ntohs(a.sin6_port) : 0;
}

socklen_t peers_get(struct peers *p, int sock, struct sockaddr_storage *ret)
{
	uint16_t port = source_port(sock);
	const struct entry *e;
	uint64_t cookie;

	if (!port)
		return 0;
	e = domain_of(sock) == AF_INET ? p->v4[port] : p->v6[port];
	if (!e || cookie_of(sock, &cookie) < 0 || cookie != e->cookie)
		return 0;
	memcpy(ret, &e->asked, e->len);
	return e->len;
}
