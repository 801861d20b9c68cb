/* Stacks of a child of the test's own, walked from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/registers.h"
#include "tracer/unwind.h"

#define KEPT __attribute__((noinline, noclone))

enum { MAPS_SIZE = 1 << 20, FUNCTION_MAX = 4096 };

extern const char __executable_start[];

/* What follows the call keeps it from being a jump. */
KEPT static int stop_here(void)
{
	int r = raise(SIGSTOP);

	return r + (int)getpid();
}

KEPT static int come_by(void)
{
	int r = stop_here();

	return r + (int)getppid();
}

struct subject {
	pid_t pid;
	uint64_t regs[UNWIND_REGS];
	char maps[MAPS_SIZE];
	int exe;
	struct unwind_task task;
};

static void read_maps(struct subject *s)
{
	char path[32];
	auto_close int fd = -1;
	size_t len = 0;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)s->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while ((n = read(fd, s->maps + len, sizeof(s->maps) - 1 - len)) > 0)
		len += (size_t)n;
	s->maps[len] = '\0';
	assert_true(len > 0);
}

/* A child that stands still in stop_here(). */
static struct subject *subject(void)
{
	static struct subject s;
	int status;

	s = (struct subject){ .pid = fork() };
	if (s.pid == 0) {
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		_exit(come_by() == 0);
	}
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(registers_read(s.pid, s.regs), 0);
	read_maps(&s);
	s.exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	s.task = (struct unwind_task){ .tid = s.pid, .regs = s.regs, .maps = s.maps, .exe = s.exe };
	return &s;
}

static void end(struct subject *s)
{
	assert_int_equal(kill(s->pid, SIGKILL), 0);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
	(void)close(s->exe);
}

/* The number of the frame that is in @fn of this program; -1. */
static int frame_in(const struct stack *s, int (*fn)(void))
{
	const uint64_t at = (uint64_t)(uintptr_t)fn - (uint64_t)(uintptr_t)__executable_start;

	for (unsigned int i = 0; i < s->n_frames; i++)
		if (strstr(s->modules[s->frames[i].module].path, "test_unwind") &&
			s->frames[i].offset > at && s->frames[i].offset < at + FUNCTION_MAX)
			return (int)i;
	return -1;
}

static void who_called_whom_is_found(void **state)
{
	struct subject *s = subject();
	struct stack got;
	int inner, outer;

	(void)state;
	unwind(&s->task, &got);
	assert_true(got.n_frames >= 3);
	inner = frame_in(&got, stop_here);
	outer = frame_in(&got, come_by);
	/* Innermost first, below them what raise(3) is made of. */
	assert_true(inner > 0);
	assert_int_equal(outer, inner + 1);
	assert_true(got.modules[got.frames[0].module].fingerprint != 0);
	end(s);
}

static void frames_of_a_library_that_is_left_out_are_left_out(void **state)
{
	struct subject *s = subject();
	struct stack got;
	char libc[STACK_PATH_MAX];

	(void)state;
	unwind(&s->task, &got);
	(void)snprintf(libc, sizeof(libc), "%s", got.modules[got.frames[0].module].path);
	read_maps(s);
	s->task.skipped = libc;
	unwind(&s->task, &got);
	assert_int_equal(frame_in(&got, stop_here), 0);
	end(s);
}

static void registers_that_lead_nowhere_are_a_reason(void **state)
{
	struct subject *s = subject();
	struct stack got;

	(void)state;
	memset(s->regs, 0, sizeof(s->regs));
	unwind(&s->task, &got);
	assert_int_equal(got.n_frames, 0);
	assert_true(got.reason[0]);
	end(s);
}

static void maps_that_are_no_maps_are_a_reason(void **state)
{
	struct subject *s = subject();
	struct stack got;

	(void)state;
	(void)snprintf(s->maps, sizeof(s->maps), "nothing of the kind\n");
	unwind(&s->task, &got);
	assert_int_equal(got.n_frames, 0);
	assert_true(got.reason[0]);
	end(s);
}

/* @text in front of the lines of /proc/PID/maps. */
static void put_before(struct subject *s, const char *text)
{
	static char true_ones[MAPS_SIZE];

	(void)snprintf(true_ones, sizeof(true_ones), "%s", s->maps);
	assert_true(strlen(text) + strlen(true_ones) < sizeof(s->maps));
	(void)snprintf(s->maps, sizeof(s->maps), "%s%s", text, true_ones);
}

/* So many that are about nothing. */
static void put_maps_before(struct subject *s, unsigned int n)
{
	static char text[MAPS_SIZE];
	size_t at = 0;

	for (unsigned int i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%x000-%x000 r--p 00000000 00:00 0\n",
			0x10 + 2 * i, 0x11 + 2 * i);
	put_before(s, text);
}

static void mappings_beyond_the_limit_lead_nowhere(void **state)
{
	struct subject *s = subject();
	struct stack got;

	(void)state;
	put_maps_before(s, UNWIND_MAPS_MAX - 500);
	unwind(&s->task, &got);
	assert_true(frame_in(&got, come_by) > 0);
	read_maps(s);
	put_maps_before(s, UNWIND_MAPS_MAX);
	unwind(&s->task, &got);
	assert_int_equal(got.n_frames, 0);
	assert_true(got.reason[0]);
	end(s);
}

enum { STEP = 4096, RSP = 7, RIP = 16, PROLOGUE_AT = 64 };

/*
 * A static program: header, .eh_frame, a page of code and one of stack. Of its functions the first is where the
 * code is, each of the others has a description as long as a page.
 */
struct made {
	uint8_t *at; /* of the child, too */
	size_t size, section_size;
	uint8_t *code, *stack;
};

static uint8_t *put(uint8_t *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	return to + len;
}

static void put_fde(struct made *m, uint8_t *at, uint32_t len, const uint8_t *function)
{
	const int32_t fields[] = { (int32_t)len, (int32_t)(at + 4 - (m->at + STEP)), (int32_t)(function - (at + 8)), STEP };

	memcpy(at, fields, sizeof(fields));
}

static struct made made_new(size_t pages)
{
	/* Version 1, "zR": the return address lies where the stack pointer points. */
	static const uint8_t cie[] = { 20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0 };
	const uint64_t caller = (uintptr_t)come_by + 4;
	const size_t size = (pages + 4) * STEP;
	struct made m = { .size = size, .section_size = (pages + 1) * STEP };

	m.at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(m.at != MAP_FAILED);
	m.code = m.at + STEP + m.section_size;
	m.stack = m.code + STEP;
	(void)put(m.at + STEP, cie, sizeof(cie));
	put_fde(&m, m.at + STEP + sizeof(cie), STEP - sizeof(cie) - 4, m.code);
	for (size_t i = 0; i < pages; i++)
		put_fde(&m, m.at + (2 + i) * STEP, STEP - 4, m.code + (2 + i) * STEP);
	(void)put(m.stack, &caller, sizeof(caller));
	return m;
}

/* Its file, of which nobody reads more than headers. */
static int made_file(struct made *m)
{
	const Elf64_Shdr sections[] = { { .sh_type = SHT_PROGBITS, .sh_addr = STEP, .sh_size = m->section_size },
		{ .sh_type = SHT_STRTAB, .sh_offset = STEP + 2 * sizeof(Elf64_Shdr), .sh_size = sizeof(".eh_frame") } };
	Elf64_Ehdr eh = { .e_phentsize = sizeof(Elf64_Phdr), .e_shentsize = sizeof(sections[0]), .e_shoff = STEP,
		.e_shnum = ARRAY_SIZE(sections), .e_shstrndx = 1 };
	int fd = memfd_create("made", MFD_CLOEXEC);

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	(void)put(m->at, &eh, sizeof(eh));
	assert_int_equal(pwrite(fd, m->at, STEP, 0), STEP);
	assert_int_equal(pwrite(fd, sections, sizeof(sections), STEP), sizeof(sections));
	assert_int_equal(pwrite(fd, ".eh_frame", sizeof(".eh_frame"), STEP + sizeof(sections)), sizeof(".eh_frame"));
	return fd;
}

/* How many frames are found from that code outwards. */
static unsigned int frames_of_made(size_t pages)
{
	struct made m = made_new(pages);
	int exe = made_file(&m);
	struct subject *s = subject();
	char line[128];
	struct stack got;

	(void)snprintf(line, sizeof(line), "%lx-%lx r-xp 00000000 00:01 77 /made\n", (unsigned long)(uintptr_t)m.at,
		(unsigned long)(uintptr_t)m.stack);
	put_before(s, line);
	s->task.exe = exe;
	s->regs[RSP] = (uintptr_t)m.stack;
	s->regs[RIP] = (uintptr_t)m.code + PROLOGUE_AT;
	unwind(&s->task, &got);
	end(s);
	(void)close(exe);
	assert_int_equal(munmap(m.at, m.size), 0);
	assert_true(got.n_frames > 0);
	assert_string_equal(got.modules[got.frames[0].module].path, "/made");
	assert_true(got.n_frames == 1 || frame_in(&got, come_by) == 1);
	return got.n_frames;
}

static void pages_beyond_the_limit_are_not_read(void **state)
{
	(void)state;
	assert_true(frames_of_made(UNWIND_PAGES_MAX - 100) > 1);
	assert_int_equal(frames_of_made(UNWIND_PAGES_MAX + 100), 1);
}

/* Nobody's registers can be read but a tracee's that stands still. */
static void registers_of_who_runs_are_not_to_be_had(void **state)
{
	uint64_t regs[UNWIND_REGS];

	(void)state;
	assert_true(registers_read(getpid(), regs) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_called_whom_is_found),
		cmocka_unit_test(frames_of_a_library_that_is_left_out_are_left_out),
		cmocka_unit_test(registers_that_lead_nowhere_are_a_reason),
		cmocka_unit_test(maps_that_are_no_maps_are_a_reason),
		cmocka_unit_test(mappings_beyond_the_limit_lead_nowhere),
		cmocka_unit_test(pages_beyond_the_limit_are_not_read),
		cmocka_unit_test(registers_of_who_runs_are_not_to_be_had),
	};

	unwind_prepare();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
