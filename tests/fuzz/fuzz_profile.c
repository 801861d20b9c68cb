/* A profile of an agent, and the policy that becomes of it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_paths(char **list)
{
	for (; list && *list; list++)
		assert((*list)[0] && (*list)[0] != '/' && strcmp(*list, "..") != 0 && !strstr(*list, "/../"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct profile p = { 0 };
	struct err err = { 0 };
	char *policy;

	if (profile_parse(&p, (const char *)data, size, &err) < 0) {
		assert(err.text[0] && !p.name);
		return 0;
	}
	assert(p.name && p.policy && strlen(p.policy) <= size);
	check_paths(p.home_rw);
	check_paths(p.home_ro);
	check_paths(p.protect);
	(void)profile_is_for(&p, "claude");
	policy = profile_policy(&p, "/usr/bin/a\"b", "/opt/\\");
	assert(!policy || !strstr(policy, "${agent}"));
	free(policy);
	profile_done(&p);
	return 0;
}
