/* Bodies, in both modes: what is not an error has a method for each call. */
#include <assert.h>
#include <stdint.h>

#include "lib/jsonrpc.h"

static void try_mode(const char *text, size_t size, bool is_mcp)
{
	struct jsonrpc_options opt = { .is_mcp = is_mcp, .strict_tool_names = is_mcp };
	auto_jsonrpc struct jsonrpc *j = NULL;
	const struct jsonrpc_facts *f;

	if (jsonrpc_parse(&opt, text, size, &j) < 0)
		return;
	f = jsonrpc_facts(j);
	assert(!f->error || (!f->n_calls && !f->has_response));
	assert(f->error || f->n_calls || f->has_response);
	for (size_t i = 0; i < f->n_calls; i++)
		assert(f->calls[i].method);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_mode((const char *)data, size, false);
	try_mode((const char *)data, size, true);
	return 0;
}
