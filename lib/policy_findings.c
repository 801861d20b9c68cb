#include "lib/policy_findings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

enum { FIELD_MAX = 512, TEXT_MAX = 1024 };

void doc_path_format(const struct doc_path *path, char *out, size_t size)
{
	size_t at;

	if (!path) {
		out[0] = '\0';
		return;
	}
	doc_path_format(path->up, out, size);
	at = strlen(out);
	if (path->name)
		(void)snprintf(out + at, size - at, "%s%s", at ? "." : "", path->name);
	else
		(void)snprintf(out + at, size - at, "[%zu]", path->index);
}

static void finding_done(struct policy_finding *p)
{
	free(p->field);
	free(p->text);
}

/* Grows by doubling: there is room whenever n is no power of two. */
static bool grow(struct policy_findings *f)
{
	struct policy_finding *grown;

	if ((f->n & (f->n - 1)) != 0)
		return true;
	grown = realloc(f->list, (f->n ? f->n * 2 : 1) * sizeof(*grown));
	if (!grown)
		return false;
	f->list = grown;
	return true;
}

/* Where the next finding goes. Once all places are taken, an error takes that of a warning. */
static struct policy_finding *make_place(struct policy_findings *f, enum policy_severity severity)
{
	if (f->n < POLICY_FINDINGS_MAX)
		return grow(f) ? &f->list[f->n++] : NULL;
	for (size_t i = f->n; severity == POLICY_ERROR && i > 0; i--) {
		if (f->list[i - 1].severity != POLICY_WARNING)
			continue;
		finding_done(&f->list[i - 1]);
		return &f->list[i - 1];
	}
	return NULL;
}

static bool format(
	struct policy_finding *ret, const struct doc_path *path, const char *fmt, va_list ap)
{
	char field[FIELD_MAX], text[TEXT_MAX];

	doc_path_format(path, field, sizeof(field));
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	ret->field = strdup(field);
	ret->text = strdup(text);
	return ret->field && ret->text;
}

static bool is_wanted(const struct policy_findings *f, enum policy_severity severity)
{
	return f->n < POLICY_FINDINGS_MAX ||
	       (severity == POLICY_ERROR && f->n_errors <= POLICY_FINDINGS_MAX);
}

void policy_finding(struct policy_findings *f, enum policy_severity severity, struct yaml_pos pos,
	const struct doc_path *path, const char *fmt, ...)
{
	struct policy_finding new = {
		.severity = severity, .line = pos.line, .column = pos.column
	};
	struct policy_finding *place = NULL;
	va_list ap;

	if (!f)
		return;
	f->n_errors += severity == POLICY_ERROR;
	if (!is_wanted(f, severity))
		return;
	va_start(ap, fmt);
	if (format(&new, path, fmt, ap))
		place = make_place(f, severity);
	va_end(ap);
	if (place)
		*place = new;
	else
		finding_done(&new);
}

/* Insertion: at most POLICY_FINDINGS_MAX, nearly in order already. */
void policy_findings_sort(struct policy_findings *f)
{
	for (size_t i = 1; f && i < f->n; i++) {
		struct policy_finding p = f->list[i];
		size_t j = i;

		for (; j > 0; j--) {
			const struct policy_finding *q = &f->list[j - 1];

			if (q->line < p.line || (q->line == p.line && q->column <= p.column))
				break;
			f->list[j] = f->list[j - 1];
		}
		f->list[j] = p;
	}
}

void policy_findings_done(struct policy_findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		finding_done(&f->list[i]);
	free(f->list);
	*f = (struct policy_findings){ 0 };
}

void policy_findings_to_err(const struct policy_findings *f, const char *file, struct err *err)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct policy_finding *p = &f->list[i];

		if (p->severity != POLICY_ERROR)
			continue;
		(void)err_set(err, -EINVAL, "%s:%u:%u: %s%s%s", file, p->line, p->column, p->field,
			p->field[0] ? ": " : "", p->text);
		return;
	}
	(void)err_set(err, -EINVAL, "%s: the policy could not be read", file);
}
