#include "launcher/symbols.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/elfsym.h"
#include "lib/str.h"

struct file {
	struct stack_module module;
	struct elfsym *symbols; /* NULL: none, or another file by now */
	LIST_ENTRY(file) link;
};

struct symbols {
	int home;
	LIST_HEAD(, file) files;
	unsigned int n_files;
};

struct symbols *symbols_new(int home)
{
	struct symbols *s = calloc(1, sizeof(*s));

	if (s)
		s->home = home;
	return s;
}

void symbols_free(struct symbols *s)
{
	struct file *f;

	if (!s)
		return;
	while ((f = LIST_FIRST(&s->files))) {
		LIST_REMOVE(f, link);
		elfsym_free(f->symbols);
		free(f);
	}
	free(s);
}

static bool is_that_file(int fd, const struct stack_module *m)
{
	uint8_t head[STACK_HEAD_SIZE] = { 0 };
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, head, sizeof(head), 0) > 0 &&
	       stack_fingerprint(head) == m->fingerprint;
}

/* Where the sandbox's path is out here. O_NONBLOCK: it may be a FIFO by now. Links that the
 * workload left in its home lead nowhere outside. */
static int open_module(const struct symbols *s, const struct stack_module *m)
{
	const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	if (!str_starts(m->path, "/"))
		return -1;
	if (!str_starts(m->path, "/sandbox/"))
		return open(m->path, (int)how.flags);
	if (s->home < 0)
		return -1;
	return (int)syscall(SYS_openat2, s->home, m->path + strlen("/sandbox/"), &how, sizeof(how));
}

static struct elfsym *load(const struct symbols *s, const struct stack_module *m)
{
	auto_close int fd = m->fingerprint ? open_module(s, m) : -1;
	struct elfsym *e = NULL;

	if (fd < 0 || !is_that_file(fd, m) || elfsym_load(&e, fd) < 0)
		return NULL;
	return e;
}

static const struct elfsym *symbols_of(struct symbols *s, const struct stack_module *m)
{
	struct file *f;

	LIST_FOREACH(f, &s->files, link)
		if (f->module.fingerprint == m->fingerprint && str_eq(f->module.path, m->path))
			return f->symbols;
	f = s->n_files < SYMBOLS_FILES_MAX ? calloc(1, sizeof(*f)) : NULL;
	if (!f)
		return NULL;
	f->module = *m;
	f->symbols = load(s, m);
	LIST_INSERT_HEAD(&s->files, f, link);
	s->n_files++;
	return f->symbols;
}

/* Each address is that of the instruction behind a call: the call is what the frame is about. */
void symbols_resolve(struct symbols *s, struct stack *stack)
{
	for (unsigned int i = 0; i < stack->n_frames; i++) {
		struct stack_frame *f = &stack->frames[i];
		const struct elfsym *e = symbols_of(s, &stack->modules[f->module]);

		f->symbol = e && f->offset ? elfsym_find(e, f->offset - 1, &f->into) : NULL;
		f->into += f->symbol != NULL;
	}
}
