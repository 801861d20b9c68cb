/*
 * ptydrive - a person at a terminal, for tests.
 *
 * usage: ptydrive [-t SECONDS] [-r ROWSxCOLS] {-e REGEX | -s TEXT | -z ROWSxCOLS}... -- COMMAND...
 *
 * Runs COMMAND on a fresh terminal. -e waits until the output since the last match has a line
 * that matches the extended regular expression; -s types a text (\n is Enter, \xNN a byte); -z
 * resizes. When the steps are used up it waits for the command's end. Everything that appeared is
 * written to stdout. Exits as COMMAND; 124 when a step or the end took longer than -t (default
 * 20 s), after saying on stderr which one.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

enum { STEPS_MAX = 128, OUTPUT_MAX = 1 << 20, EXIT_TIMEOUT = 124 };

struct step {
	int kind; /* 'e', 's' or 'z' */
	const char *text;
};

struct drive {
	int fd;	      /* the terminal's master */
	char *output; /* all that appeared, NUL-terminated */
	size_t len;
	size_t seen; /* where the next -e starts to look */
	int timeout_s;
};

static struct winsize size_parse(const char *s)
{
	struct winsize ws = { .ws_row = 24, .ws_col = 80 };

	(void)sscanf(s, "%hux%hu", &ws.ws_row, &ws.ws_col);
	return ws;
}

static long now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* More output: 1, 0 at its end, -ETIMEDOUT. */
static int drive_read(struct drive *d, long deadline)
{
	struct pollfd p = { .fd = d->fd, .events = POLLIN };
	long left = deadline - now_ms();
	ssize_t n;

	if (left <= 0 || poll(&p, 1, (int)left) == 0)
		return -ETIMEDOUT;
	n = read(d->fd, d->output + d->len, OUTPUT_MAX - d->len - 1);
	if (n <= 0)
		return 0;
	(void)fd_write_all(STDOUT_FILENO, d->output + d->len, (size_t)n);
	d->len += (size_t)n;
	d->output[d->len] = '\0';
	return 1;
}

static int drive_expect(struct drive *d, const char *pattern)
{
	long deadline = now_ms() + d->timeout_s * 1000L;
	regmatch_t m;
	regex_t re;
	int r = 1;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE) != 0)
		return -EINVAL;
	while (regexec(&re, d->output + d->seen, 1, &m, 0) != 0 && r > 0)
		r = drive_read(d, deadline);
	regfree(&re);
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	d->seen += (size_t)m.rm_eo;
	return 0;
}

static size_t unescape(char *dst, const char *s)
{
	size_t n = 0;

	while (*s) {
		unsigned int byte;

		if (s[0] == '\\' && s[1] == 'n') {
			dst[n++] = '\n';
			s += 2;
		} else if (s[0] == '\\' && s[1] == 'x' && sscanf(s + 2, "%2x", &byte) == 1) {
			dst[n++] = (char)byte;
			s += 4;
		} else {
			dst[n++] = *s++;
		}
	}
	return n;
}

static int drive_send(struct drive *d, const char *text)
{
	auto_free char *bytes = malloc(strlen(text) + 1);

	return bytes ? fd_write_all(d->fd, bytes, unescape(bytes, text)) : -ENOMEM;
}

static int drive_step(struct drive *d, const struct step *s)
{
	struct winsize ws;

	switch (s->kind) {
	case 'e':
		return drive_expect(d, s->text);
	case 's':
		return drive_send(d, s->text);
	default:
		ws = size_parse(s->text);
		return ioctl(d->fd, TIOCSWINSZ, &ws) == 0 ? 0 : -errno;
	}
}

static int drive_steps(struct drive *d, const struct step *steps, int n)
{
	for (int i = 0; i < n; i++) {
		int r = drive_step(d, &steps[i]);

		if (r < 0) {
			fprintf(stderr, "ptydrive: step %d (-%c %s): %s\n", i + 1, steps[i].kind,
				steps[i].text, r == -EPIPE ? "the command ended" : strerror(-r));
			return r;
		}
	}
	return 0;
}

/* The rest of the output, until the terminal's last user has closed it. */
static int drive_rest(struct drive *d)
{
	long deadline = now_ms() + d->timeout_s * 1000L;
	int r;

	do {
		r = drive_read(d, deadline);
	} while (r > 0);
	if (r < 0)
		fprintf(stderr, "ptydrive: the command did not end\n");
	return r;
}

static int drive(struct drive *d, const struct step *steps, int n, pid_t child)
{
	int status = 0;
	int r = drive_steps(d, steps, n);

	if (r == 0)
		r = drive_rest(d);
	if (r < 0)
		(void)kill(child, r == -EPIPE ? SIGCONT : SIGKILL);
	(void)close(take_fd(d->fd));
	if (waitpid(child, &status, 0) < 0 || r < 0)
		return EXIT_TIMEOUT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int usage(void)
{
	fprintf(stderr, "usage: ptydrive [-t SECONDS] [-r ROWSxCOLS] {-e REGEX | -s TEXT | -z "
			"ROWSxCOLS}... -- "
			"COMMAND...\n");
	return 2;
}

int main(int argc, char **argv)
{
	static struct step steps[STEPS_MAX];
	static char output[OUTPUT_MAX];
	struct drive d = { .fd = -1, .output = output, .timeout_s = 20 };
	struct winsize ws = size_parse("");
	int opt, n = 0;
	pid_t child;

	while ((opt = getopt(argc, argv, "+t:r:e:s:z:")) != -1) {
		if (opt == 't')
			d.timeout_s = atoi(optarg);
		else if (opt == 'r')
			ws = size_parse(optarg);
		else if (opt != '?' && n < STEPS_MAX)
			steps[n++] = (struct step){ .kind = opt, .text = optarg };
		else
			return usage();
	}
	if (optind >= argc)
		return usage();
	child = forkpty(&d.fd, NULL, NULL, &ws);
	if (child == 0) {
		(void)execvp(argv[optind], argv + optind);
		perror(argv[optind]);
		_exit(127);
	}
	return child < 0 ? 1 : drive(&d, steps, n, child);
}
