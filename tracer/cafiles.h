/*
 * The certificates a sandbox trusts: what the host trusts, and its own CA besides.
 */
#pragma once

#include "lib/err.h"

#define CAFILES_CA     "ca.pem"
#define CAFILES_BUNDLE "ca-bundle.pem"

/* Makes the two files, empty, in the runtime directory: they are mounted before their content is
 * known. 0 or -errno with text. */
int cafiles_make(int runtime_dir, struct err *err);
/*
 * Fills them: the sandbox's CA @pem; and the host's bundle, the roots in the file @extra
 * (--upstream-ca, NULL: none), which servers that are not inspected may show, and @pem.
 */
int cafiles_fill(int runtime_dir, const char *extra, const char *pem, struct err *err);
