/* ELF files that the workload wrote: symbols for the reader of a log, unwind tables for the
 * unwinder. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/elfsym.h"
#include "tracer/ehframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
	const uint8_t *data;
	size_t size;
};

static int read_memory(void *arg, uint64_t addr, void *out, size_t len)
{
	const struct memory *m = arg;

	if (addr > m->size || len > m->size - addr)
		return -EFAULT;
	memcpy(out, m->data + addr, len);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ehframe_entry entries[EHFRAME_ENTRIES_MAX];
	struct memory m = { data, size };
	struct elfsym *s = NULL;
	uint64_t addr, len, into;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	if (elfsym_load(&s, fd) == 0)
		for (addr = 0; addr < 64; addr++)
			(void)elfsym_find(s, addr << addr % 32, &into);
	elfsym_free(s);
	if (ehframe_find(fd, &addr, &len) == 0)
		(void)ehframe_index(read_memory, &m, addr, len, entries);
	assert(ehframe_index(read_memory, &m, 0, size, entries) <= size / 8 + 1);
	(void)close(fd);
	return 0;
}
