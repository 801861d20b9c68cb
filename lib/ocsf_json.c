/* OCSF 1.8 as JSON: the common attributes, then those of the class (lib/ocsf.h). */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/ocsf.h"
#include "lib/stack.h"
#include "lib/str.h"

static void set_string(json_t *o, const char *key, const char *value)
{
	if (value)
		(void)json_object_set_new(o, key, json_string(value));
}

static void set_number(json_t *o, const char *key, uint64_t value)
{
	if (value)
		(void)json_object_set_new(o, key, json_integer((json_int_t)value));
}

/* An enumeration in OCSF is a number and its name. */
static void set_enum(json_t *o, const char *key, const char *key_id, int id, const char *name)
{
	(void)json_object_set_new(o, key_id, json_integer(id));
	set_string(o, key, name);
}

static const struct class_names {
	enum ocsf_class class;
	int category;
	const char *name, *category_name;
} class_names[] = {
	{ OCSF_PROCESS, 1, "Process Activity", "System Activity" },
	{ OCSF_FINDING, 2, "Detection Finding", "Findings" },
	{ OCSF_NETWORK, 4, "Network Activity", "Network Activity" },
	{ OCSF_HTTP, 4, "HTTP Activity", "Network Activity" },
	{ OCSF_SSH, 4, "SSH Activity", "Network Activity" },
	{ OCSF_CONFIG, 5, "Device Config State Change", "Discovery" },
	{ OCSF_LIFECYCLE, 6, "Application Lifecycle", "Application Activity" },
	{ OCSF_API, 6, "API Activity", "Application Activity" },
	{ OCSF_BASE, 0, "Base Event", "Uncategorized" },
};

static void set_class(json_t *json, const struct ocsf *o)
{
	const char *name = o->class == OCSF_CONFIG    ? "Log"
			   : o->class == OCSF_FINDING ? "Create"
						      : o->activity;
	int activity = ocsf_activity_id(o->class, name);
	const struct class_names *c = class_names;
	char type_name[96];

	name = activity == 99 ? "Other" : name;
	while (c->class != o->class && c->class != OCSF_BASE)
		c++;
	set_enum(json, "class_name", "class_uid", (int)c->class, c->name);
	set_enum(json, "category_name", "category_uid", c->category, c->category_name);
	set_enum(json, "activity_name", "activity_id", activity, name);
	(void)str_format(type_name, sizeof(type_name), "%s: %s", c->name, name);
	set_enum(json, "type_name", "type_uid", (int)c->class * 100 + activity, type_name);
}

static void set_outcome(json_t *json, const struct ocsf *o)
{
	static const char *const severities[] = { "Unknown", "Informational", "Low", "Medium",
		"High", "Critical", "Fatal" };
	bool is_denied;

	set_enum(json, "severity", "severity_id", o->severity, severities[o->severity]);
	set_enum(json, "status", "status_id", o->is_failure ? 2 : 1,
		o->is_failure ? "Failure" : "Success");
	set_string(json, "message", o->message);
	set_string(json, "status_detail", o->status_detail);
	if (!o->action)
		return;
	/* An error on the way of what was allowed is a failure, and allowed all the same. */
	is_denied = str_eq(o->action, "Denied");
	set_enum(json, "action", "action_id", is_denied ? 2 : 1, o->action);
	set_enum(json, "disposition", "disposition_id", is_denied ? 2 : 1,
		is_denied ? "Blocked" : "Allowed");
}

static json_t *metadata(const struct ocsf_origin *origin)
{
	return json_pack("{s:s, s:{s:s, s:s, s:s}, s:[s, s, s], s:s, s:s}", "version", "1.8.0",
		"product", "name", "OpenShell Sandbox Supervisor", "vendor_name", "OpenShell",
		"version", VERSION, "profiles", "security_control", "container", "host", "uid",
		origin->id ? origin->id : origin->sandbox, "log_source", "sandbox");
}

static void set_origin(json_t *json, const struct ocsf_origin *origin)
{
	(void)json_object_set_new(json, "metadata", metadata(origin));
	(void)json_object_set_new(json, "device",
		json_pack("{s:s, s:i, s:s, s:{s:s, s:i, s:s}}", "hostname",
			origin->hostname ? origin->hostname : origin->sandbox, "type_id", 99,
			"type", "Sandbox", "os", "name", "Linux", "type_id", 200, "type", "Linux"));
	(void)json_object_set_new(json, "container", json_pack("{s:s}", "name", origin->sandbox));
}

/* The programs above, each the child of the next; NULL where nobody is. */
static json_t *parents(const char *const *ancestors)
{
	json_t *list = NULL;
	size_t n = 0;

	while (ancestors && ancestors[n])
		n++;
	while (n-- > 0) {
		json_t *who = json_pack("{s:s}", "name", ancestors[n]);

		if (list)
			(void)json_object_set_new(who, "parent_process", list);
		list = who;
	}
	return list;
}

/* Without a command line: what is written there may be a credential, and the log has none. */
static json_t *actor(const struct event *e)
{
	json_t *who, *parent;

	if (!e->binary)
		return NULL;
	who = json_pack("{s:s}", "name", e->binary);
	set_number(who, "pid", e->pid);
	parent = parents(e->ancestors);
	if (parent)
		(void)json_object_set_new(who, "parent_process", parent);
	return json_pack("{s:o}", "process", who);
}

static void set_object(json_t *json, const char *key, json_t *o)
{
	if (o)
		(void)json_object_set_new(json, key, o);
}

/* Whether our proxy stood between the two: what the supervisor refuses itself never got there. */
static bool is_proxied(const struct event *e)
{
	return e->adapter == EVENT_CONNECT || e->adapter == EVENT_FORWARD || e->adapter == EVENT_L7;
}

/*
 * The sandbox is the source, by its name: of its ports none is known, as the connection that
 * leaves the machine is the proxy's. It is watched where it begins, and by those who saw who began.
 */
static void set_source(json_t *json, const struct event *e, const struct ocsf_origin *origin)
{
	json_t *from = json_pack("{s:s}", "name", origin->sandbox);

	set_string(from, "uid", origin->id);
	(void)json_object_set_new(json, "src_endpoint", from);
	if (is_proxied(e))
		(void)json_object_set_new(
			json, "proxy_endpoint", json_pack("{s:s}", "name", "openshell-proxy"));
	set_enum(json, "observation_point", "observation_point_id", 1, "Source");
	(void)json_object_set_new(json, "is_src_dst_assignment_known", json_true());
}

static void set_destination(json_t *json, const struct event *e)
{
	json_t *to = json_object();

	set_string(to, "domain", e->host);
	set_string(to, e->adapter == EVENT_UNIX ? "name" : "ip", e->addr);
	set_number(to, "port", e->port);
	if (json_object_size(to))
		(void)json_object_set_new(json, "dst_endpoint", to);
	else
		json_decref(to);
	if (e->protocol)
		(void)json_object_set_new(json, "connection_info",
			json_pack("{s:s, s:i, s:s}", "protocol_name", e->protocol, "direction_id",
				2, "direction", "Outbound"));
	if (e->bytes_up || e->bytes_down)
		(void)json_object_set_new(json, "traffic",
			json_pack("{s:I, s:I}", "bytes_out", (json_int_t)e->bytes_up, "bytes_in",
				(json_int_t)e->bytes_down));
}

static void set_http(json_t *json, const struct ocsf *o, const struct event *e)
{
	json_t *url = json_pack("{s:s}", "scheme", o->scheme);

	set_string(url, "hostname", e->host);
	set_string(url, "path", e->target);
	set_number(url, "port", e->port);
	(void)json_object_set_new(json, "http_request",
		json_pack("{s:s, s:o}", "http_method", o->method, "url", url));
	if (e->status)
		(void)json_object_set_new(
			json, "http_response", json_pack("{s:i}", "code", (int)e->status));
}

static void set_api(json_t *json, const struct ocsf *o, const struct event *e, const struct ocsf_origin *origin)
{
	set_source(json, e, origin);
	set_destination(json, e);
	(void)json_object_set_new(json, "api",
		json_pack("{s:s, s:{s:s}, s:{s:i}}", "operation", o->operation ? o->operation : "inference", "service",
			"name", o->provider ? o->provider : "-", "response", "code", (int)e->status));
	set_http(json, o, e);
}

/* Who did it to what, as far as the event tells. */
static json_t *evidence(const struct event *e)
{
	json_t *json = json_object();

	set_object(json, "actor", actor(e));
	if (e->addr)
		(void)json_object_set_new(json, "file",
			json_pack("{s:s, s:s, s:i, s:s}", "name", e->addr, "path", e->addr,
				"type_id", 0, "type", "Unknown"));
	return json;
}

static void set_finding(json_t *json, const struct ocsf *o, const struct event *e)
{
	const char *title = o->title ? o->title : o->message;

	(void)json_object_set_new(json, "finding_info",
		json_pack("{s:s, s:s, s:s}", "uid", o->uid, "title", title, "desc", o->message));
	(void)json_object_set_new(json, "evidences", json_pack("[o]", evidence(e)));
	/* It is what the kernel was asked for, not a guess. */
	set_enum(json, "confidence", "confidence_id", 3, "High");
	(void)json_object_set_new(json, "is_alert", json_boolean(e->action == EVENT_DENY));
	if (e->nearest)
		(void)json_object_set_new(
			json, "remediation", json_pack("{s:s}", "desc", e->nearest));
}

static void set_class_objects(
	json_t *json, const struct ocsf *o, const struct event *e, const struct ocsf_origin *origin)
{
	if (o->class == OCSF_NETWORK || o->class == OCSF_HTTP) {
		set_source(json, e, origin);
		set_destination(json, e);
		(void)json_object_set_new(json, "firewall_rule",
			json_pack("{s:s, s:s}", "name", o->rule, "type", o->engine));
	}
	if (o->class == OCSF_HTTP)
		set_http(json, o, e);
	if (o->class == OCSF_API)
		set_api(json, o, e, origin);
	if (o->class == OCSF_FINDING)
		set_finding(json, o, e);
	if (o->class == OCSF_LIFECYCLE)
		(void)json_object_set_new(json, "app",
			json_pack("{s:s, s:s}", "name", "openshell-sandbox", "vendor_name",
				"OpenShell"));
	if (o->class == OCSF_CONFIG)
		set_enum(json, "state", "state_id", o->is_failure ? 99 : 2,
			o->is_failure ? o->activity : "Enabled");
}

static json_t *strings(const char *const *list)
{
	json_t *array = json_array();

	for (; *list; list++)
		(void)json_array_append_new(array, json_string(*list));
	return array;
}

static json_t *frame_json(const struct stack *s, const struct stack_frame *f)
{
	json_t *json = json_object();
	char offset[24];

	set_string(json, "module", s->modules[f->module].path);
	(void)snprintf(offset, sizeof(offset), "0x%" PRIx64, f->offset);
	set_string(json, "offset", offset);
	set_string(json, "symbol", f->symbol);
	if (f->symbol)
		set_number(json, "symbol_offset", f->into);
	return json;
}

static void set_stack(json_t *u, const struct stack *s)
{
	json_t *json = json_object(), *frames = json_array();

	set_string(json, "by", stack_by_name(s->by));
	set_string(json, "reason", s->by == STACK_NONE ? s->reason : NULL);
	for (unsigned int i = 0; i < s->n_frames; i++)
		(void)json_array_append_new(frames, frame_json(s, &s->frames[i]));
	(void)json_object_set_new(json, "frames", frames);
	(void)json_object_set_new(u, "stack", json);
}

static void set_unmapped(json_t *json, const struct event *e)
{
	json_t *u = json_object();

	set_string(u, "adapter", event_adapter_name(e->adapter));
	set_string(u, "decision", e->action ? event_action_name(e->action) : NULL);
	set_string(u, "endpoint", e->endpoint);
	set_string(u, "rule", e->rule);
	set_string(u, "nearest", e->nearest);
	set_string(u, "operation", e->operation);
	set_string(u, "model", e->model);
	set_string(u, "provider", e->provider);
	set_number(u, "latency_ms", e->latency_ms);
	if (e->frames)
		set_stack(u, e->frames);
	set_number(u, "policy_version", e->generation);
	set_number(u, "connection", e->connection);
	if (e->ancestors && e->ancestors[0])
		(void)json_object_set_new(u, "ancestors", strings(e->ancestors));
	(void)json_object_set_new(json, "unmapped", u);
}

static void set_times(json_t *json, const struct event *e)
{
	set_number(json, "time", e->time_ms);
	if (!e->count)
		return;
	set_number(json, "count", e->count);
	set_number(json, "start_time", e->time_ms);
	set_number(json, "end_time", e->until_ms);
}

/* All that is not ASCII leaves as \u escapes: nothing in it can act on a terminal. */
int ocsf_render_json(struct buf *out, const struct event *e, const struct ocsf_origin *origin)
{
	auto_buf struct buf text = { 0 };
	auto_free char *dumped = NULL;
	json_t *json;
	struct ocsf o;
	int r;

	buf_init(&text, 2 * EVENT_LINE_MAX);
	r = ocsf_from_event(&o, e, &text);
	if (r < 0)
		return r;
	jsontext_begin();
	json = json_object();
	set_class(json, &o);
	set_times(json, e);
	set_outcome(json, &o);
	set_origin(json, origin);
	set_object(json, "actor", actor(e));
	set_class_objects(json, &o, e, origin);
	set_unmapped(json, e);
	dumped =
		jsontext_is_short() ? NULL : jsontext_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(json);
	if (!dumped)
		return -ENOMEM;
	r = buf_puts(out, dumped);
	return r < 0 ? r : buf_putc(out, '\n');
}
