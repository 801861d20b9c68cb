/*
 * One sandbox: what the supervisor owns, and the order in which it comes up and goes.
 *
 * Coming up is a straight line with deadlines (sandbox_start): nobody else can talk to us yet.
 * From then on everything is an event of the loop until sandbox_end() has taken it all down.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/logstore.h"
#include "lib/loop.h"
#include "lib/msg.h"
#include "lib/policy.h"
#include "lib/spec.h"
#include "lib/state.h"
#include "tracer/advisor.h"
#include "tracer/cafiles.h"
#include "tracer/cgroup.h"
#include "tracer/credentials.h"
#include "tracer/inference.h"
#include "tracer/mounts.h"
#include "tracer/netns.h"
#include "tracer/protect.h"

struct call_source;
struct policy_change;
struct control;
struct dgramgate;
struct filehash;
struct dnsserver;
struct names;
struct notifier;
struct once;
struct owners;
struct peers;
struct session;
struct stacks;
struct watchman;

enum phase {
	PHASE_STARTING = 0, /* processes are being started; no command runs */
	PHASE_READY,	    /* commands run, connections are judged */
	PHASE_STOPPING,	    /* sessions were asked to end; killed when the grace is over */
	PHASE_ENDING,	    /* everything is being killed and cleared away */
};

/* A child of ours, watched through its pidfd. */
struct child {
	pid_t pid; /* 0: not running */
	struct watch watch; /* fd: the pidfd */
};

struct sandbox {
	struct loop *loop;
	struct sandbox_spec spec;
	struct state *state;
	int runtime_dir, pid_file;
	bool has_runtime;
	enum phase phase;
	bool is_removed_at_end; /* delete, or a sandbox that is not kept */

	struct barred *barred; /* --deny */
	struct policy *policy; /* one reference: the generation that decides */
	uint32_t revision;     /* its number, and the generation's */
	char policy_hash[65];
	char *policy_yaml; /* the text the sandbox started with; owned */

	struct logstore *store;
	struct log *log;
	struct timer log_timer, settled;
	bool is_log_stuck; /* a writer could not go on in the newest segment */

	struct child bwrap, proxy, init, resolver;
	int bwrap_stderr, bwrap_info;
	int proxy_end; /* the proxy's end of its link, until it is started */
	bool is_proxy_gone; /* it was started, and ended */
	struct cafiles ca;
	struct watch init_link, proxy_link, signals, control;
	int link_room; /* bytes that may be on their way to the proxy, as the kernel counts them */
	int landlock_abi; /* 0: not confined by Landlock */
	enum spec_intercept intercept; /* the backend that is in use */
	int no_listener; /* traced although nobody asked for it: the errno of seccomp(2) */
	int netns;
	struct mounts mounts;
	struct protect protect;
	struct cgroup cgroup;
	struct netns_sockets sockets;
	uint64_t netns_id; /* of the sandbox's network namespace: sockcall_netns_id() */
	struct call_source *calls; /* what of the workload waits for an answer; from before it runs */

	struct filehash *hashes;
	struct owners *owners;
	struct names *names;
	struct dnsserver *dns;
	struct notifier *notifier;
	struct peers *peers;
	struct once *once;
	struct watchman *watchman;
	struct dgramgate *gate;
	int coop_listener;     /* --intercept preload, until the source of calls has it */
	struct stacks *stacks; /* NULL without --stacks */
	uint64_t next_connection; /* cookies of connections, for the log */

	LIST_HEAD(, control) controls;
	LIST_HEAD(, session) sessions;
	struct session *main_session;
	uint32_t exit_status; /* of the main process of a sandbox that ends with it */
	uint32_t next_session;
	struct timer grace;
	bool agent_proposals; /* http://policy.local serves */
	struct advisor advisor;
	struct credentials credentials;
	struct inference inference;
	LIST_HEAD(, policy_change) changes; /* sent to the proxy, not yet confirmed */
};

/*
 * Brings the sandbox up from @s->spec: a new one with @policy_yaml (NULL: the default), or the
 * one that is there with its newest revision. 0, or -errno with a text a person understands, and
 * nothing left behind.
 */
int sandbox_start(struct sandbox *s, const char *policy_yaml, bool is_new, struct err *err);

/* Ends everything and stops the loop; @is_removed: the state goes too, but for the log. */
void sandbox_end(struct sandbox *s, bool is_removed);
/* Asks the sessions to end, and ends the sandbox when they have or the grace is over. */
void sandbox_stop(struct sandbox *s);

/* Collects one event with what every event of this sandbox has. */
void sandbox_log(struct sandbox *s, const struct event *e);
/* A LIFECYCLE line. */
void sandbox_say(struct sandbox *s, enum event_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Starts the proxy unless it runs: somebody connects, opens the certificates or changes the policy.
 * -EPIPE when it has ended, for it is not started twice.
 */
int sandbox_wake_proxy(struct sandbox *s);

/* Tells the proxy about a connection: 0 or -errno (then the connection must be refused). */
struct tuple;
int sandbox_send_tuple(struct sandbox *s, const struct tuple *t);
