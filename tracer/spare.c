#include "tracer/spare.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int spare = -1;
static bool is_lost; /* another thread was faster when it was to be taken again */

int spare_keep(void)
{
	if (spare < 0)
		spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return spare < 0 ? -errno : 0;
}

static void take_again(void)
{
	is_lost = spare_keep() < 0;
}

int spare_accept(int listener, bool *ret_is_last)
{
	int fd;

	if (is_lost)
		take_again();
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	*ret_is_last = false;
	if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || spare < 0)
		return fd < 0 ? -errno : fd;
	(void)close(spare);
	spare = -1;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	*ret_is_last = fd >= 0;
	if (fd < 0)
		take_again();
	return fd < 0 ? -errno : fd;
}

void spare_close(int fd)
{
	(void)close(fd);
	take_again();
}
