#include "tracer/once.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { SLOTS = 2 * ONCE_MAX };

/* Hashes alone: with 64 seeded bits a false "said already" is not to be had on purpose. */
struct once {
	uint64_t seed;
	uint64_t seen[SLOTS]; /* open addressing; 0 is empty */
	unsigned int n;
};

struct once *once_new(void)
{
	struct once *o = calloc(1, sizeof(*o));

	if (o)
		(void)!getrandom(&o->seed, sizeof(o->seed), GRND_NONBLOCK);
	return o;
}

void once_free(struct once *o)
{
	free(o);
}

static uint64_t mix(uint64_t h, const char *s)
{
	for (; s && *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ull;
	return (h ^ 0xff) * 1099511628211ull;
}

bool once_is_new(struct once *o, const char *what, const char *host, uint16_t port,
	const char *binary)
{
	uint64_t h;

	if (!o)
		return true;
	h = mix(mix(mix(o->seed ^ port, what), host), binary);
	h ^= h >> 29;
	if (h == 0)
		h = 1;
	for (size_t i = h % SLOTS;; i = (i + 1) % SLOTS) {
		if (o->seen[i] == h)
			return false;
		if (o->seen[i] == 0) {
			if (o->n++ >= ONCE_MAX) {
				memset(o->seen, 0, sizeof(o->seen));
				o->n = 1;
				i = h % SLOTS; /* where it will be looked for, now that nothing is in the way */
			}
			o->seen[i] = h;
			return true;
		}
	}
}
