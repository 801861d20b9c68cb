/*
 * Names of functions in an ELF file, from .symtab or, in a stripped one, from .dynsym.
 *
 * The file may have been written by anybody: every offset and size in it is checked before it is
 * used, and what does not fit is left out. 64-bit files of this machine's byte order only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct elfsym;

enum {
	ELFSYM_SECTIONS_MAX = 4096,
	ELFSYM_TABLE_MAX = 128 * 1024 * 1024, /* bytes of symbols, and of names */
};

/* Reads the symbols of @fd (which stays the caller's): 0, -ENOENT when there are none, -EINVAL,
 * -ENOMEM. */
int elfsym_load(struct elfsym **ret, int fd);
void elfsym_free(struct elfsym *s);

/*
 * The function that holds the virtual address @addr, as the file numbers it, and how far into it
 * that is. NULL when no function does. The name lives as long as @s, and may hold any byte.
 */
const char *elfsym_find(const struct elfsym *s, uint64_t addr, uint64_t *ret_into);
