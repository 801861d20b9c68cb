/*
 * Names for the frames of a logged stack, looked up when the log is read.
 *
 * A name is given only from a file that is still the one that was mapped (lib/stack.h's
 * fingerprint). What lay in the sandbox's own home is looked for there; the sandbox's private /tmp
 * is gone with it.
 */
#pragma once

#include "lib/stack.h"

struct symbols;

enum { SYMBOLS_FILES_MAX = 256 }; /* remembered; beyond: no names */

/* @home: the directory that was /sandbox, borrowed; negative when there is none any more. NULL when
 * out of memory. */
struct symbols *symbols_new(int home);
void symbols_free(struct symbols *s);
/* Fills in symbol and into of the frames whose names can be told; they live as long as @s. */
void symbols_resolve(struct symbols *s, struct stack *stack);
