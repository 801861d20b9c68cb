/*
 * Commands running in the sandbox, and the terminals of those that have one.
 *
 * init starts them and reports how they end. A launcher that is attached to a terminal holds its
 * master and moves the bytes itself; the supervisor keeps a duplicate of the main process's master
 * and reads it only while nobody is attached, into a bounded replay buffer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/msg.h"
#include "lib/proto.h"

struct control;
struct sandbox;

enum { SESSION_REPLAY_MAX = 1024 * 1024, SESSIONS_LIMIT = 200 };

struct session {
	struct sandbox *sandbox;
	uint32_t id;
	bool is_main, is_running;
	bool has_exited;	 /* its end is told when the sandbox has ended */
	bool is_orphan;		 /* its launcher went away before it had started */
	struct control *control; /* who is told; NULL: nobody attached */
	uint32_t request;	 /* the id of their message */
	struct watch master;	 /* main with a terminal: our duplicate; fd -1 otherwise */
	struct buf replay;
	LIST_ENTRY(session) link;
};

/* Starts what CTL_EXEC asks for; failures are told to @c. */
void session_exec(struct sandbox *s, struct control *c, struct msg_in *m);
/* Hands the main process's terminal to @c: false when there is none or somebody has it. */
bool session_attach(struct sandbox *s, struct control *c, uint32_t request, uint32_t rows,
	uint32_t cols);
/* Sends a signal to the process group of a session of @c. */
void session_signal(struct sandbox *s, struct control *c, uint32_t id, uint32_t sig);
/* @c is gone: its sessions are detached or hung up. */
void session_abandon(struct sandbox *s, struct control *c);

/* init's words. */
void session_on_init(struct sandbox *s, struct msg_in *m);
/* Asks every session to end, with @sig. */
void session_signal_all(struct sandbox *s, int sig);
/* The sandbox ends: sessions that still run are reported as killed. */
void session_end_all(struct sandbox *s);
