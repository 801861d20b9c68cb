/*
 * A call stack as the log keeps it: where each frame is in which file, and what file that was.
 *
 * As text, which one field of an event holds:
 *
 *	by=preload 0+1b2f,0+88,1+9f2e0
 *	4be7cf6a9b1d2e3f /usr/bin/curl
 *	0 [vdso]
 *
 * The first line says who took it and has the frames, innermost first: the number of a module
 * below, and the offset in it as a disassembler counts (the virtual address in the file). Then the
 * modules: a fingerprint (stack_fingerprint(); 0: none) and the path as the workload saw it. Where
 * there is no stack the text is "by=none" and, in the same line, the reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STACK_FRAMES_MAX = 48,
	STACK_MODULES_MAX = 32,
	STACK_PATH_MAX = 512,	/* longer ones are cut: their symbols cannot be found */
	STACK_TEXT_MAX = 4000,	/* an event's field has 4096; frames that do not fit are left out */
	STACK_HEAD_SIZE = 4096, /* bytes of a file that its fingerprint is made of */
};

enum stack_by {
	STACK_NONE = 0,
	STACK_PRELOAD, /* from registers that the workload lent: a hint */
	STACK_PTRACE,  /* from registers the kernel told; the memory is the workload's all the same */
};

struct stack_module {
	uint64_t fingerprint; /* 0: none */
	char path[STACK_PATH_MAX];
};

struct stack_frame {
	uint32_t module;
	uint64_t offset;
	const char *symbol; /* resolved by who reads, borrowed; else NULL */
	uint64_t into;	    /* with symbol: bytes behind its begin */
};

struct stack {
	enum stack_by by;
	char reason[128]; /* STACK_NONE */
	unsigned int n_frames, n_modules;
	struct stack_frame frames[STACK_FRAMES_MAX];
	struct stack_module modules[STACK_MODULES_MAX];
};

/* The number of the module of that path and fingerprint, added where it is new; -ENOSPC. */
int stack_add_module(struct stack *s, const char *path, uint64_t fingerprint);
/* -ENOSPC when there are enough. */
int stack_add_frame(struct stack *s, unsigned int module, uint64_t offset);

/* "preload", "ptrace", "none". */
const char *stack_by_name(enum stack_by by);

/* Up to STACK_TEXT_MAX bytes and a NUL into @out. */
void stack_format(const struct stack *s, char out[STACK_TEXT_MAX + 1]);
/* 0, or -EINVAL: then @ret is a stack that is not there. Takes anything. */
int stack_parse(const char *text, struct stack *ret);

/*
 * What tells one build of a program from another: a hash over the first STACK_HEAD_SIZE bytes of
 * the file (zeros behind a shorter one's end), in which lie the ELF header, the segments and the
 * build id. Never 0.
 */
uint64_t stack_fingerprint(const uint8_t head[STACK_HEAD_SIZE]);
