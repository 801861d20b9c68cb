#include "tracer/unwind.h"

#include <elf.h>
#include <errno.h>
#include <libunwind.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "tracer/ehframe.h"
#include "tracer/maps.h"

/* libunwind exports it and has no header for it; perf(1) uses it the same way. */
#define search_unwind_table UNW_OBJ(dwarf_search_unwind_table)
int search_unwind_table(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *di, unw_proc_info_t *pi,
	int need_unwind_info, void *arg);

enum {
	PAGE = 4096,
	PAGES = 256, /* remembered, by address */
	SEGMENTS_MAX = 64,
	EH_VERSION = 1,
	EH_UDATA4 = 0x03,
	EH_TABLE = 0x3b, /* sorted pairs of 32 bits, relative to the header */
};

struct page {
	uint64_t addr; /* 0: nothing */
	uint8_t bytes[PAGE];
};

/* Where the table we made ourselves seems to lie: no address of a task. */
#define TABLE_AT 0xffff900000000000u

struct target {
	const struct unwind_task *task;
	const char *skipped; /* until a frame that is not */
	uint64_t exe_print;  /* fingerprint of the program; 0: not looked at */
	uint64_t section;    /* where its table belongs to; 0: it has none */
	size_t n_entries;
	struct ehframe_entry entries[EHFRAME_ENTRIES_MAX];
	struct map maps[UNWIND_MAPS_MAX];
	unsigned int n_maps;
	unsigned int n_reads;
	struct {
		uint64_t head, print;
	} prints[STACK_MODULES_MAX]; /* of files seen so far */
	unsigned int n_prints;
	struct page pages[PAGES];
};

/* Where the file that holds an address was loaded. */
struct module {
	const struct map *map;
	uint64_t bias;	   /* what to take off an address to get the file's own */
	uint64_t eh_frame; /* address of .eh_frame_hdr; 0: none */
	uint64_t head;	   /* address of its header; 0: it has none */
};

/* Memory. */

static const uint8_t *page_at(struct target *t, uint64_t addr)
{
	struct page *p = &t->pages[addr / PAGE % PAGES];
	struct iovec here = { .iov_base = p->bytes, .iov_len = PAGE };
	struct iovec there = { .iov_base = (void *)(uintptr_t)addr, .iov_len = PAGE };

	if (p->addr == addr && addr)
		return p->bytes;
	p->addr = 0;
	if (!addr || t->n_reads++ >= UNWIND_PAGES_MAX ||
		process_vm_readv(t->task->tid, &here, 1, &there, 1, 0) != PAGE)
		return NULL;
	p->addr = addr;
	return p->bytes;
}

static int read_memory(struct target *t, uint64_t addr, void *out, size_t len)
{
	uint8_t *at = out;

	if (addr >= TABLE_AT) {
		if (addr - TABLE_AT > sizeof(t->entries) ||
			len > sizeof(t->entries) - (addr - TABLE_AT))
			return -EFAULT;
		memcpy(out, (uint8_t *)t->entries + (addr - TABLE_AT), len);
		return 0;
	}
	while (len) {
		uint64_t from = addr % PAGE;
		size_t n = PAGE - from < len ? PAGE - from : len;
		const uint8_t *page = page_at(t, addr - from);

		if (!page)
			return -EFAULT;
		memcpy(at, page + from, n);
		at += n;
		addr += n;
		len -= n;
	}
	return 0;
}

/* Modules. */

static const struct map *map_of(const struct target *t, uint64_t addr)
{
	for (unsigned int i = 0; i < t->n_maps; i++)
		if (addr >= t->maps[i].start && addr < t->maps[i].end)
			return &t->maps[i];
	return NULL;
}

/* The first mapping of the same file at or below, which holds its header. */
static const struct map *head_of(const struct target *t, const struct map *m)
{
	for (const struct map *h = m;; h--) {
		if (h->offset == 0 && h->inode == m->inode && str_eq(h->path, m->path))
			return h;
		if (h == t->maps)
			return NULL;
	}
}

static void read_segments(struct target *t, uint64_t base, const Elf64_Ehdr *eh, struct module *ret)
{
	uint64_t frame = 0;
	bool is_known = false;

	for (unsigned int i = 0; i < eh->e_phnum && i < SEGMENTS_MAX; i++) {
		Elf64_Phdr ph;

		if (read_memory(t, base + eh->e_phoff + i * sizeof(ph), &ph, sizeof(ph)) < 0)
			return;
		if (ph.p_type == PT_LOAD && !is_known) {
			ret->bias = base - (ph.p_vaddr - ph.p_offset) / PAGE * PAGE;
			is_known = true;
		}
		if (ph.p_type == PT_GNU_EH_FRAME)
			frame = ph.p_vaddr;
	}
	if (frame && is_known)
		ret->eh_frame = frame + ret->bias;
}

/* What is not known stays what it can be guessed from: the place of the mapping in the file. */
static bool find_module(struct target *t, uint64_t addr, struct module *ret)
{
	const struct map *m = map_of(t, addr), *head;
	Elf64_Ehdr eh;

	if (!m)
		return false;
	*ret = (struct module){ .map = m, .bias = m->start - m->offset };
	head = m->path[0] ? head_of(t, m) : NULL;
	if (!head || read_memory(t, head->start, &eh, sizeof(eh)) < 0 ||
		memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		eh.e_phentsize != sizeof(Elf64_Phdr))
		return true;
	ret->head = head->inode ? head->start : 0;
	read_segments(t, head->start, &eh, ret);
	return true;
}

/* Once for each file. */
static uint64_t fingerprint(struct target *t, const struct module *m)
{
	const uint8_t *page;
	unsigned int i;

	for (i = 0; i < t->n_prints; i++)
		if (t->prints[i].head == m->head)
			return t->prints[i].print;
	page = m->head && i < STACK_MODULES_MAX ? page_at(t, m->head) : NULL;
	if (!page)
		return 0;
	t->prints[i].head = m->head;
	t->n_prints++;
	return t->prints[i].print = stack_fingerprint(page);
}

/* What libunwind asks for. */

static int read_for_index(void *arg, uint64_t addr, void *out, size_t len)
{
	return read_memory(arg, addr, out, len);
}

/* The program's own table, made when it is first missed. */
static bool has_own_table(struct target *t, const struct module *m)
{
	const uint64_t print = fingerprint(t, m);
	uint8_t head[STACK_HEAD_SIZE] = { 0 };
	uint64_t addr, size;

	if (!t->exe_print) {
		t->exe_print = t->task->exe >= 0 && pread(t->task->exe, head, sizeof(head), 0) > 0
				       ? stack_fingerprint(head)
				       : 1;
		if (print == t->exe_print &&
			ehframe_find(t->task->exe, &addr, &size) == 0) {
			t->section = addr + m->bias;
			t->n_entries =
				ehframe_index(read_for_index, t, t->section, size, t->entries);
		}
	}
	return t->n_entries && print == t->exe_print;
}

static int search_own_table(unw_addr_space_t as, struct target *t, const struct module *m,
	unw_word_t ip, unw_proc_info_t *pi, int need_info)
{
	unw_dyn_info_t di = { .format = UNW_INFO_FORMAT_REMOTE_TABLE,
		.start_ip = m->map->start,
		.end_ip = m->map->end,
		.u.rti = { .segbase = t->section,
			.table_data = TABLE_AT,
			.table_len = t->n_entries * sizeof(t->entries[0]) / sizeof(unw_word_t) } };

	return search_unwind_table(as, ip, &di, pi, need_info, t);
}

static int find_proc_info(
	unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi, int need_info, void *arg)
{
	struct target *t = arg;
	struct module m;
	unw_dyn_info_t di = { .format = UNW_INFO_FORMAT_REMOTE_TABLE };
	struct {
		uint8_t version, frame_enc, count_enc, table_enc;
		int32_t frame;
		uint32_t count;
	} head;

	if (!find_module(t, ip, &m))
		return -UNW_ENOINFO;
	if (!m.eh_frame && has_own_table(t, &m))
		return search_own_table(as, t, &m, ip, pi, need_info);
	if (!m.eh_frame || read_memory(t, m.eh_frame, &head, sizeof(head)) < 0)
		return -UNW_ENOINFO;
	if (head.version != EH_VERSION || head.count_enc != EH_UDATA4 || head.table_enc != EH_TABLE)
		return -UNW_ENOINFO;
	di.start_ip = m.map->start;
	di.end_ip = m.map->end;
	di.u.rti.segbase = m.eh_frame;
	di.u.rti.table_data = m.eh_frame + sizeof(head);
	di.u.rti.table_len = (unw_word_t)head.count * 2 * sizeof(int32_t) / sizeof(unw_word_t);
	return search_unwind_table(as, ip, &di, pi, need_info, arg);
}

/* libunwind has taken it from a pool of its own. */
static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *pi, void *arg)
{
	(void)as;
	(void)pi;
	(void)arg;
}

static int no_dyn_info(unw_addr_space_t as, unw_word_t *ret, void *arg)
{
	(void)as;
	(void)ret;
	(void)arg;
	return -UNW_ENOINFO;
}

static int access_mem(
	unw_addr_space_t as, unw_word_t addr, unw_word_t *val, int is_write, void *arg)
{
	(void)as;
	if (is_write)
		return -UNW_EINVAL;
	return read_memory(arg, addr, val, sizeof(*val)) < 0 ? -UNW_EINVAL : 0;
}

static int access_reg(
	unw_addr_space_t as, unw_regnum_t reg, unw_word_t *val, int is_write, void *arg)
{
	const struct target *t = arg;

	(void)as;
	if (is_write || reg < 0 || reg >= UNWIND_REGS)
		return -UNW_EBADREG;
	*val = t->task->regs[reg];
	return 0;
}

static int access_fpreg(
	unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *val, int is_write, void *arg)
{
	(void)as;
	(void)reg;
	(void)val;
	(void)is_write;
	(void)arg;
	return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t as, unw_cursor_t *c, void *arg)
{
	(void)as;
	(void)c;
	(void)arg;
	return -UNW_EINVAL;
}

static int no_name(
	unw_addr_space_t as, unw_word_t addr, char *out, size_t size, unw_word_t *off, void *arg)
{
	(void)as;
	(void)addr;
	(void)out;
	(void)size;
	(void)off;
	(void)arg;
	return -UNW_ENOINFO;
}

/* The walk. */

static int add_frame(struct target *t, uint64_t ip, struct stack *s)
{
	struct module m;
	int n;

	if (!find_module(t, ip, &m))
		return -EFAULT;
	if (t->skipped && str_eq(t->skipped, m.map->path))
		return 0;
	t->skipped = NULL;
	n = stack_add_module(s, m.map->path[0] ? m.map->path : "[anonymous]", fingerprint(t, &m));
	return n < 0 ? n : stack_add_frame(s, (unsigned int)n, ip - m.bias);
}

/* A step that leads nowhere or downwards has lost the stack. */
static void walk(struct target *t, unw_cursor_t *c, struct stack *s)
{
	unw_word_t ip, sp, last = 0;

	do {
		if (unw_get_reg(c, UNW_REG_IP, &ip) < 0 || unw_get_reg(c, UNW_REG_SP, &sp) < 0)
			return;
		if (!ip || (last && sp <= last) || add_frame(t, ip, s) < 0)
			return;
		last = sp;
	} while (unw_step(c) > 0);
}

static void load_maps(struct target *t, char *text)
{
	while (t->n_maps < UNWIND_MAPS_MAX && maps_next(&text, &t->maps[t->n_maps]) > 0)
		t->n_maps++;
}

static unw_addr_space_t address_space(void)
{
	static unw_accessors_t accessors = { .find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = no_dyn_info,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = no_resume,
		.get_proc_name = no_name };

	return unw_create_addr_space(&accessors, 0);
}

void unwind_prepare(void)
{
	const uint64_t nowhere[UNWIND_REGS] = { 0 };
	char none[] = "";
	const struct unwind_task task = {
		.tid = getpid(), .regs = nowhere, .maps = none, .exe = -1
	};
	struct stack s;

	unwind(&task, &s);
}

void unwind(const struct unwind_task *task, struct stack *ret)
{
	static struct target t; /* two megabytes; one stack at a time */
	unw_addr_space_t as = address_space();
	unw_cursor_t c;

	memset(ret, 0, sizeof(*ret));
	t.task = task;
	t.skipped = task->skipped;
	t.exe_print = t.section = t.n_entries = 0;
	t.n_maps = t.n_reads = t.n_prints = 0;
	for (unsigned int i = 0; i < PAGES; i++)
		t.pages[i].addr = 0;
	load_maps(&t, task->maps);
	if (as && unw_init_remote(&c, as, &t) == 0)
		walk(&t, &c, ret);
	if (as)
		unw_destroy_addr_space(as);
	if (!ret->n_frames)
		(void)snprintf(ret->reason, sizeof(ret->reason), "its registers lead nowhere");
}
