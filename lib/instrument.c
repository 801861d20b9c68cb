/*
 * What a process that confines itself and is killed in the end cannot do: write its coverage counts. So the
 * counters lie in memory that it shares with a child, which has given up nothing and writes them when the
 * process has gone, however it went.
 */
#include "lib/instrument.h"

#ifdef COVERAGE
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void __gcov_dump(void);

/* The linker's: the counters are static variables, as everything else here. */
extern char __bss_start[], _end[];

static int share_variables(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	char *const from = __bss_start - (uintptr_t)__bss_start % page;
	const size_t len = ((uintptr_t)_end - (uintptr_t)from + page - 1) / page * page;
	void *copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		return -1;
	memcpy(copy, from, len);
	if (mmap(from, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	memcpy(from, copy, len);
	return munmap(copy, len);
}

static _Noreturn void write_counts_after(int life)
{
	char byte;

	/* No test takes it for the process, no signal to a group reaches it, nothing waits for its descriptors. */
	(void)prctl(PR_SET_NAME, "counts", 0, 0, 0);
	(void)setsid();
	(void)dup2(life, 0);
	(void)syscall(SYS_close_range, 1, ~0U, 0);
	while (read(0, &byte, 1) != 0)
		;
	__gcov_dump();
	_exit(0);
}

void instrument_begin(void)
{
	int life[2];
	pid_t pid;

	if (pipe2(life, O_CLOEXEC) < 0 || share_variables() < 0)
		abort();
	/* Not fork(2): of that gcov makes one whose child begins at nought, and here that would be the counters of both. */
	pid = _Fork();
	if (pid < 0)
		abort();
	if (pid == 0)
		write_counts_after(life[0]);
	(void)close(life[0]);
}
#endif
