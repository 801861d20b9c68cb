/* What agents post: what is taken is one rule that loads, prints the same again, and has its notes.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/agentrule.h"
#include "lib/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct agentrules rules;
	struct err err = { 0 };

	if (size > AGENTRULE_BODY_MAX ||
		agentrules_parse(&rules, (const char *)data, size, &err) < 0)
		return 0;
	for (size_t i = 0; i < rules.n; i++) {
		const char *notes[AGENTRULE_NOTES_MAX + 1];
		auto_policy_doc struct policy_doc *d = NULL;
		const char *yaml = rules.list[i].yaml;

		assert(policy_doc_parse(yaml, strlen(yaml), &d, NULL) == 0);
		assert(d->network_policies.n == 1 && !d->filesystem_policy.head.is_set);
		agentrule_notes(d, notes);
	}
	agentrules_done(&rules);
	return 0;
}
