#include "tracer/registers.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#if defined(__x86_64__)

int registers_read(pid_t tid, uint64_t ret[REGISTERS])
{
	struct user_regs_struct r;
	struct iovec iov = { .iov_base = &r, .iov_len = sizeof(r) };

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &iov) < 0)
		return -errno;
	memcpy(ret,
		(const uint64_t[REGISTERS]){ r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp,
			r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip },
		sizeof(uint64_t) * REGISTERS);
	return 0;
}

#else

int registers_read(pid_t tid, uint64_t ret[REGISTERS])
{
	(void)tid;
	(void)ret;
	return -EOPNOTSUPP;
}

#endif
