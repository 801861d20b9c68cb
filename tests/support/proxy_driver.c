/*
 * Plays the supervisor for one openshell-proxy, so that curl, wrk and tests can talk to the real
 * program without a sandbox.
 *
 *   proxy_driver --proxy PROGRAM --policy FILE [--trust PEM] [--extra-ca PEM] [--log FILE]
 *                [--ca-out FILE] [--connect-to SPEC]… [--binary PATH] [--audit] [--deny HOST]…
 *                [--upstream-proxy URL] [--no-proxy LIST] [--answer NAME=ADDR,…]… [--asked FILE]
 *                [--time] -- COMMAND…
 *
 * COMMAND runs with PROXY_PORT, PROXY_TUPLES (the path of a datagram socket), http_proxy and
 * https_proxy in its environment. A datagram "[ADDR:]PORT [HOST PORT [BINARY]]" registers the source
 * ADDR (127.0.0.1) and PORT: as an explicit proxy client, or as a transparent connection to HOST:PORT. Without a
 * BINARY it is that of --binary; "-" is one that nobody could tell, "-PATH" one that is refused for what it is. The preload
 * library in preload/ sends them for programs that know nothing of this. "policy FILE" replaces
 * the policy and answers, to a bound sender, when that is done; "sync" answers when the proxy has been told
 * what came before, and answered what it had asked for.
 *
 * --answer says what the resolver knows of a name, or of "*.NAME", before it asks the system;
 * without an address it never answers. A "/" separates what it says the first time from the next. --asked appends each name that it is asked for to FILE.
 *
 * --time prints how long the proxy took to PROXY_CA and to PROXY_READY instead.
 *
 * The status is COMMAND's. Of a proxy that does not end well when its supervisor has gone (built with a
 * sanitizer: that has something to report) it is 96.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/msg.h"
#include "lib/netaddr.h"
#include "lib/proto.h"
#include "lib/tuple.h"

enum { PINS_MAX = 512, ADDRS_MAX = 64 };

static struct {
	const char *proxy, *policy, *trust, *extra_ca, *log, *ca_out, *binary, *chain, *no_proxy;
	const char *said[PINS_MAX + 1]; /* of each answer what comes next */
	char *pins[PINS_MAX + 1], *deny[PINS_MAX + 1], *answers[PINS_MAX + 1];
	size_t n_pins, n_deny, n_answers;
	const char *asked;
	uint32_t audit;
	int time;
} opt = { .trust = "/etc/ssl/certs/ca-certificates.crt",
	.log = "/dev/null",
	.binary = "/usr/bin/curl" };

static int link_fd = -1, resolver_fd = -1;
static uint32_t generation;
static uint64_t cookie;

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must_send(const struct msg_out *m)
{
	int r = msg_send(link_fd, m);

	if (r < 0) {
		errno = -r;
		die("send");
	}
}

static void send_setup(void)
{
	auto_msg_out struct msg_out m;
	auto_close int log = open(opt.log, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	auto_close int trust = open(opt.trust, O_RDONLY | O_CLOEXEC);
	auto_close int extra = opt.extra_ca ? open(opt.extra_ca, O_RDONLY | O_CLOEXEC) : -1;

	if (log < 0 || trust < 0 || (opt.extra_ca && extra < 0))
		die("open");
	msg_out_init(&m, PROXY_SETUP, 1);
	msg_put_str(&m, "driver");
	msg_put_strv(&m, opt.pins);
	msg_put_strv(&m, opt.deny);
	msg_put_str(&m, opt.chain);
	msg_put_str(&m, opt.no_proxy);
	msg_put_u32(&m, opt.audit);
	msg_put_str(&m, "127.0.0.1");
	msg_put_u32(&m, opt.extra_ca != NULL);
	msg_put_fd(&m, log);
	msg_put_fd(&m, trust);
	if (opt.extra_ca)
		msg_put_fd(&m, extra);
	must_send(&m);
}

static void send_policy(const char *file)
{
	auto_msg_out struct msg_out m;
	auto_free char *text = NULL;

	if (fd_slurp_at(AT_FDCWD, file, 1 << 24, &text, NULL) < 0)
		die(file);
	msg_out_init(&m, PROXY_POLICY, 2);
	msg_put_u32(&m, ++generation);
	msg_put_str(&m, text);
	must_send(&m);
}

static int send_listener(void)
{
	auto_msg_out struct msg_out m;
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);

	if (bind(fd, (struct sockaddr *)&sin, len) < 0 || listen(fd, 4096) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		die("listen");
	msg_out_init(&m, PROXY_LISTEN, 3);
	msg_put_u32(&m, ntohs(sin.sin_port));
	msg_put_fd(&m, fd);
	must_send(&m);
	return ntohs(sin.sin_port);
}

static void expect(struct msg_in *m, uint16_t type)
{
	if (msg_recv(link_fd, m) <= 0 || m->type != type) {
		fprintf(stderr, "driver: message %u instead of %u\n", m->type, type);
		exit(99);
	}
}

static void take_ca(void)
{
	auto_msg_in struct msg_in m = { 0 };
	const char *pem;
	FILE *f;

	expect(&m, PROXY_CA);
	pem = msg_get_str(&m);
	if (!opt.ca_out)
		return;
	f = fopen(opt.ca_out, "we");
	if (!f || fputs(pem, f) < 0 || fclose(f) != 0)
		die(opt.ca_out);
}

static void await(uint16_t type)
{
	auto_msg_in struct msg_in m = { 0 };

	expect(&m, type);
}

static pid_t start_proxy(void)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		char *const argv[] = { (char *)opt.proxy, NULL };

		if (pair[1] == PROXY_FD)
			(void)fcntl(PROXY_FD, F_SETFD, 0);
		else if (dup2(pair[1], PROXY_FD) < 0)
			_exit(98);
		execv(opt.proxy, argv);
		_exit(97);
	}
	(void)close(pair[1]);
	link_fd = pair[0];
	return pid;
}

/* "[ADDR:]PORT [HOST PORT [BINARY]]" */
static void register_tuple(char *text)
{
	auto_msg_out struct msg_out m;
	char *ancestors[] = { (char *)"/usr/bin/bash", NULL };
	char *save, *from = strtok_r(text, " \n", &save), *colon = from ? strchr(from, ':') : NULL;
	const char *addr = colon ? from : "127.0.0.1", *port = colon ? colon + 1 : from;
	char *host = strtok_r(NULL, " \n", &save), *to = strtok_r(NULL, " \n", &save);
	char *binary = strtok_r(NULL, " \n", &save);
	struct tuple t = { .mode = host ? TUPLE_TRANSPARENT : TUPLE_EXPLICIT,
		.source_port = port ? (uint32_t)atoi(port) : 0,
		.host = host,
		.port = to ? (uint32_t)atoi(to) : 0,
		.pid = 64,
		.binary = !binary ? opt.binary : *binary == '-' ? NULL : binary,
		.ancestors = ancestors,
		.sha256 = "00",
		.cookie = ++cookie };

	if (binary && *binary == '-' && binary[1]) {
		t.binary = binary + 1;
		t.denied = "the binary has changed";
	}
	if (colon)
		*colon = '\0';
	if (netaddr_parse(addr, &t.source) < 0)
		die(addr);
	msg_out_init(&m, PROXY_TUPLE, 0);
	tuple_put(&m, &t);
	must_send(&m);
}

static void give_resolver(void)
{
	auto_msg_out struct msg_out m;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	msg_out_init(&m, PROXY_RESOLVER, 0);
	msg_put_fd(&m, pair[1]);
	must_send(&m);
	(void)close(pair[1]);
	resolver_fd = pair[0];
}

/* The answer at @said, as often as there is no other. */
static const char *next_answer(const char **said)
{
	static char text[2048];
	size_t len = strcspn(*said, "/");

	(void)snprintf(text, sizeof(text), "%.*s", (int)len, *said);
	if ((*said)[len])
		*said += len + 1;
	return text;
}

/* What --answer knows of @name: what follows the "=", or NULL. */
static const char *given_answer(const char *name)
{
	for (size_t i = 0; i < opt.n_answers; i++) {
		const char *a = opt.answers[i], *equal = strchr(a, '=');
		size_t len = equal ? (size_t)(equal - a) : 0, n = strlen(name);

		if (len == n && strncmp(a, name, n) == 0)
			return next_answer(&opt.said[i]);
		if (len > 1 && a[0] == '*' && n >= len &&
			strncmp(name + n - len + 1, a + 1, len - 1) == 0)
			return next_answer(&opt.said[i]);
	}
	return NULL;
}

static size_t parse_answer(const char *text, struct netaddr *addrs)
{
	char copy[2048], *save = NULL;
	size_t n = 0;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	for (char *a = strtok_r(copy, ",", &save); a && n < ADDRS_MAX;
		a = strtok_r(NULL, ",", &save))
		if (netaddr_parse(a, &addrs[n]) == 0)
			n++;
	return n;
}

static void note_question(const char *name)
{
	FILE *f = opt.asked ? fopen(opt.asked, "ae") : NULL;

	if (!f)
		return;
	fprintf(f, "%s\n", name);
	(void)fclose(f);
}

/* The system's answer: 0 or an error of getaddrinfo(3). */
static int ask_system(const char *name, struct netaddr *addrs, size_t *ret_n)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL, *ai;
	int r = getaddrinfo(name, NULL, &hints, &list);

	for (ai = list; ai && *ret_n < ADDRS_MAX; ai = ai->ai_next)
		if (netaddr_from_sockaddr(ai->ai_addr, ai->ai_addrlen, &addrs[*ret_n], NULL) == 0)
			++*ret_n;
	if (list)
		freeaddrinfo(list);
	return r;
}

static void resolve(void)
{
	auto_msg_in struct msg_in in = { 0 };
	auto_msg_out struct msg_out out = { 0 };
	struct netaddr addrs[ADDRS_MAX];
	const char *name, *given;
	size_t n = 0;
	int r = 0;

	if (msg_recv(resolver_fd, &in) <= 0) {
		(void)close(resolver_fd);
		resolver_fd = -1;
		return;
	}
	name = msg_get_str(&in);
	note_question(name);
	given = given_answer(name);
	if (given && !*given)
		return;
	if (given)
		n = parse_answer(given, addrs);
	else
		r = ask_system(name, addrs, &n);
	msg_out_init(&out, RESOLVER_ANSWER, in.id);
	msg_put_u32(&out, r ? (uint32_t)-r : 0);
	msg_put_str(&out, r ? gai_strerror(r) : "");
	msg_put_bytes(&out, addrs, n * sizeof(*addrs));
	(void)msg_send(resolver_fd, &out);
}

static int tuple_socket(struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(sun->sun_path, sizeof(sun->sun_path), "/tmp/proxy_driver.%d", (int)getpid());
	(void)unlink(sun->sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)sun, sizeof(*sun)) < 0)
		die("bind");
	return fd;
}

static struct sockaddr_un waiting_for_policy;
static socklen_t waiting_len;

static void on_datagram(int fd)
{
	struct sockaddr_un from;
	socklen_t len = sizeof(from);
	char text[4096];
	ssize_t n = recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&from, &len);

	if (n <= 0)
		return;
	text[n] = '\0';
	if (strcmp(text, "sync") == 0) {
		(void)sendto(fd, "synced", 6, 0, (struct sockaddr *)&from, len);
	} else if (strncmp(text, "policy ", 7) == 0) {
		text[strcspn(text, "\n")] = '\0';
		waiting_for_policy = from;
		waiting_len = len;
		send_policy(text + 7);
	} else {
		register_tuple(text);
	}
}

static void on_proxy(int fd)
{
	auto_msg_in struct msg_in m = { 0 };
	char text[64];

	if (msg_recv(link_fd, &m) <= 0) {
		fprintf(stderr, "driver: the proxy is gone\n");
		exit(96);
	}
	if (m.type == PROXY_NEED_RESOLVER) {
		give_resolver();
	} else if (m.type == PROXY_POLICY_DONE) {
		uint32_t number = msg_get_u32(&m), closed = msg_get_u32(&m);
		int len = snprintf(text, sizeof(text), "%u %u\n", number, closed);

		if (waiting_len > sizeof(sa_family_t))
			(void)sendto(fd, text, (size_t)len, 0, (struct sockaddr *)&waiting_for_policy,
				waiting_len);
	}
}

static pid_t start_command(char **argv, int port, const char *tuples)
{
	char text[64];
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	(void)snprintf(text, sizeof(text), "%d", port);
	(void)setenv("PROXY_PORT", text, 1);
	(void)setenv("PROXY_TUPLES", tuples, 1);
	(void)snprintf(text, sizeof(text), "http://127.0.0.1:%d", port);
	(void)setenv("http_proxy", text, 1);
	(void)setenv("https_proxy", text, 1);
	execvp(argv[0], argv);
	die(argv[0]);
	return -1;
}

static volatile sig_atomic_t child_ended;

static void on_child(int sig)
{
	(void)sig;
	child_ended = 1;
}

static int serve(pid_t command, int tuples, const sigset_t *during)
{
	struct timespec none = { .tv_sec = 3600 };
	int status;

	for (;;) {
		struct pollfd p[] = { { tuples, POLLIN, 0 }, { link_fd, POLLIN, 0 },
			{ resolver_fd, POLLIN, 0 } };

		if (ppoll(p, resolver_fd >= 0 ? 3 : 2, &none, during) > 0) {
			if (p[1].revents)
				on_proxy(tuples);
			if (resolver_fd >= 0 && p[2].revents)
				resolve();
			if (p[0].revents)
				on_datagram(tuples);
		}
		if (child_ended && waitpid(command, &status, WNOHANG) == command)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = { { "proxy", 1, 0, 'p' }, { "policy", 1, 0, 'P' },
		{ "trust", 1, 0, 't' }, { "extra-ca", 1, 0, 'e' }, { "log", 1, 0, 'l' },
		{ "ca-out", 1, 0, 'c' }, { "connect-to", 1, 0, 'C' }, { "binary", 1, 0, 'b' },
		{ "audit", 0, 0, 'a' }, { "upstream-proxy", 1, 0, 'u' }, { "no-proxy", 1, 0, 'n' },
		{ "time", 0, 0, 'T' }, { "deny", 1, 0, 'd' }, { "answer", 1, 0, 'A' },
		{ "asked", 1, 0, 'q' }, { 0 } };
	int o;

	while ((o = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		switch (o) {
		case 'p': opt.proxy = optarg; break;
		case 'P': opt.policy = optarg; break;
		case 't': opt.trust = optarg; break;
		case 'e': opt.extra_ca = optarg; break;
		case 'l': opt.log = optarg; break;
		case 'c': opt.ca_out = optarg; break;
		case 'b': opt.binary = optarg; break;
		case 'u': opt.chain = optarg; break;
		case 'n': opt.no_proxy = optarg; break;
		case 'a': opt.audit = 1; break;
		case 'T': opt.time = 1; break;
		case 'q':
			opt.asked = optarg;
			break;
		case 'A':
			if (opt.n_answers == PINS_MAX || !strchr(optarg, '='))
				exit(98);
			opt.said[opt.n_answers] = strchr(optarg, '=') + 1;
			opt.answers[opt.n_answers++] = optarg;
			break;
		case 'C':
			if (opt.n_pins < PINS_MAX)
				opt.pins[opt.n_pins++] = optarg;
			break;
		case 'd':
			if (opt.n_deny < PINS_MAX)
				opt.deny[opt.n_deny++] = optarg;
			break;
		default: exit(98);
		}
	}
	if (!opt.proxy || !opt.policy || (!opt.time && optind == argc)) {
		fprintf(stderr, "proxy_driver: --proxy, --policy and a command are needed\n");
		exit(98);
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_child };
	struct sockaddr_un sun;
	sigset_t block, during;
	double t0, t1, t2;
	int port, tuples, status, proxy_status;
	pid_t proxy;

	parse(argc, argv);
	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGCHLD);
	t0 = now_ms();
	proxy = start_proxy();
	send_setup();
	send_policy(opt.policy);
	port = send_listener();
	take_ca();
	t1 = now_ms();
	await(PROXY_POLICY_DONE);
	await(PROXY_READY);
	t2 = now_ms();
	if (opt.time) {
		printf("%.3f %.3f\n", t1 - t0, t2 - t0);
		return 0;
	}
	tuples = tuple_socket(&sun);
	(void)sigaction(SIGCHLD, &sa, NULL);
	(void)sigprocmask(SIG_BLOCK, &block, &during);
	(void)sigdelset(&during, SIGCHLD);
	status = serve(start_command(argv + optind, port, sun.sun_path), tuples, &during);
	(void)unlink(sun.sun_path);
	(void)close(link_fd);
	return waitpid(proxy, &proxy_status, 0) == proxy && proxy_status == 0 ? status : 96;
}
