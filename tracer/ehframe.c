#include "tracer/ehframe.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Pointer encodings of the Linux Standard Base, "DWARF Extensions". */
enum {
	ENC_ABSPTR = 0x00,
	ENC_UDATA4 = 0x03,
	ENC_UDATA8 = 0x04,
	ENC_SDATA4 = 0x0b,
	ENC_SDATA8 = 0x0c,
	ENC_PCREL = 0x10,
	ENC_UNKNOWN = 0xff,
	RECORD_MAX = 4096, /* bytes of a CIE or FDE */
};

/* The file. */

static bool read_file(int fd, uint64_t at, void *out, size_t len)
{
	return at <= INT64_MAX && pread(fd, out, len, (off_t)at) == (ssize_t)len;
}

static bool is_named(int fd, const Elf64_Shdr *names, const Elf64_Shdr *sh, const char *name)
{
	char text[16];
	size_t n = strlen(name) + 1;

	return n <= sizeof(text) && sh->sh_name < names->sh_size &&
	       read_file(fd, names->sh_offset + sh->sh_name, text, n) && memcmp(text, name, n) == 0;
}

int ehframe_find(int fd, uint64_t *ret_addr, uint64_t *ret_size)
{
	Elf64_Shdr names, sh;
	Elf64_Ehdr eh;

	if (!read_file(fd, 0, &eh, sizeof(eh)) || memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 ||
		eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_shentsize != sizeof(sh) ||
		eh.e_shnum > EHFRAME_SECTIONS_MAX || eh.e_shoff > INT64_MAX ||
		!read_file(fd, eh.e_shoff + eh.e_shstrndx * sizeof(sh), &names, sizeof(names)))
		return -EINVAL;
	for (unsigned int i = 0; i < eh.e_shnum; i++) {
		if (!read_file(fd, eh.e_shoff + i * sizeof(sh), &sh, sizeof(sh)))
			return -EINVAL;
		if (sh.sh_type != SHT_PROGBITS || !is_named(fd, &names, &sh, ".eh_frame"))
			continue;
		*ret_addr = sh.sh_addr;
		*ret_size = sh.sh_size;
		return 0;
	}
	return -ENOENT;
}

/* The section. A cursor over one record; what goes past its end fails for good. */
struct cursor {
	const uint8_t *p, *end;
	bool is_bad;
};

static uint8_t take_byte(struct cursor *c)
{
	if (c->p >= c->end) {
		c->is_bad = true;
		return 0;
	}
	return *c->p++;
}

static uint64_t take_leb(struct cursor *c)
{
	uint64_t v = 0;
	uint8_t b;

	for (unsigned int shift = 0;; shift += 7) {
		b = take_byte(c);
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
}

static size_t encoded_size(uint8_t enc)
{
	switch (enc & 0x0f) {
	case ENC_UDATA4:
	case ENC_SDATA4:
		return 4;
	case ENC_ABSPTR:
	case ENC_UDATA8:
	case ENC_SDATA8:
		return 8;
	default:
		return 0;
	}
}

static bool skip_pointer(struct cursor *c, uint8_t enc)
{
	size_t n = encoded_size(enc);

	if (!n || (size_t)(c->end - c->p) < n)
		return false;
	c->p += n;
	return true;
}

/* How the FDEs of this CIE write where they begin. */
static uint8_t cie_encoding(struct cursor *c)
{
	char aug[EHFRAME_AUGMENTATION_MAX + 1];
	uint8_t version = take_byte(c), enc = ENC_ABSPTR;
	size_t n = 0;

	while (n < sizeof(aug) && (aug[n] = (char)take_byte(c)) != '\0')
		n++;
	if (n == sizeof(aug) || (version != 1 && version != 3))
		return ENC_UNKNOWN;
	(void)take_leb(c);
	(void)take_leb(c);
	if (version == 1)
		(void)take_byte(c);
	else
		(void)take_leb(c);
	for (size_t i = 0; i < n && !c->is_bad; i++) {
		if (aug[i] == 'z')
			(void)take_leb(c);
		else if (aug[i] == 'R')
			enc = take_byte(c);
		else if (aug[i] == 'L')
			(void)take_byte(c);
		else if (aug[i] == 'P' ? !skip_pointer(c, take_byte(c))
				       : aug[i] != 'S' && aug[i] != 'B')
			return ENC_UNKNOWN;
	}
	return c->is_bad ? ENC_UNKNOWN : enc;
}

/* Where an FDE's code begins; its pointer stands at @addr. */
static bool fde_start(struct cursor *c, uint8_t enc, uint64_t addr, uint64_t *ret)
{
	size_t n = encoded_size(enc);
	int64_t wide = 0;
	int32_t narrow;

	if (enc == ENC_UNKNOWN || !n || (size_t)(c->end - c->p) < n || (enc & 0xe0) ||
		((enc & 0x10) && enc >> 5))
		return false;
	if (n == 4) {
		memcpy(&narrow, c->p, n);
		wide = (enc & 0x0f) == ENC_UDATA4 ? (int64_t)(uint32_t)narrow : narrow;
	} else {
		memcpy(&wide, c->p, n);
	}
	*ret = (uint64_t)wide + (enc & ENC_PCREL ? addr : 0);
	return true;
}

struct indexer {
	ehframe_read *rd;
	void *arg;
	uint64_t section, size;
	uint64_t cie; /* the last one looked at */
	uint8_t enc;
};

/* The record at @at: its bytes behind the length, or false at the end and at nonsense. */
static bool read_record(
	const struct indexer *x, uint64_t at, uint8_t buf[RECORD_MAX], uint32_t *ret_len)
{
	uint32_t len;

	if (at - x->section + sizeof(len) > x->size || x->rd(x->arg, at, &len, sizeof(len)) < 0)
		return false;
	if (len < 4 || len > x->size - (at - x->section) - sizeof(len))
		return false;
	*ret_len = len;
	return x->rd(x->arg, at + sizeof(len), buf, len < RECORD_MAX ? len : RECORD_MAX) == 0;
}

static uint8_t encoding_of(struct indexer *x, uint64_t cie)
{
	uint8_t buf[RECORD_MAX];
	struct cursor c;
	uint32_t len, id;

	if (cie == x->cie)
		return x->enc;
	x->cie = cie;
	x->enc = ENC_UNKNOWN;
	if (cie < x->section || cie - x->section >= x->size || !read_record(x, cie, buf, &len))
		return x->enc;
	memcpy(&id, buf, sizeof(id));
	c = (struct cursor){ .p = buf + 4, .end = buf + (len < RECORD_MAX ? len : RECORD_MAX) };
	if (id == 0)
		x->enc = cie_encoding(&c);
	return x->enc;
}

static bool add_entry(
	struct indexer *x, uint64_t at, const uint8_t *buf, uint32_t len, struct ehframe_entry *out)
{
	struct cursor c = { .p = buf + 4, .end = buf + (len < RECORD_MAX ? len : RECORD_MAX) };
	uint32_t id;
	uint64_t start;
	int64_t relative;

	memcpy(&id, buf, sizeof(id));
	if (id == 0 || !fde_start(&c, encoding_of(x, at + 4 - id), at + 8, &start))
		return false;
	relative = (int64_t)(start - x->section);
	if (relative < INT32_MIN || relative > INT32_MAX)
		return false;
	*out = (struct ehframe_entry){ .start = (int32_t)relative,
		.fde = (int32_t)(at - x->section) };
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct ehframe_entry *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

size_t ehframe_index(
	ehframe_read *rd, void *arg, uint64_t addr, uint64_t size, struct ehframe_entry *out)
{
	struct indexer x = {
		.rd = rd, .arg = arg, .section = addr, .size = size < INT32_MAX ? size : INT32_MAX
	};
	uint8_t buf[RECORD_MAX];
	uint64_t at = addr;
	uint32_t len;
	size_t n = 0;

	while (n < EHFRAME_ENTRIES_MAX && read_record(&x, at, buf, &len)) {
		n += add_entry(&x, at, buf, len, &out[n]);
		at += sizeof(len) + len;
	}
	qsort(out, n, sizeof(*out), compare);
	return n;
}
