/* YAML: a tree that was accepted can be walked, and every node knows its place. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int n_errors;

static void on_error(void *opaque, struct yaml_pos pos, const char *text)
{
	(void)opaque;
	(void)pos;
	assert(text[0]);
	n_errors++;
}

static size_t walk(const struct yaml_node *n)
{
	size_t weight = 1;

	assert(n->pos.line && n->pos.column);
	if (n->type == YAML_SCALAR)
		assert(strlen(n->text) == n->n && yaml_kind_name(n));
	for (uint32_t i = 0; n->type == YAML_LIST && i < n->n; i++)
		weight += walk(n->list[i]);
	for (uint32_t i = 0; n->type == YAML_MAP && i < n->n; i++)
		weight += walk(n->map[i].key) + walk(n->map[i].value);
	assert(weight == n->weight);
	return weight;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct yaml_node *root = NULL;
	auto_arena struct arena a;
	int r;

	n_errors = 0;
	arena_init(&a, 64 << 20);
	r = yaml_load(&a, (const char *)data, size, on_error, NULL, &root);
	if (r == 0 && root)
		assert(walk(root) <= YAML_NODES_MAX);
	assert(r == 0 ? n_errors == 0 : !root);
	return 0;
}
