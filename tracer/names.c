#include "tracer/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "lib/cleanup.h"
#include "tracer/addrs.h"

enum { BUCKETS = 4096, V4_POOL = (1 << (32 - ADDRS_SYNTH4_BITS)) - 2 };

struct entry {
	char *name;
	uint32_t v4; /* offset in the IPv4 range, 1 … V4_POOL */
	uint64_t v6; /* interface identifier */
	LIST_ENTRY(entry) by_name, by_v4, by_v6;
	TAILQ_ENTRY(entry) lru;
};

LIST_HEAD(bucket, entry);

struct names {
	struct bucket by_name[BUCKETS], by_v4[BUCKETS], by_v6[BUCKETS];
	TAILQ_HEAD(, entry) lru; /* last used at the tail */
	size_t n;
	uint32_t next_v4;
	uint64_t next_v6;
	uint64_t seed; /* names come from the workload: keep it from choosing buckets */
};

struct names *names_new(void)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	TAILQ_INIT(&n->lru);
	(void)!getrandom(&n->seed, sizeof(n->seed), GRND_NONBLOCK);
	return n;
}

static void entry_free(struct names *n, struct entry *e)
{
	LIST_REMOVE(e, by_name);
	LIST_REMOVE(e, by_v4);
	LIST_REMOVE(e, by_v6);
	TAILQ_REMOVE(&n->lru, e, lru);
	n->n--;
	free(e->name);
	free(e);
}

void names_free(struct names *n)
{
	if (!n)
		return;
	for (struct entry *e; (e = TAILQ_FIRST(&n->lru));)
		entry_free(n, e);
	free(n);
}

static struct bucket *name_bucket(struct names *n, const char *name)
{
	uint64_t h = n->seed ^ 14695981039346656037ull;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211ull;
	h ^= h >> 32;
	return &n->by_name[h % BUCKETS];
}

static void touch(struct names *n, struct entry *e)
{
	TAILQ_REMOVE(&n->lru, e, lru);
	TAILQ_INSERT_TAIL(&n->lru, e, lru);
}

static struct entry *find_name(struct names *n, const char *name)
{
	struct entry *e;

	LIST_FOREACH(e, name_bucket(n, name), by_name)
		if (strcmp(e->name, name) == 0)
			return e;
	return NULL;
}

static struct entry *find_v4(struct names *n, uint32_t v4)
{
	struct entry *e;

	LIST_FOREACH(e, &n->by_v4[v4 % BUCKETS], by_v4)
		if (e->v4 == v4)
			return e;
	return NULL;
}

static struct entry *find_v6(struct names *n, uint64_t v6)
{
	struct entry *e;

	LIST_FOREACH(e, &n->by_v6[v6 % BUCKETS], by_v6)
		if (e->v6 == v6)
			return e;
	return NULL;
}

static uint32_t fresh_v4(struct names *n)
{
	do
		n->next_v4 = n->next_v4 % V4_POOL + 1;
	while (find_v4(n, n->next_v4));
	return n->next_v4;
}

static struct entry *entry_new(struct names *n, const char *name)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e || !(e->name = strdup(name))) {
		free(e);
		return NULL;
	}
	if (n->n >= NAMES_MAX)
		entry_free(n, TAILQ_FIRST(&n->lru));
	e->v4 = fresh_v4(n);
	e->v6 = ++n->next_v6;
	LIST_INSERT_HEAD(name_bucket(n, name), e, by_name);
	LIST_INSERT_HEAD(&n->by_v4[e->v4 % BUCKETS], e, by_v4);
	LIST_INSERT_HEAD(&n->by_v6[e->v6 % BUCKETS], e, by_v6);
	TAILQ_INSERT_TAIL(&n->lru, e, lru);
	n->n++;
	return e;
}

static struct netaddr v4_addr(uint32_t offset)
{
	struct netaddr a = { .family = AF_INET };
	uint32_t net;

	(void)inet_pton(AF_INET, ADDRS_SYNTH4, &net);
	net = htonl(ntohl(net) + offset);
	memcpy(a.bytes, &net, sizeof(net));
	return a;
}

static struct netaddr v6_addr(uint64_t id)
{
	struct netaddr a = { .family = AF_INET6 };

	(void)inet_pton(AF_INET6, ADDRS_SYNTH6, a.bytes);
	for (int i = 0; i < 8; i++)
		a.bytes[15 - i] = (uint8_t)(id >> (8 * i));
	return a;
}

int names_assign(struct names *n, const char *name, struct netaddr *ret_v4, struct netaddr *ret_v6)
{
	struct entry *e = find_name(n, name);

	if (e)
		touch(n, e);
	else
		e = entry_new(n, name);
	if (!e)
		return -ENOMEM;
	*ret_v4 = v4_addr(e->v4);
	*ret_v6 = v6_addr(e->v6);
	return 0;
}

/* Offset in the IPv4 range (0 outside of it). */
static uint32_t v4_offset(const struct netaddr *a)
{
	uint32_t net, addr;

	(void)inet_pton(AF_INET, ADDRS_SYNTH4, &net);
	memcpy(&addr, a->bytes, sizeof(addr));
	net = ntohl(net);
	addr = ntohl(addr);
	return addr >> (32 - ADDRS_SYNTH4_BITS) == net >> (32 - ADDRS_SYNTH4_BITS) ? addr - net : 0;
}

static bool is_v6(const struct netaddr *a, uint64_t *ret_id)
{
	uint8_t net[16];
	uint64_t id = 0;

	(void)inet_pton(AF_INET6, ADDRS_SYNTH6, net);
	for (int i = 8; i < 16; i++)
		id = id << 8 | a->bytes[i];
	*ret_id = id;
	return memcmp(net, a->bytes, 8) == 0;
}

bool names_is_synthetic(const struct netaddr *addr)
{
	uint64_t id;

	return addr->family == AF_INET ? v4_offset(addr) != 0 : is_v6(addr, &id);
}

const char *names_lookup(struct names *n, const struct netaddr *addr)
{
	struct entry *e = NULL;
	uint64_t id;

	if (addr->family == AF_INET)
		e = v4_offset(addr) ? find_v4(n, v4_offset(addr)) : NULL;
	else if (is_v6(addr, &id))
		e = find_v6(n, id);
	if (!e)
		return NULL;
	touch(n, e);
	return e->name;
}
