#include "lib/elfsym.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"

enum { UNSIZED_MAX = 65536 }; /* how far a function of no stated length reaches at most */

struct function {
	uint64_t addr, size;
	uint32_t name;
};

struct elfsym {
	struct function *list; /* sorted by address */
	size_t n;
	char *names; /* ends with a NUL */
};

static bool read_at(int fd, uint64_t at, void *out, size_t len)
{
	size_t done = 0;

	while (at <= INT64_MAX - len && done < len) {
		ssize_t n = pread(fd, (char *)out + done, len - done, (off_t)(at + done));

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return done == len;
}

static int read_sections(int fd, Elf64_Shdr **ret, size_t *ret_n)
{
	auto_free Elf64_Shdr *list = NULL;
	Elf64_Ehdr eh;

	if (!read_at(fd, 0, &eh, sizeof(eh)) || memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 ||
		eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
		eh.e_shentsize != sizeof(*list) || eh.e_shnum > ELFSYM_SECTIONS_MAX)
		return -EINVAL;
	if (!eh.e_shnum)
		return -ENOENT;
	list = calloc(eh.e_shnum, sizeof(*list));
	if (!list)
		return -ENOMEM;
	if (!read_at(fd, eh.e_shoff, list, eh.e_shnum * sizeof(*list)))
		return -EINVAL;
	*ret_n = eh.e_shnum;
	*ret = take_ptr(list);
	return 0;
}

static const Elf64_Shdr *section_of(const Elf64_Shdr *list, size_t n, uint32_t type)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].sh_type == type && list[i].sh_entsize == sizeof(Elf64_Sym) &&
			list[i].sh_size <= ELFSYM_TABLE_MAX && list[i].sh_link < n &&
			list[list[i].sh_link].sh_size <= ELFSYM_TABLE_MAX)
			return &list[i];
	return NULL;
}

static bool is_function(const Elf64_Sym *s, size_t names_size)
{
	int type = ELF64_ST_TYPE(s->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) && s->st_shndx != SHN_UNDEF &&
	       s->st_name && s->st_name < names_size;
}

/* The longer one first where two begin at the same place: an alias of no length loses. */
static int compare(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x->name < y->name ? -1 : x->name > y->name;
}

static int keep_functions(struct elfsym *s, const Elf64_Sym *syms, size_t n, size_t names_size)
{
	s->list = calloc(n + 1, sizeof(*s->list));
	if (!s->list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (is_function(&syms[i], names_size))
			s->list[s->n++] = (struct function){ .addr = syms[i].st_value,
				.size = syms[i].st_size,
				.name = syms[i].st_name };
	qsort(s->list, s->n, sizeof(*s->list), compare);
	return s->n ? 0 : -ENOENT;
}

static int load(struct elfsym *s, int fd, const Elf64_Shdr *table, const Elf64_Shdr *names)
{
	auto_free Elf64_Sym *syms = calloc(1, table->sh_size + 1);

	s->names = malloc(names->sh_size + 1);
	if (!syms || !s->names)
		return -ENOMEM;
	if (!read_at(fd, table->sh_offset, syms, table->sh_size) ||
		!read_at(fd, names->sh_offset, s->names, names->sh_size))
		return -EINVAL;
	s->names[names->sh_size] = '\0';
	return keep_functions(s, syms, table->sh_size / sizeof(*syms), names->sh_size);
}

int elfsym_load(struct elfsym **ret, int fd)
{
	auto_free Elf64_Shdr *sections = NULL;
	const Elf64_Shdr *table;
	struct elfsym *s;
	size_t n = 0;
	int r = read_sections(fd, &sections, &n);

	if (r < 0)
		return r;
	table = section_of(sections, n, SHT_SYMTAB);
	if (!table)
		table = section_of(sections, n, SHT_DYNSYM);
	if (!table)
		return -ENOENT;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = load(s, fd, table, &sections[table->sh_link]);
	if (r < 0)
		elfsym_free(s);
	else
		*ret = s;
	return r;
}

void elfsym_free(struct elfsym *s)
{
	if (!s)
		return;
	free(s->list);
	free(s->names);
	free(s);
}

/* The number of functions that begin at @addr or below. */
static size_t count_up_to(const struct elfsym *s, uint64_t addr)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->list[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Functions of no stated length (hand-written ones) reach up to the next, but not far. */
const char *elfsym_find(const struct elfsym *s, uint64_t addr, uint64_t *ret_into)
{
	size_t i = count_up_to(s, addr);

	if (!i)
		return NULL;
	i--;
	while (i && s->list[i - 1].addr == s->list[i].addr)
		i--;
	if (addr - s->list[i].addr >= (s->list[i].size ? s->list[i].size : UNSIZED_MAX))
		return NULL;
	*ret_into = addr - s->list[i].addr;
	return s->names + s->list[i].name;
}
