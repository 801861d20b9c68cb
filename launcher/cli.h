/*
 * The command line as data: commands and their options are tables, from which parsing, help and
 * completion are derived.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,	    /* the operation failed */
	CLI_USAGE = 2,	    /* the command line is wrong */
	CLI_TIMEOUT = 124,  /* --wait or --timeout ran out */
	CLI_NO_START = 125, /* the sandbox could not be started */
};

enum cli_kind {
	CLI_END = 0,
	CLI_FLAG,    /* bool at `at` becomes true */
	CLI_CHOICE,  /* int at `at` becomes `value`: --tty, --no-tty */
	CLI_STR,     /* const char * at `at` */
	CLI_LIST,    /* char ** (lib/strv.h) at `at`; repeatable */
	CLI_UINT,    /* unsigned int at `at`, at most `value` */
	CLI_FORMAT,  /* enum out_format at `at`: table, json, yaml */
	CLI_REFUSED, /* exists upstream, has no meaning here: `help` says why */
	CLI_IGNORED, /* exists upstream and changes nothing here; takes a value if `arg` is set */
};

struct cli_option {
	enum cli_kind kind;
	const char *name; /* without the dashes */
	char letter;	  /* 0: none */
	size_t at;	  /* offset in the command's options struct */
	int value;
	const char *arg; /* what the value is called: "FILE", "DIR", "NAME" … */
	const char *help;
};

enum cli_trailing {
	CLI_NO_COMMAND = 0,
	CLI_COMMAND,	  /* -- CMD… */
	CLI_COMMAND_HERE, /* the first positional argument starts it, with or without -- */
};

struct cli_command {
	const char *name;
	const char *alias; /* NULL: none */
	const char *args;  /* what follows the options in the usage line, or NULL */
	const char *summary;
	const char *examples;		  /* lines, each ended by a newline */
	const struct cli_option *options; /* up to CLI_END, or NULL */
	unsigned int min_args, max_args;
	enum cli_trailing trailing;
	bool names_first; /* the first positional is a sandbox name (completion) */
	bool is_hidden;
	/* One of three: a command of this table … */
	int (*run)(const struct cli_command *cmd, int argc, char **argv);
	/* … one that parses for itself; argv[0] is its name … */
	int (*main)(int argc, char **argv);
	/* … or a group: up to an entry without a name. */
	const struct cli_command *subs;
};

struct cli_args {
	char **pos; /* positional arguments, NULL-terminated */
	int n_pos;
	char **command; /* what follows "--"; NULL: there was none. NULL-terminated */
	int n_command;
};

/* The whole tree; its root is the program. */
extern const struct cli_command cli_root;

/*
 * Parses @argv (argv[0] is the command's name) into @opts and @ret. Sorts @argv in place. Returns
 * -1 to go on, else the status to exit with: help was printed, or an error.
 */
int cli_parse(
	const struct cli_command *cmd, int argc, char **argv, void *opts, struct cli_args *ret);

/* Finds the command that @argv names and runs it. */
int cli_run(const struct cli_command *root, int argc, char **argv);

/* The entry of @group called @name (or by its alias), or NULL. */
const struct cli_command *cli_find(const struct cli_command *group, const char *name);

/* "openshell sandbox create", for usage lines. */
const char *cli_path(void);

/* "openshell: text" and a hint that names --help; returns CLI_USAGE. */
int cli_usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The options every command takes. */
extern const struct cli_option cli_global_options[];
