/*
 * A GraphQL document: tokens, syntax, and the root fields of the operation that would run
 * (specification of October 2021, executable documents only). Private to lib/graphql*.c.
 */
#pragma once

#include <stddef.h>

#include "lib/request.h"

struct arena;

enum {
	GRAPHQL_TOKENS_MAX = 20000,
	GRAPHQL_DEPTH_MAX = 128,      /* nested selection sets, lists, objects, types */
	GRAPHQL_OPERATIONS_MAX = 256, /* in one document, fragments likewise */
};

/*
 * Parses @text as a whole and describes the operation called @name (NULL or "": the only one) in
 * @ret: type, name, root fields sorted and without repeats. Strings are the arena's. 0; -EBADMSG
 * and the reason (the arena's or a constant); -ENOMEM.
 */
int graphql_doc_classify(struct arena *arena, const char *text, size_t len, const char *name,
	struct graphql_op *ret, const char **ret_why);
