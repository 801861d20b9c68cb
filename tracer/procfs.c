#include "tracer/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"

enum { PROCFS_TEXT_MAX = 4096 };

static int parse_pid(const char *s, const char **ret_end, pid_t *ret)
{
	long v = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (*s - '0');
		if (v > INT32_MAX)
			return -EINVAL;
	}
	*ret_end = s;
	*ret = (pid_t)v;
	return 0;
}

int procfs_stat_ppid(const char *text, pid_t *ret)
{
	const char *p = strrchr(text, ')'), *end;

	/* ") S PPID …": after the last parenthesis, for the name can hold others. */
	if (!p || p[1] != ' ' || !p[2] || p[3] != ' ')
		return -EINVAL;
	return parse_pid(p + 4, &end, ret);
}

int procfs_stat_run(const char *text, char *ret_state, uint64_t *ret_ticks)
{
	const char *p = strrchr(text, ')');
	uint64_t user, kernel;
	char state;

	/* ") S …": utime and stime are the 11th and 12th after the state (proc(5)). */
	if (!p || p[1] != ' ' || !p[2] || p[3] != ' ')
		return -EINVAL;
	state = p[2];
	p += 3;
	for (int i = 0; i < 10 && p; i++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, " %" SCNu64 " %" SCNu64, &user, &kernel) != 2)
		return -EINVAL;
	*ret_state = state;
	*ret_ticks = user + kernel;
	return 0;
}

static const char *field(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, n) == 0 && line[n] == ':')
			return line + n + 1;
	}
	return NULL;
}

int procfs_status_number(const char *text, const char *name, pid_t *ret)
{
	const char *p = field(text, name);
	pid_t v = -1;

	if (!p)
		return -EINVAL;
	while (*p == '\t' || *p == ' ') {
		while (*p == '\t' || *p == ' ')
			p++;
		if (parse_pid(p, &p, &v) < 0)
			break;
	}
	if (v < 0)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int signal_mask(const char *text, const char *name, uint64_t *ret)
{
	const char *p = field(text, name);
	char *end;

	if (!p)
		return -EINVAL;
	while (*p == '\t' || *p == ' ')
		p++;
	*ret = strtoull(p, &end, 16);
	return end == p || *end != '\n' ? -EINVAL : 0;
}

int procfs_status_has_signal(const char *text)
{
	static const char *const names[] = { "SigPnd", "ShdPnd", "SigBlk", "SigIgn" };
	uint64_t v[ARRAY_SIZE(names)];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (signal_mask(text, names[i], &v[i]) < 0)
			return -EINVAL;
	return ((v[0] | v[1]) & ~v[2] & ~v[3]) != 0;
}

static int read_text(int procdir, const char *name, char *out, size_t size, size_t *ret_len)
{
	auto_close int fd = openat(procdir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	if (ret_len)
		*ret_len = (size_t)n;
	return 0;
}

int procfs_ppid(int procdir, pid_t *ret)
{
	char text[PROCFS_TEXT_MAX];
	int r = read_text(procdir, "stat", text, sizeof(text), NULL);

	return r < 0 ? r : procfs_stat_ppid(text, ret);
}

static int status_number(int procdir, const char *name, pid_t *ret)
{
	char text[PROCFS_TEXT_MAX];
	int r = read_text(procdir, "status", text, sizeof(text), NULL);

	return r < 0 ? r : procfs_status_number(text, name, ret);
}

int procfs_tgid(int procdir, pid_t *ret)
{
	return status_number(procdir, "Tgid", ret);
}

int procfs_ns_pid(int procdir, pid_t *ret)
{
	return status_number(procdir, "NStgid", ret);
}

int procfs_has_signal(int procdir)
{
	char text[PROCFS_TEXT_MAX];
	int r = read_text(procdir, "status", text, sizeof(text), NULL);

	return r < 0 ? r : procfs_status_has_signal(text);
}

int procfs_cmdline(int procdir, char *out, size_t size)
{
	size_t len;
	int r = read_text(procdir, "cmdline", out, size, &len);

	if (r < 0)
		return r;
	while (len && out[len - 1] == '\0')
		len--;
	for (size_t i = 0; i < len; i++)
		if (out[i] == '\0')
			out[i] = ' ';
	return 0;
}
