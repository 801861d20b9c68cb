#include "lib/self.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

int self_path(char *out, size_t size, const char *beside)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (beside && slash)
		slash[1] = '\0';
	return str_format(out, size, "%s%s", self, beside ? beside : "") ? 0 : -ENAMETOOLONG;
}
