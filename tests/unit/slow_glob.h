/*
 * The patterns of lib/glob.h, matched by trying everything. Nothing is compiled, nothing is clever.
 * Braces must not hold "**", other braces or nothing (then "**" beside them would become whole).
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct slow {
	char sep;	   /* '/' or '.' */
	const char *start; /* of the pattern */
};

static inline bool slow_class(const char **pattern, char c, char sep)
{
	const char *p = *pattern + 1, *first;
	bool negated = *p == '!' || *p == '^', found = false;

	p += negated;
	first = p;
	for (; *p != ']' || p == first; p++) {
		if (p[1] == '-' && p[2] != ']') {
			found |= c >= p[0] && c <= p[2];
			p += 2;
		} else {
			found |= c == *p;
		}
	}
	*pattern = p + 1;
	return (sep != '.' || c != '.') && found != negated;
}

static inline bool slow_plain(const struct slow *s, const char *p, const char *t);

/* "**" as a whole component: for paths zero or more segments, for names any text. */
static inline bool slow_component(const struct slow *s, const char *p, const char *t)
{
	if (s->sep == '/' && p[2] == '/') {
		if (slow_plain(s, p + 3, t))
			return true;
		for (; *t; t++)
			if (*t == '/' && slow_plain(s, p + 3, t + 1))
				return true;
		return false;
	}
	do {
		if (slow_plain(s, p + 2, t))
			return true;
	} while (*t++);
	return false;
}

static inline bool slow_star(const struct slow *s, const char *p, const char *t)
{
	size_t n = strspn(p, "*");

	if (n == 2 && (p == s->start || p[-1] == s->sep) && (p[2] == '\0' || p[2] == s->sep))
		return slow_component(s, p, t);
	for (;; t++) {
		if (slow_plain(s, p + n, t))
			return true;
		if (*t == '\0' || *t == s->sep)
			return false;
	}
}

static inline bool slow_plain(const struct slow *s, const char *p, const char *t)
{
	if (*p == '\0')
		return *t == '\0';
	if (*p == '*')
		return slow_star(s, p, t);
	if (*t == '\0')
		return false;
	if (*p == '?')
		return *t != s->sep && slow_plain(s, p + 1, t + 1);
	if (*p == '[')
		return slow_class(&p, *t, s->sep) && slow_plain(s, p, t + 1);
	if (*p == '\\')
		p++;
	return *p == *t && slow_plain(s, p + 1, t + 1);
}

/* Each alternative of the first braces in turn. */
static inline bool slow_match(char sep, const char *pattern, const char *text)
{
	const char *open = strchr(pattern, '{'), *close = open ? strchr(open, '}') : NULL;
	const struct slow s = { sep, pattern };

	if (!open)
		return slow_plain(&s, pattern, text);
	for (const char *from = open + 1; from <= close;) {
		size_t n = strcspn(from, ",}");
		char one[512];

		snprintf(one, sizeof(one), "%.*s%.*s%s", (int)(open - pattern), pattern, (int)n,
			from, close + 1);
		if (slow_match(sep, one, text))
			return true;
		from += n + 1;
	}
	return false;
}
