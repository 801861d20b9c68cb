/*
 * A search table for unwind information that came without one.
 *
 * Shared objects and most programs have .eh_frame_hdr, a sorted table that libunwind can search in
 * the task's memory. Static programs, and those of musl's tools, have only .eh_frame; where that
 * lies the file's section headers say, which are not in memory. So it is gone through once and the
 * table made here, in the same form. File and memory are the workload's: bounded, and believed to
 * be numbers only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	EHFRAME_SECTIONS_MAX = 512,
	EHFRAME_ENTRIES_MAX = 65536,
	EHFRAME_AUGMENTATION_MAX = 8,
};

/* As in .eh_frame_hdr: both relative to the section. */
struct ehframe_entry {
	int32_t start, fde;
};

/* Memory of the task: 0 or -errno. */
typedef int ehframe_read(void *arg, uint64_t addr, void *out, size_t len);

/* Address (as in the file) and size of .eh_frame in the ELF file @fd: 0, -ENOENT, -EINVAL. */
int ehframe_find(int fd, uint64_t *ret_addr, uint64_t *ret_size);

/*
 * Goes through the @size bytes at @addr: the number of entries, sorted by start, in @out, which has
 * room for EHFRAME_ENTRIES_MAX. Ends early at what it does not understand.
 */
size_t ehframe_index(
	ehframe_read *rd, void *arg, uint64_t addr, uint64_t size, struct ehframe_entry *out);
