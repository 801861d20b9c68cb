/*
 * For tests of what a program does when something fails: the test chooses the call, of the program's own code
 * and no library's, that fails once.
 *
 * FAULT_FILE names three 64-bit numbers that the test shares with processes of the name FAULT_PROGRAM: which
 * calls are meant, as a set of bits (enum kind below); how many of them go well before one fails; whether it
 * has failed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind {
	MEMORY = 1, /* malloc and its kin */
	EPOLL = 2,  /* epoll_ctl, but for what only takes away */
	RECV = 4,
	SEND = 8,
	OPEN = 16, /* what makes a descriptor: socket, accept4, pipe2 */
	SPLICE = 32,
};

static struct {
	_Atomic uint64_t kinds, left, has_failed;
} * shared;

static uintptr_t code_start, code_end; /* of the program itself */

static int note_code(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		code_start = info->dlpi_addr + ph->p_vaddr;
		code_end = code_start + ph->p_memsz;
	}
	return 1; /* the first one is the program */
}

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("FAULT_FILE"), *program = getenv("FAULT_PROGRAM");
	bool is_meant = path && program && strcmp(program, program_invocation_short_name) == 0;
	int fd = is_meant ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	(void)dl_iterate_phdr(note_code, NULL);
	p = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		shared = p;
	(void)close(fd);
}

/* Whether this call, which returns to @to, is the one. */
static bool fails(enum kind kind, const void *to, int error)
{
	if (!shared || !(shared->kinds & kind) || (uintptr_t)to < code_start || (uintptr_t)to >= code_end)
		return false;
	if (shared->left) {
		shared->left--;
		return false;
	}
	shared->kinds = 0;
	shared->has_failed = 1;
	errno = error;
	return true;
}

#define CALLER __builtin_return_address(0)

/* Looking a function up allocates in turn: from libc itself. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static void *next(const char *name, void *meanwhile)
{
	static bool is_looking;
	void *found;

	if (is_looking)
		return meanwhile;
	is_looking = true;
	found = dlsym(RTLD_NEXT, name);
	is_looking = false;
	return found;
}

/* The function that is stood before; @meanwhile serves while it is looked up. */
#define REAL(type, name, meanwhile)                                                                \
	static __typeof__(type) *real_;                                                            \
	__typeof__(type) *real = real_ ? real_ : (__typeof__(type) *)next(name, (void *)(meanwhile)); \
	if (!real_ && (void *)real != (void *)(meanwhile))                                         \
		real_ = real

void *malloc(size_t n)
{
	REAL(void *(size_t), "malloc", __libc_malloc);
	return fails(MEMORY, CALLER, ENOMEM) ? NULL : real(n);
}

void *calloc(size_t n, size_t size)
{
	REAL(void *(size_t, size_t), "calloc", __libc_calloc);
	return fails(MEMORY, CALLER, ENOMEM) ? NULL : real(n, size);
}

void *realloc(void *p, size_t n)
{
	REAL(void *(void *, size_t), "realloc", __libc_realloc);
	return fails(MEMORY, CALLER, ENOMEM) ? NULL : real(p, n);
}

char *strdup(const char *s)
{
	REAL(char *(const char *), "strdup", NULL);
	return fails(MEMORY, CALLER, ENOMEM) ? NULL : real(s);
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	REAL(int(int, int, int, struct epoll_event *), "epoll_ctl", NULL);
	return op != EPOLL_CTL_DEL && fails(EPOLL, CALLER, ENOMEM) ? -1 : real(epfd, op, fd, ev);
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	REAL(ssize_t(int, void *, size_t, int), "recv", NULL);
	return fails(RECV, CALLER, ECONNRESET) ? -1 : real(fd, buf, n, flags);
}

/* What it is called where _FORTIFY_SOURCE does not know the size. */
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
	REAL(ssize_t(int, void *, size_t, size_t, int), "__recv_chk", NULL);
	return fails(RECV, CALLER, ECONNRESET) ? -1 : real(fd, buf, n, size, flags);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	REAL(ssize_t(int, const void *, size_t, int), "send", NULL);
	return fails(SEND, CALLER, EPIPE) ? -1 : real(fd, buf, n, flags);
}

int socket(int domain, int type, int protocol)
{
	REAL(int(int, int, int), "socket", NULL);
	return fails(OPEN, CALLER, EMFILE) ? -1 : real(domain, type, protocol);
}

int accept4(int fd, struct sockaddr *restrict addr, socklen_t *restrict len, int flags)
{
	REAL(int(int, struct sockaddr *, socklen_t *, int), "accept4", NULL);
	return fails(OPEN, CALLER, EMFILE) ? -1 : real(fd, addr, len, flags);
}

int pipe2(int fds[2], int flags)
{
	REAL(int(int *, int), "pipe2", NULL);
	return fails(OPEN, CALLER, EMFILE) ? -1 : real(fds, flags);
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned int flags)
{
	REAL(ssize_t(int, off64_t *, int, off64_t *, size_t, unsigned int), "splice", NULL);
	return fails(SPLICE, CALLER, ECONNRESET) ? -1 : real(in, in_at, out, out_at, n, flags);
}
