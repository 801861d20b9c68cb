/*
 * What our processes say to each other: message types and the order of their fields.
 *
 * Fields are written as name:type in the order in which they are put (lib/msg.h). "→" points at
 * the receiver. Every request carries an id of the sender's choice; answers repeat it.
 */
#pragma once

enum { PROTO_VERSION = 1 };

/*
 * Control: launcher ↔ supervisor. A connection to the control socket in the runtime directory, or
 * (for the sandbox's first command) the socketpair the launcher started the supervisor with, as
 * descriptor CTL_START_FD. The peer's uid is checked; anybody of the same uid outside is trusted.
 */
enum { CTL_START_FD = 3 };

enum ctl_msg {
	CTL_START = 1,	/* → sup. spec:str (JSON, see sandbox_spec) policy:str (YAML or NULL: the
			   default, or the last revision) restart:u32 (1: the stopped one of that name) */
	CTL_EXEC,	/* → sup. kind:u32 flags:u32 rows:u32 cols:u32 cwd:str env:strv argv:strv
			   fds: stdin stdout stderr unless CTL_EXEC_TTY */
	CTL_ATTACH,	/* → sup. rows:u32 cols:u32; answered by CTL_STARTED or CTL_FAILED(-ENOENT) */
	CTL_SIGNAL,	/* → sup. session:u32 signal:u32 */
	CTL_STATUS,	/* → sup. (empty); answered by CTL_TEXT with JSON */
	CTL_POLICY_SET, /* → sup. yaml:str origin:str; answered by CTL_POLICY_DONE */
	CTL_STOP,	/* → sup. (empty); answered by CTL_DONE when everything has ended */
	CTL_DELETE,	/* → sup. (empty); the same, and the state is gone */
	CTL_TRUST,	/* → sup. path:str; accepts the binary's new hash; CTL_DONE */
	CTL_PROPOSAL,	/* → sup. id:str status:str reason:str: what was said of an agent's
			   proposal (lib/inbox.h); id NULL: all that wait are forgotten; CTL_DONE */
	CTL_NETNS,	/* → sup. (empty): to reach servers inside; answered by CTL_NETNS_FD */
	CTL_CREDENTIALS, /* → sup. env:strv (KEY=PLACEHOLDER, for new commands) secrets:bytes
			   (opaque) answer:u32 (1: CTL_DONE is wanted) */
	CTL_SETTING,	/* → sup. agent_proposals:u32; CTL_DONE */
	CTL_INFERENCE,	/* → sup. route:bytes (lib/inference_route.h; none: no route) answer:u32 (1: CTL_DONE is
			   wanted) */

	CTL_READY = 64, /* sup → (empty): the sandbox is up (answers CTL_START) */
	CTL_STARTED,	/* sup → session:u32 replay:bytes fds: pty master if a tty */
	CTL_EXITED,	/* sup → session:u32 status:u32 (as waitpid has it) */
	CTL_FAILED,	/* sup → errno:u32 (positive) exit:u32 (status the command ends with) text:str
			   hint:str */
	CTL_DONE,	/* sup → (empty) */
	CTL_TEXT,	/* sup → text:str */
	CTL_NETNS_FD,	/* sup → fds: the sandbox's network namespace */
	CTL_POLICY_DONE, /* sup → revision:u32 active:u32 changed:u32 hash:str (64 hex) note:str */
};

enum ctl_exec_kind {
	CTL_EXEC_MAIN = 0, /* the sandbox's main process: an unkept sandbox ends with it */
	CTL_EXEC_EXTRA,	   /* exec and connect: ends alone */
};

enum ctl_exec_flags {
	CTL_EXEC_TTY = 1,   /* a fresh terminal inside; the master comes back with CTL_STARTED */
	CTL_EXEC_LOGIN = 2, /* argv is empty: the login shell of the sandbox account */
};

/*
 * Init: supervisor ↔ pid 1 of the sandbox, over the socketpair that bubblewrap passes on as
 * descriptor INIT_FD.
 */
enum { INIT_FD = 3 };

enum init_msg {
	INIT_HELLO = 1,	  /* init → (empty), with its pid in the credentials */
	INIT_SETUP,	  /* → init  filter:bytes (sock_filter[] for a listener; empty: none is tried)
			     landlock:u32 (enum init_landlock) ro:strv rw:strv (paths as seen
			     inside) fds: none */
	INIT_UNFILTERED,  /* init → errno:u32 (why there is no listener; 0: none was tried). It is traced
			     from now on, and waits for INIT_TRACED; or the sandbox ends */
	INIT_TRACED,	  /* → init  filter:bytes (for a tracer). Once it is installed init makes each
			     call that stops, and expects INIT_PROOF of each */
	INIT_COOPERATIVE, /* → init  filter:bytes (of which nothing stops): the same without a proof */
	INIT_READY,	  /* init → landlock_abi:u32 note:str listener:u32 (its descriptor of the seccomp
			     listener, open until the next message to init; traced: -1) */
	INIT_FAILED,	  /* init → errno:u32 text:str: nothing was started, the sandbox ends */
	INIT_SPAWN,	  /* → init  flags:u32 (ctl_exec_flags) rows:u32 cols:u32 cwd:str env:strv
			     argv:strv fds: stdin stdout stderr unless a tty; id = session */
	INIT_SPAWNED,	  /* init → pid:u32 (inside) fds: pty master if a tty; id = session */
	INIT_SPAWN_FAILED, /* init → errno:u32 stage:str; id = session */
	INIT_EXITED,	  /* init → status:u32; id = session */
	INIT_SIGNAL,	  /* → init  signal:u32 (to the session's process group); id = session */
};

/* The result, seen in no other way, of a call that the tracer answers before INIT_READY. */
enum { INIT_PROOF = 724231 };

enum init_landlock {
	INIT_LANDLOCK_BEST_EFFORT = 0,
	INIT_LANDLOCK_REQUIRED,
	INIT_LANDLOCK_OFF, /* the policy lets programs make namespaces of their own: Landlock forbids
			      every mount, so the mounts are the only wall then */
};

/*
 * Proxy: supervisor ↔ proxy, over the socketpair at PROXY_FD. Until PROXY_READY the proxy has
 * parsed nothing from outside; after it, it can no longer open anything.
 */
enum { PROXY_FD = 3 };

enum proxy_msg {
	PROXY_SETUP = 1, /* → proxy sandbox:str connect_to:strv (HOST:PORT:ADDR:PORT)
			    deny:strv (lib/barred.h)
			    upstream_proxy:str no_proxy:str audit:u32 host_gateway:str (what
			    host.openshell.internal is) has_extra_ca:u32 fds: log (its own
			    open description), trust store (PEM), extra CA (PEM, if
			    has_extra_ca) */
	PROXY_CA,	 /* proxy → pem:str: the sandbox's CA certificate, the key stays there */
	PROXY_LISTEN,	 /* → proxy port:u32 fds: IPv4 listener, IPv6 listener: start to accept */
	PROXY_READY,	 /* proxy → (empty): confined, and accepting */
	PROXY_POLICY,	 /* → proxy generation:u32 yaml:str (validated); id echoed */
	PROXY_POLICY_DONE,   /* proxy → generation:u32 closed:u32 */
	PROXY_TUPLE,	     /* → proxy see struct tuple in lib/tuple.h */
	PROXY_LOG,	     /* → proxy fds: the segment to append to from now on */
	PROXY_NEED_RESOLVER, /* proxy → (empty): wants PROXY_RESOLVER */
	PROXY_RESOLVER,	   /* → proxy fds: a SOCK_SEQPACKET to a resolver process */
	PROXY_CREDENTIALS, /* → proxy secrets:bytes (proxy/credentials.h): from now on these */
	PROXY_INFERENCE,   /* → proxy route:bytes (lib/inference_route.h; none: no route) */
	PROXY_ADVISOR,	   /* → proxy enabled:u32: whether http://policy.local serves */
	PROXY_ASK,	   /* proxy → kind:u32 (enum proxy_ask) args:strv; answered by PROXY_TOLD.
			      Inline only: at most MSG_INLINE_MAX bytes */
	PROXY_TOLD,	   /* → proxy error:u32 (positive errno or 0) args:strv fds (see below) */
};

/* What http://policy.local asks the supervisor. To the supervisor args are text and nothing more. */
enum proxy_ask {
	PROXY_ASK_POLICY = 1, /* - → the policy as YAML */
	PROXY_ASK_DENIALS,    /* - → fds: the newest log segments, the newest first */
	PROXY_ASK_PROPOSE,    /* intent, then name, binary, rule of each → their ids */
	PROXY_ASK_STATUS,     /* id → status, reason, name, binary */
	PROXY_ASK_WAIT,	      /* id → the same, once it is decided */
};

/* Resolver: proxy ↔ a process that runs getaddrinfo() with the host's own rules. */
enum resolver_msg {
	RESOLVER_ASK = 1, /* → resolver name:str */
	RESOLVER_ANSWER,  /* resolver → error:u32 (0 or an EAI_ value, positive) text:str
			     addrs:bytes (struct netaddr[]) */
};

/* Unwinder: supervisor ↔ the process that walks stacks (--stacks), over the socketpair at UNWIND_FD. */
enum { UNWIND_FD = 3 };

enum unwind_msg {
	UNWIND_ASK = 1, /* → unwinder tid:u32 by:u32 (enum stack_by) has_exe:u32 regs:bytes
			   (uint64_t[17], as libunwind numbers them; empty: stop the task and look) fds: its /proc/TID/maps, its program (if
			   has_exe) */
	UNWIND_HELD,	/* unwinder → (empty): the task will stop when its call is told to restart */
	UNWIND_STACK,	/* unwinder → text:str (lib/stack.h); id as asked */
};
