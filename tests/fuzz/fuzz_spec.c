/* metadata.json and the values of a sandbox: whatever is accepted survives the round trip. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/spec.h"
#include "lib/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_values(const char *text)
{
	struct err err = { 0 };

	(void)spec_env_check(text, &err);
	(void)spec_label_check(text, &err);
	(void)spec_connect_to_check(text, &err);
	(void)state_name_check(text, &err);
	if (spec_selector_check(text, &err) == 0)
		(void)spec_selector_matches(text, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_spec struct sandbox_spec s = { 0 }, again = { 0 };
	auto_free char *json = NULL, *second = NULL, *text = strndup((const char *)data, size);

	if (text)
		check_values(text);
	if (spec_from_json(&s, (const char *)data, size, NULL) < 0)
		return 0;
	json = spec_to_json(&s);
	assert(json);
	assert(spec_from_json(&again, json, strlen(json), NULL) == 0);
	second = spec_to_json(&again);
	assert(second && strcmp(json, second) == 0);
	return 0;
}
