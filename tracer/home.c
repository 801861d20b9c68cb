#include "tracer/home.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

static const char *const files[][2] = {
	{ ".profile", "# Read by login shells.\n[ -n \"$BASH\" ] && [ -f ~/.bashrc ] && . ~/.bashrc\n" },
	{ ".bashrc", "# Read by interactive shells of the sandbox.\n"
		     "case $- in *i*) ;; *) return ;; esac\n"
		     "PS1='\\u@\\h:\\w\\$ '\n" },
	{ ".curlrc", "# With -s curl would hide that the policy refused a request.\nshow-error\n" },
};

/* A new home gets the prompt of the walkthrough; afterwards it is the user's. */
int home_furnish(int state_dir, struct err *err)
{
	auto_close int home = openat(state_dir, "home", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (home < 0)
		return err_set(err, -errno, "home of the sandbox: %s", err_name(errno));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		auto_close int fd = openat(home, files[i][0],
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		int r = fd < 0 ? -errno :
				 fd_write_all(fd, files[i][1], strlen(files[i][1]));

		if (r < 0 && r != -EEXIST)
			return err_set(err, r, "home of the sandbox: %s", err_name(r));
	}
	return 0;
}
