#include "lib/stack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

static const char *const by_names[] = {
	[STACK_NONE] = "none", [STACK_PRELOAD] = "preload", [STACK_PTRACE] = "ptrace"
};

const char *stack_by_name(enum stack_by by)
{
	return by < ARRAY_SIZE(by_names) ? by_names[by] : "none";
}

int stack_add_module(struct stack *s, const char *path, uint64_t fingerprint)
{
	struct stack_module *m = &s->modules[s->n_modules];

	for (unsigned int i = 0; i < s->n_modules; i++)
		if (s->modules[i].fingerprint == fingerprint &&
			strncmp(s->modules[i].path, path, STACK_PATH_MAX - 1) == 0)
			return (int)i;
	if (s->n_modules >= STACK_MODULES_MAX)
		return -ENOSPC;
	m->fingerprint = strlen(path) < STACK_PATH_MAX ? fingerprint : 0;
	(void)snprintf(m->path, sizeof(m->path), "%s", path);
	return (int)s->n_modules++;
}

int stack_add_frame(struct stack *s, unsigned int module, uint64_t offset)
{
	if (s->n_frames >= STACK_FRAMES_MAX)
		return -ENOSPC;
	s->frames[s->n_frames++] = (struct stack_frame){ .module = module, .offset = offset };
	return 0;
}

/* Text. */

static size_t module_length(const struct stack_module *m)
{
	return strlen(m->path) + sizeof("0123456789abcdef \n");
}

static size_t print_frames(const struct stack *s, unsigned int n, char *out, size_t size)
{
	size_t at = (size_t)snprintf(out, size, "by=%s ", stack_by_name(s->by));

	for (unsigned int i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%" PRIu32 "+%" PRIx64, i ? "," : "",
			s->frames[i].module, s->frames[i].offset);
	return at;
}

/* How many frames fit together with the modules they are in, which are numbered as they come. */
static unsigned int frames_that_fit(const struct stack *s, unsigned int *ret_modules)
{
	size_t left = STACK_TEXT_MAX - sizeof("by=preload ");
	unsigned int n, modules = 0;

	for (n = 0; n < s->n_frames; n++) {
		const struct stack_frame *f = &s->frames[n];
		size_t need = sizeof("31+0123456789abcdef,");

		if (f->module >= modules)
			need += module_length(&s->modules[f->module]);
		if (need > left || f->module > modules)
			break;
		left -= need;
		modules += f->module >= modules;
	}
	*ret_modules = modules;
	return n;
}

void stack_format(const struct stack *s, char out[STACK_TEXT_MAX + 1])
{
	unsigned int modules, n = frames_that_fit(s, &modules);
	size_t at;

	if (s->by == STACK_NONE) {
		(void)snprintf(out, STACK_TEXT_MAX + 1, "by=none %s", s->reason);
		return;
	}
	at = print_frames(s, n, out, STACK_TEXT_MAX + 1);
	for (unsigned int i = 0; i < modules; i++)
		at += (size_t)snprintf(out + at, STACK_TEXT_MAX + 1 - at, "\n%" PRIx64 " %s",
			s->modules[i].fingerprint, s->modules[i].path);
}

/* A hexadecimal or decimal number without sign or blanks; NULL when there is none. */
static const char *number(const char *p, int base, uint64_t *ret)
{
	char *end;

	if (!strchr("0123456789abcdef", *p) || !*p)
		return NULL;
	errno = 0;
	*ret = strtoull(p, &end, base);
	return errno ? NULL : end;
}

static const char *parse_frames(const char *p, struct stack *s)
{
	while (*p && *p != '\n') {
		uint64_t module, offset;

		p = number(p, 10, &module);
		if (!p || *p != '+' || module >= STACK_MODULES_MAX)
			return NULL;
		p = number(p + 1, 16, &offset);
		if (!p || stack_add_frame(s, (unsigned int)module, offset) < 0)
			return NULL;
		p += *p == ',';
	}
	return p;
}

static const char *parse_module(const char *p, struct stack *s)
{
	struct stack_module *m = &s->modules[s->n_modules];
	size_t n;

	if (s->n_modules >= STACK_MODULES_MAX)
		return NULL;
	p = number(p, 16, &m->fingerprint);
	if (!p || *p != ' ')
		return NULL;
	n = strcspn(++p, "\n");
	if (n >= sizeof(m->path))
		return NULL;
	memcpy(m->path, p, n);
	m->path[n] = '\0';
	s->n_modules++;
	return p + n;
}

static bool frames_have_modules(const struct stack *s)
{
	for (unsigned int i = 0; i < s->n_frames; i++)
		if (s->frames[i].module >= s->n_modules)
			return false;
	return true;
}

static int parse(const char *p, struct stack *s)
{
	size_t n;

	if (!str_starts(p, "by="))
		return -EINVAL;
	p += strlen("by=");
	n = strcspn(p, " ");
	for (s->by = STACK_PRELOAD; s->by < ARRAY_SIZE(by_names); s->by++)
		if (strlen(by_names[s->by]) == n && memcmp(by_names[s->by], p, n) == 0)
			break;
	if (s->by >= ARRAY_SIZE(by_names) || p[n] != ' ')
		return -EINVAL;
	p = parse_frames(p + n + 1, s);
	while (p && *p == '\n')
		p = parse_module(p + 1, s);
	return p && !*p && frames_have_modules(s) ? 0 : -EINVAL;
}

int stack_parse(const char *text, struct stack *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	if (str_starts(text, "by=none ")) {
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s", text + strlen("by=none "));
		return 0;
	}
	r = parse(text, ret);
	if (r < 0)
		*ret = (struct stack){ .reason = "the log's text of it is malformed" };
	return r;
}

/* FNV-1a. Not against forgery: who can replace the file can keep its head, too. */
uint64_t stack_fingerprint(const uint8_t head[STACK_HEAD_SIZE])
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < STACK_HEAD_SIZE; i++)
		h = (h ^ head[i]) * 1099511628211u;
	return h ? h : 1;
}
