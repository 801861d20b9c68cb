/*
 * Does an --env value look like a secret? A sandbox's environment is readable by everything in it.
 */
#pragma once

#include <stdbool.h>

/* Pure guess about KEY=VALUE: by well-known token shapes, or a telling name with a long value. */
bool credential_is_likely(const char *entry);
