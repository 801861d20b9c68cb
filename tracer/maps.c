#include "tracer/maps.h"

#include <errno.h>
#include <string.h>

static int digit(char c, unsigned int base)
{
	int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;

	return v < (int)base ? v : -1;
}

/* A number that ends at @stop; NULL when there is none. */
static char *number(char *p, unsigned int base, char stop, uint64_t *ret)
{
	uint64_t v = 0;
	char *start = p;

	for (; digit(*p, base) >= 0; p++) {
		if (v > (UINT64_MAX - 15) / base)
			return NULL;
		v = v * base + (unsigned int)digit(*p, base);
	}
	if (p == start || *p != stop)
		return NULL;
	*ret = v;
	return p + 1;
}

static char *device(char *p)
{
	uint64_t ignored;

	p = number(p, 16, ':', &ignored);
	return p ? number(p, 16, ' ', &ignored) : NULL;
}

/* "rwxp " */
static char *rights(char *p, struct map *m)
{
	if (strnlen(p, 5) < 5 || p[4] != ' ')
		return NULL;
	m->is_readable = p[0] == 'r';
	m->is_executable = p[2] == 'x';
	return p + 5;
}

/* The inode ends the line where nothing is mapped but memory. */
static char *inode(char *p, uint64_t *ret)
{
	char *end = number(p, 10, ' ', ret);

	if (end)
		return end;
	end = number(p, 10, '\0', ret);
	return end ? end - 1 : NULL;
}

int maps_next(char **text, struct map *ret)
{
	struct map m = { 0 };
	char *p = *text, *end;

	if (!*p)
		return 0;
	end = p + strcspn(p, "\n");
	*text = *end ? end + 1 : end;
	*end = '\0';
	p = number(p, 16, '-', &m.start);
	p = p ? number(p, 16, ' ', &m.end) : NULL;
	p = p ? rights(p, &m) : NULL;
	p = p ? number(p, 16, ' ', &m.offset) : NULL;
	p = p ? device(p) : NULL;
	p = p ? inode(p, &m.inode) : NULL;
	if (!p || m.end <= m.start)
		return -EINVAL;
	m.path = p + strspn(p, " ");
	*ret = m;
	return 1;
}
