#include "launcher/evidence.h"

#include <errno.h>

#include "launcher/asker.h"
#include "lib/cleanup.h"
#include "lib/event_render.h"
#include "lib/state.h"

struct reading {
	struct askers *askers;
	evidence_fn *fn;
	void *arg;
};

static int take_line(void *arg, const struct event_peek *peek, const char *line, size_t len)
{
	auto_event_record struct event_record record = { 0 };
	const struct reading *to = arg;
	int r = event_parse(line, len, &record);

	(void)peek;
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	record.event.asker = askers_name(to->askers, record.event.stack);
	return to->fn(to->arg, &record.event);
}

int evidence_read(const char *name, int home, const struct logstore_query *q, evidence_fn *fn,
	void *arg, struct err *err)
{
	struct reading to = { .fn = fn, .arg = arg };
	struct logstore_view *log = NULL;
	auto_close int dir = state_log_open(name, err);
	int r;

	if (dir < 0)
		return dir;
	to.askers = askers_new(home);
	r = to.askers ? logstore_view_open(&log, dir) : -ENOMEM;
	if (r == 0)
		r = logstore_read(log, q, take_line, &to);
	logstore_view_free(log);
	askers_free(to.askers);
	return r < 0 ? err_set(err, r, "log of '%s': %s", name, err_name(r)) : 0;
}
