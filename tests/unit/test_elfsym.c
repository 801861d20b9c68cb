/* Symbols and unwind tables of ELF files: this very program's, and damaged copies of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/elfsym.h"
#include "lib/fd.h"
#include "tracer/ehframe.h"

void a_function_with_a_name(void **state);

/* What to take off an address of this program to get the file's. */
static uint64_t bias(void)
{
	return _r_debug.r_map->l_addr;
}

static int open_self(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

void a_function_with_a_name(void **state)
{
	auto_close int fd = open_self();
	struct elfsym *s = NULL;
	uint64_t into = 0;
	uint64_t addr = (uintptr_t)a_function_with_a_name - bias();

	(void)state;
	assert_int_equal(elfsym_load(&s, fd), 0);
	assert_string_equal(elfsym_find(s, addr, &into), "a_function_with_a_name");
	assert_true(into == 0);
	assert_string_equal(elfsym_find(s, addr + 3, &into), "a_function_with_a_name");
	assert_true(into == 3);
	elfsym_free(s);
}

static void outside_of_any_function_is_no_name(void **state)
{
	auto_close int fd = open_self();
	struct elfsym *s = NULL;
	uint64_t into;

	(void)state;
	assert_int_equal(elfsym_load(&s, fd), 0);
	assert_null(elfsym_find(s, 0, &into));
	assert_null(elfsym_find(s, UINT64_MAX, &into));
	elfsym_free(s);
}

static void what_is_no_elf_has_no_symbols(void **state)
{
	auto_close int fd = memfd_create("x", MFD_CLOEXEC), empty = memfd_create("y", MFD_CLOEXEC);
	struct elfsym *s = NULL;
	uint64_t addr, size;

	(void)state;
	assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
	assert_int_equal(elfsym_load(&s, fd), -EINVAL);
	assert_int_equal(elfsym_load(&s, empty), -EINVAL);
	assert_int_equal(ehframe_find(fd, &addr, &size), -EINVAL);
	assert_null(s);
}

/* The same file with a table of symbols that claims to be longer, and is: the rest is a hole. */
static bool has_names_with_a_table_of(uint64_t size)
{
	auto_close int self = open_self(), fd = memfd_create("x", MFD_CLOEXEC);
	auto_free char *data = NULL;
	const Elf64_Ehdr *eh;
	struct elfsym *s = NULL;
	Elf64_Shdr *sh;
	uint64_t into;
	bool is_named;
	size_t len = 0;

	assert_int_equal(fd_slurp(self, 64 << 20, &data, &len), 0);
	eh = (const Elf64_Ehdr *)data;
	sh = (Elf64_Shdr *)(data + eh->e_shoff);
	for (unsigned int i = 0; i < eh->e_shnum; i++) {
		if (sh[i].sh_type != SHT_SYMTAB && sh[i].sh_type != SHT_DYNSYM)
			continue;
		assert_true(sh[i].sh_size < size);
		sh[i].sh_size = size;
	}
	assert_int_equal(fd_write_all(fd, data, len), 0);
	assert_int_equal(ftruncate(fd, 512 << 20), 0);
	(void)elfsym_load(&s, fd);
	is_named = s && elfsym_find(s, (uintptr_t)a_function_with_a_name - bias(), &into);
	elfsym_free(s);
	return is_named;
}

static void a_table_beyond_the_limit_gives_no_names(void **state)
{
	(void)state;
	assert_true(has_names_with_a_table_of(ELFSYM_TABLE_MAX / 8));
	assert_false(has_names_with_a_table_of(ELFSYM_TABLE_MAX + sizeof(Elf64_Sym)));
}

/* Every byte of the headers in turn, and the file's end in many places: no crash, under ASan no
 * overrun. */
static void damaged_files_do_no_harm(void **state)
{
	auto_close int self = open_self(), fd = memfd_create("x", MFD_CLOEXEC);
	auto_free char *data = NULL;
	const Elf64_Ehdr *eh;
	size_t len = 0;

	(void)state;
	assert_int_equal(fd_slurp(self, 64 << 20, &data, &len), 0);
	eh = (const Elf64_Ehdr *)data;
	assert_int_equal(fd_write_all(fd, data, len), 0);
	for (size_t i = 0; i < 64 + 40 * sizeof(Elf64_Shdr); i++) {
		const size_t at = i < 64 ? i : eh->e_shoff + i - 64;
		struct elfsym *s = NULL;
		uint64_t addr, size;
		const char flipped = (char)~data[at];

		if (at >= len)
			break;
		assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
		if (elfsym_load(&s, fd) == 0)
			(void)elfsym_find(s, 0x1234, &addr);
		elfsym_free(s);
		(void)ehframe_find(fd, &addr, &size);
		assert_int_equal(pwrite(fd, data + at, 1, (off_t)at), 1);
	}
}

static int read_self(void *arg, uint64_t addr, void *out, size_t len)
{
	(void)arg;
	memcpy(out, (const void *)(uintptr_t)addr, len);
	return 0;
}

/* Our table against the linker's: the same functions at the same places. */
static void index_agrees_with_the_linkers(void **state)
{
	static struct ehframe_entry list[EHFRAME_ENTRIES_MAX];
	auto_close int fd = open_self();
	uint64_t addr = 0, size = 0;
	const int64_t wanted = (int64_t)(uintptr_t)index_agrees_with_the_linkers;
	bool is_found = false;
	size_t n;

	(void)state;
	assert_int_equal(ehframe_find(fd, &addr, &size), 0);
	addr += bias();
	n = ehframe_index(read_self, NULL, addr, size, list);
	assert_true(n > 20);
	for (size_t i = 0; i < n; i++) {
		is_found = is_found || (int64_t)addr + list[i].start == wanted;
		assert_true(i == 0 || list[i - 1].start <= list[i].start);
		assert_true(list[i].fde >= 0 && (uint64_t)list[i].fde < size);
	}
	assert_true(is_found);
}

static int read_noise(void *arg, uint64_t addr, void *out, size_t len)
{
	uint32_t *seed = arg;

	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)((*seed = *seed * 1103515245 + 12345) >> 16) &
				      (addr % 3 ? 0x1f : 0xff);
	return addr > 1 << 20 ? -EFAULT : 0;
}

static void noise_is_indexed_within_bounds(void **state)
{
	static struct ehframe_entry list[EHFRAME_ENTRIES_MAX];

	(void)state;
	for (uint32_t seed = 0; seed < 2000; seed++) {
		uint32_t s = seed;

		assert_true(ehframe_index(read_noise, &s, 4096 + seed % 64, UINT64_MAX - seed,
				    list) <= EHFRAME_ENTRIES_MAX);
	}
}

/* One CIE ("zR", relative to itself, 32 bits), and so many functions of 16 bytes behind the section. */
enum { CIE_SIZE = 20, FDE_SIZE = 20, MADE_AT = 4096 };

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static int read_made(void *arg, uint64_t addr, void *out, size_t len)
{
	static const uint8_t cie[CIE_SIZE] = { 16, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16,
		1, 0x1b };
	const uint64_t size = *(const uint64_t *)arg;
	uint8_t *to = out;

	addr -= MADE_AT;
	if (addr + len > size)
		return -EFAULT;
	for (size_t i = 0; i < len; i++) {
		const uint64_t at = addr + i;
		const uint32_t n = at < CIE_SIZE ? 0 : (uint32_t)((at - CIE_SIZE) / FDE_SIZE);
		const uint32_t begin = CIE_SIZE + n * FDE_SIZE;
		uint8_t fde[FDE_SIZE] = { 0 };

		if (at < CIE_SIZE) {
			to[i] = cie[at];
			continue;
		}
		(void)put_u32(put_u32(put_u32(put_u32(fde, FDE_SIZE - 4), begin + 4),
				      (uint32_t)size + 16 * n - (begin + 8)),
			16);
		to[i] = fde[at - begin];
	}
	return 0;
}

static void functions_beyond_the_limit_are_left_out(void **state)
{
	static struct ehframe_entry list[EHFRAME_ENTRIES_MAX];
	static const uint64_t counts[] = { EHFRAME_ENTRIES_MAX - 1, EHFRAME_ENTRIES_MAX, EHFRAME_ENTRIES_MAX + 1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		uint64_t size = CIE_SIZE + counts[i] * FDE_SIZE;
		size_t n = ehframe_index(read_made, &size, MADE_AT, size, list);

		assert_int_equal(n, counts[i] < EHFRAME_ENTRIES_MAX ? counts[i] : EHFRAME_ENTRIES_MAX);
		for (size_t k = 0; k < n; k++) {
			assert_int_equal(list[k].start, size + 16 * k);
			assert_int_equal(list[k].fde, CIE_SIZE + k * FDE_SIZE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_with_a_name),
		cmocka_unit_test(outside_of_any_function_is_no_name),
		cmocka_unit_test(what_is_no_elf_has_no_symbols),
		cmocka_unit_test(damaged_files_do_no_harm),
		cmocka_unit_test(a_table_beyond_the_limit_gives_no_names),
		cmocka_unit_test(index_agrees_with_the_linkers),
		cmocka_unit_test(noise_is_indexed_within_bounds),
		cmocka_unit_test(functions_beyond_the_limit_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
