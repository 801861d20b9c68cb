/* Bodies and messages; a document that is accepted names at least no field twice, in order. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/graphql.h"

static void check(const struct graphql_facts *f)
{
	assert(!f->error || (!f->n_ops && !f->is_control));
	for (size_t i = 0; i < f->n_ops; i++) {
		for (size_t j = 1; j < f->ops[i].n_fields; j++)
			assert(strcmp(f->ops[i].fields[j - 1], f->ops[i].fields[j]) < 0);
	}
}

static void try_document(const char *text, size_t size)
{
	auto_graphql struct graphql *g = NULL;
	char copy[4096];
	struct query_param q = { .name = "query", .value = copy };

	if (size >= sizeof(copy))
		return;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (graphql_parse_request("GET", &q, 1, NULL, 0, "", 0, &g) == 0)
		check(graphql_facts(g));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_graphql struct graphql *body = NULL, *message = NULL;
	const char *text = (const char *)data;

	if (graphql_parse_body(text, size, &body) == 0)
		check(graphql_facts(body));
	if (graphql_parse_message(text, size, &message) == 0)
		check(graphql_facts(message));
	try_document(text, size);
	return 0;
}
