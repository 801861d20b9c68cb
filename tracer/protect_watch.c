/* Protected files that are replaced outside while the sandbox runs: protected again. */
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tracer/protect.h"
#include "tracer/sandbox.h"

static const char *place(const struct protect_entry *e)
{
	return e->host ? e->host : e->path;
}

/* The file itself, not its directory: nothing that the sandbox may do reaches us. */
static int watch_entry(struct protect *p, struct protect_entry *e)
{
	struct stat st;

	if (lstat(place(e), &st) < 0)
		return -errno;
	e->ino = st.st_ino;
	e->wd = inotify_add_watch(
		p->watch.fd, place(e), IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_DONT_FOLLOW);
	return e->wd < 0 ? -errno : 0;
}

static void say(struct sandbox *s, const struct protect_entry *e, const char *what)
{
	sandbox_log(s, &(struct event){ .level = EVENT_WARN,
			       .adapter = EVENT_FS,
			       .addr = place(e),
			       .reason = what });
}

static void protect_again(struct sandbox *s, struct protect_entry *e)
{
	const struct protect one = { .list = e, .n = 1 };
	struct stat st;
	struct err err;

	if (lstat(place(e), &st) < 0) {
		say(s, e,
			"protected path was removed outside: it can be made anew until the next "
			"start");
		return;
	}
	if (st.st_ino == e->ino)
		return; /* touched, not replaced */
	e->inside = NULL; /* it is there now */
	if (protect_apply(&one, s->init.pid, &err) < 0)
		say(s, e,
			"protected path was replaced outside and cannot be protected again until "
			"the next start");
	else
		say(s, e,
			"protected path was replaced outside: what is there now is protected "
			"again");
	(void)watch_entry(&s->protect, e);
}

static void on_change(struct loop *loop, struct watch *w, uint32_t events)
{
	struct sandbox *s = container_of(w, struct sandbox, protect.watch);
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n = read(w->fd, buf, sizeof(buf));

	(void)loop;
	(void)events;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *ev = (const struct inotify_event *)(buf + at);

		at += (ssize_t)sizeof(*ev) + ev->len;
		for (size_t i = 0; i < s->protect.n && !(ev->mask & IN_IGNORED); i++)
			if (s->protect.list[i].is_ro && s->protect.list[i].wd == ev->wd)
				protect_again(s, &s->protect.list[i]);
	}
}

void protect_watch(struct sandbox *s)
{
	struct protect *p = &s->protect;
	int fd, r = 0;

	if (p->n == 0)
		return;
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd >= 0) {
		watch_init(&p->watch, fd, on_change, NULL);
		p->is_watched = true;
		for (size_t i = 0; i < p->n && r == 0; i++)
			r = p->list[i].is_ro ? watch_entry(p, &p->list[i]) : 0;
		if (r == 0)
			r = watch_set(s->loop, &p->watch, EPOLLIN);
	}
	if (fd < 0 || r < 0)
		sandbox_say(s, EVENT_WARN,
			"protected paths that are replaced outside will not be noticed: inotify: "
			"%s",
			err_name(fd < 0 ? -errno : r));
}
