#include "lib/policy_findings.h"

#include <errno.h>
#include <stdarg.h>
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

/* Grows by doubling: there is room whenever n is no power of two. */
static struct policy_finding *add(struct policy_findings *f)
{
	struct policy_finding *grown;

	if (f->n == POLICY_FINDINGS_MAX)
		return NULL;
	if ((f->n & (f->n - 1)) == 0) {
		grown = realloc(f->list, (f->n ? f->n * 2 : 1) * sizeof(*grown));
		if (!grown)
			return NULL;
		f->list = grown;
	}
	f->list[f->n] = (struct policy_finding){ 0 };
	return &f->list[f->n];
}

void policy_finding(struct policy_findings *f, enum policy_severity severity, struct yaml_pos pos,
	const struct doc_path *path, const char *fmt, ...)
{
	char field[FIELD_MAX], text[TEXT_MAX];
	struct policy_finding *p;
	va_list ap;

	if (!f)
		return;
	f->n_errors += severity == POLICY_ERROR;
	p = add(f);
	if (!p)
		return;
	doc_path_format(path, field, sizeof(field));
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->severity = severity;
	p->line = pos.line;
	p->column = pos.column;
	p->field = strdup(field);
	p->text = strdup(text);
	if (p->field && p->text) {
		f->n++;
		return;
	}
	free(p->field);
	free(p->text);
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
	for (size_t i = 0; i < f->n; i++) {
		free(f->list[i].field);
		free(f->list[i].text);
	}
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
