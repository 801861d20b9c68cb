/*
 * The code that asked, in a few words: of a logged stack the innermost function that is not the C
 * library's; evidence.c puts it beside what was asked for.
 *
 * The same call gives the same stack again and again, so each different one is looked up once.
 */
#pragma once

struct askers;

enum { ASKERS_MAX = 4096 }; /* different stacks remembered; beyond: no words */

/* @home as for symbols_new(): borrowed, negative when there is none. NULL when out of memory. */
struct askers *askers_new(int home);
/* NULL is fine. */
void askers_free(struct askers *a);

/*
 * "connect_to_host in curl", "curl+0x1b2f" where the function has no name; escaped, and lives as
 * long as @a. @stack is as lib/stack.h writes it and may be anything. NULL where there is nothing
 * to say.
 */
const char *askers_name(struct askers *a, const char *stack);
