#include "preload/stack.h"

#include <pthread.h>

/* musl and glibc before 2.34 may not have it in what is loaded. */
#pragma weak pthread_setcanceltype

static int cancel_begin(void)
{
	int old = PTHREAD_CANCEL_DEFERRED;

	if (pthread_setcanceltype)
		(void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	return old;
}

static void cancel_end(int old)
{
	if (pthread_setcanceltype)
		(void)pthread_setcanceltype(old, &old);
}

#if defined(__x86_64__)

static long plain(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* Of the registers these matter, and where we stand: any other a caller expects to find changed. */
static long lent(long nr, long a, long b, long c)
{
	struct stack_record record = { .magic = STACK_MAGIC };
	register long r10 __asm__("r10") = (long)STACK_MAGIC;
	register struct stack_record *r8 __asm__("r8") = &record;
	register long r9 __asm__("r9") = 0;
	long ret;

	/* As stack_capture(), and the call itself in the same breath: nothing changes in between.
	 */
	__asm__ volatile("movq %%rbx, 8(%%r8)\n\t"
			 "movq %%rbp, 16(%%r8)\n\t"
			 "movq %%r12, 24(%%r8)\n\t"
			 "movq %%r13, 32(%%r8)\n\t"
			 "movq %%r14, 40(%%r8)\n\t"
			 "movq %%r15, 48(%%r8)\n\t"
			 "movq %%rsp, 56(%%r8)\n\t"
			 "leaq 1f(%%rip), %%rcx\n\t"
			 "movq %%rcx, 64(%%r8)\n\t"
			 "syscall\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#else

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static long plain(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret = syscall(nr, a, b, c, d, e, f);

	return ret < 0 ? -errno : ret;
}

/* No registers are lent on this architecture: the supervisor looks from outside. */
static long lent(long nr, long a, long b, long c)
{
	return plain(nr, a, b, c, 0, 0, 0);
}

#endif

long stack_plain_call(long nr, long a, long b, long c, long d, long e, long f)
{
	int old = cancel_begin();
	long ret = plain(nr, a, b, c, d, e, f);

	cancel_end(old);
	return ret;
}

long stack_call(long nr, long a, long b, long c)
{
	int old = cancel_begin();
	long ret = lent(nr, a, b, c);

	cancel_end(old);
	return ret;
}
