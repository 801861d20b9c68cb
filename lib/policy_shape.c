#include "lib/policy_shape.h"

#include <string.h>

#include "lib/str.h"

bool doc_field_is_set(const struct doc_field *f, const void *value)
{
	switch (f->kind) {
	case DOC_FIELD_STR:
		return ((const struct doc_str *)value)->text != NULL;
	case DOC_FIELD_BOOL:
		return ((const struct doc_bool *)value)->is_set;
	case DOC_FIELD_INT:
		return ((const struct doc_int *)value)->is_set;
	case DOC_FIELD_SECTION:
	case DOC_FIELD_MATCHER:
		return ((const struct doc_head *)value)->is_set;
	default:
		return ((const struct doc_any_list *)value)->is_set;
	}
}

static bool strs_equal(const struct doc_strs *a, const struct doc_strs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!str_eq(a->list[i].text, b->list[i].text))
			return false;
	return true;
}

static bool ints_equal(const struct doc_ints *a, const struct doc_ints *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->list[i].value != b->list[i].value)
			return false;
	return true;
}

static bool matcher_equal(const struct doc_matcher *a, const struct doc_matcher *b)
{
	return a->is_any == b->is_any && strs_equal(&a->values, &b->values);
}

static bool matchers_equal(const struct doc_matchers *a, const struct doc_matchers *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		bool is_there = false;

		for (size_t j = 0; j < b->n && !is_there; j++)
			is_there = str_eq(a->list[i].head.key.text, b->list[j].head.key.text) &&
				   matcher_equal(&a->list[i], &b->list[j]);
		if (!is_there)
			return false;
	}
	return true;
}

static bool list_equal(
	const struct doc_shape *sub, const struct doc_any_list *a, const struct doc_any_list *b)
{
	const char *x = a->list, *y = b->list;

	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!doc_equal(sub, x + i * sub->size, y + i * sub->size))
			return false;
	return true;
}

static bool map_equal(
	const struct doc_shape *sub, const struct doc_any_list *a, const struct doc_any_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct doc_head *x = (const void *)((const char *)a->list + i * sub->size);
		bool is_there = false;

		for (size_t j = 0; j < b->n && !is_there; j++) {
			const struct doc_head *y =
				(const void *)((const char *)b->list + j * sub->size);

			is_there = str_eq(x->key.text, y->key.text) && doc_equal(sub, x, y);
		}
		if (!is_there)
			return false;
	}
	return true;
}

bool doc_field_equal(const struct doc_field *f, const void *a, const void *b)
{
	if (doc_field_is_set(f, a) != doc_field_is_set(f, b))
		return false;
	switch (f->kind) {
	case DOC_FIELD_STR:
		return str_eq(((const struct doc_str *)a)->text, ((const struct doc_str *)b)->text);
	case DOC_FIELD_BOOL:
		return ((const struct doc_bool *)a)->value == ((const struct doc_bool *)b)->value;
	case DOC_FIELD_INT:
		return ((const struct doc_int *)a)->value == ((const struct doc_int *)b)->value;
	case DOC_FIELD_STRS:
		return strs_equal(a, b);
	case DOC_FIELD_INTS:
		return ints_equal(a, b);
	case DOC_FIELD_SECTION:
		return doc_equal(f->sub, a, b);
	case DOC_FIELD_LIST:
		return list_equal(f->sub, a, b);
	case DOC_FIELD_MAP:
		return map_equal(f->sub, a, b);
	case DOC_FIELD_MATCHER:
		return matcher_equal(a, b);
	case DOC_FIELD_MATCHERS:
		return matchers_equal(a, b);
	}
	return false;
}

bool doc_equal(const struct doc_shape *shape, const void *a, const void *b)
{
	for (const struct doc_field *f = shape->fields; f->name; f++)
		if (!doc_field_equal(f, (const char *)a + f->offset, (const char *)b + f->offset))
			return false;
	return true;
}
