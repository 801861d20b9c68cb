#include "tracer/remote.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

int remote_read(pid_t tid, uint64_t addr, void *out, size_t len)
{
	struct iovec here = { .iov_base = out, .iov_len = len };
	struct iovec there = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
	ssize_t n;

	if (len == 0)
		return 0;
	n = process_vm_readv(tid, &here, 1, &there, 1, 0);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

int remote_read_str(pid_t tid, uint64_t addr, char *out, size_t size)
{
	enum { PAGE = 4096 }; /* of every architecture at least this, so no read crosses two */
	size_t n = 0;

	while (n < size) {
		size_t left = PAGE - (addr + n) % PAGE;
		int r;

		if (left > size - n)
			left = size - n;
		r = remote_read(tid, addr + n, out + n, left);
		if (r < 0)
			return r;
		if (memchr(out + n, '\0', left))
			return 0;
		n += left;
	}
	return -ENAMETOOLONG;
}

int remote_write(pid_t tid, uint64_t addr, const void *data, size_t len)
{
	struct iovec here = { .iov_base = (void *)data, .iov_len = len };
	struct iovec there = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
	ssize_t n;

	if (len == 0)
		return 0;
	n = process_vm_writev(tid, &here, 1, &there, 1, 0);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}
