/*
 * Where the running program lies, so that a build tree, and a copy that was moved, find what belongs
 * to them.
 */
#pragma once

#include <stddef.h>

/*
 * The program's own path (links resolved), or with @beside that name in the directory it lies in:
 * "openshell-init", "../share/openshell". 0, -ENAMETOOLONG, or what readlink(2) says.
 */
int self_path(char *out, size_t size, const char *beside);
