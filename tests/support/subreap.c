/*
 * subreap - runs a test so that it leaves nothing behind.
 *
 * usage: subreap COMMAND...       run it; afterwards end every descendant that is still there
 *        subreap --list PID       print the descendants of PID, one a line
 *
 * As a child subreaper it inherits the daemons that a test leads to, so they stay descendants
 * and can be found without guessing by name. May: signal its own descendants. Exits as COMMAND.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"

enum { PIDS_MAX = 32768 };

struct proc {
	pid_t pid, parent;
	bool is_ours;
};

static struct proc procs[PIDS_MAX];

/* The fourth field of /proc/PID/stat, after a name that may hold blanks and parentheses. */
static pid_t parent_of(pid_t pid)
{
	auto_fclose FILE *f = NULL;
	char path[64], line[512];
	const char *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return 0;
	end = strrchr(line, ')');
	return end && strlen(end) > 4 ? atoi(end + 4) : 0;
}

static int procs_read(void)
{
	auto_closedir DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (d && n < PIDS_MAX && (e = readdir(d))) {
		pid_t pid = atoi(e->d_name);

		if (pid > 0)
			procs[n++] = (struct proc){ .pid = pid, .parent = parent_of(pid) };
	}
	return n;
}

static bool mark_children(int n, pid_t parent)
{
	bool found = false;

	for (int i = 0; i < n; i++) {
		if (procs[i].is_ours || procs[i].parent != parent || procs[i].pid == parent)
			continue;
		procs[i].is_ours = found = true;
		mark_children(n, procs[i].pid);
	}
	return found;
}

/* Calls @visit for each descendant of @root; false if there was none. */
static bool each_descendant(pid_t root, void (*visit)(pid_t pid))
{
	int n = procs_read();
	bool found = mark_children(n, root);

	for (int i = 0; i < n; i++) {
		if (procs[i].is_ours)
			visit(procs[i].pid);
	}
	return found;
}

static void print_pid(pid_t pid)
{
	printf("%d\n", pid);
}

static void kill_pid(pid_t pid)
{
	(void)kill(pid, SIGKILL);
}

/* Killing a parent hands its children to us: again until nobody is left. */
static void end_all(void)
{
	while (each_descendant(getpid(), kill_pid)) {
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int wait_for(pid_t child)
{
	int status = 0;
	pid_t pid;

	do {
		pid = waitpid(-1, &status, 0);
	} while (pid > 0 && pid != child);
	return exit_status(status);
}

static int run(char **argv)
{
	pid_t child;
	int r;

	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	child = fork();
	if (child == 0) {
		(void)execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	/* The terminal's signals are for the test, which cleans up; then it is our turn. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	r = wait_for(child);
	end_all();
	return r;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--list") == 0)
		return each_descendant(atoi(argv[2]), print_pid) ? 0 : 1;
	if (argc < 2) {
		fprintf(stderr, "usage: subreap COMMAND... | subreap --list PID\n");
		return 2;
	}
	return run(argv + 1);
}
