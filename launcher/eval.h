/*
 * "What would be decided?": one question as JSON, one answer as JSON (cli.md, policy eval). The
 * parsers and the decision are those of the proxy and the supervisor.
 */
#pragma once

#include <jansson.h>

#include "lib/policy.h"

enum { EVAL_ADDRS_MAX = 64, EVAL_ANCESTORS_MAX = 64, EVAL_BODY_MAX = 16 * 1024 * 1024 };

/*
 * Answers @question under @policy. The keys of both are in cli.md; "policy" and "id" are not
 * looked at. Always an object, which the caller releases: with "decision", or with "error" when
 * the question makes no sense; NULL when out of memory.
 */
json_t *eval_question(const struct policy *policy, const json_t *question);
