/*
 * completions, which prints a script for a shell, and the hidden __complete, which the scripts
 * ask: what fits follows from the command tables, so that it cannot go stale.
 */
#include <stdio.h>
#include <string.h>

#include "launcher/cmd.h"
#include "launcher/out.h"
#include "lib/cleanup.h"
#include "lib/state.h"
#include "lib/str.h"
#include "lib/strv.h"

/* The files of launcher/completions/, which packages install as they are. */
#define EMBED(symbol, path)                                                                        \
	__asm__(".pushsection .rodata\n" #symbol ": .incbin \"" path "\"\n"                        \
		".byte 0\n"                                                                        \
		".popsection\n");                                                                  \
	extern const char symbol[] __attribute__((visibility("hidden")))

EMBED(completion_bash, "launcher/completions/openshell.bash");
EMBED(completion_zsh, "launcher/completions/_openshell");
EMBED(completion_fish, "launcher/completions/openshell.fish");

int cmd_completions(const struct cli_command *cmd, int argc, char **argv)
{
	static const struct {
		const char *shell, *script;
	} scripts[] = {
		{ "bash", completion_bash },
		{ "zsh", completion_zsh },
		{ "fish", completion_fish },
	};
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r >= 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		if (str_eq(a.pos[0], scripts[i].shell)) {
			(void)fputs(scripts[i].script, stdout);
			return CLI_OK;
		}
	}
	return cli_usage_error(
		"'%s': no completions for this shell; there are bash, zsh and fish", a.pos[0]);
}

/* --- what fits --- */

static void offer(const char *prefix, const char *word, const char *about)
{
	if (!str_starts(word, prefix))
		return;
	(void)printf(about ? "%s\t%s\n" : "%s\n", word, about);
}

static void offer_sandboxes(const char *prefix)
{
	auto_strv char **names = NULL;

	if (state_list(&names, NULL) < 0)
		return;
	for (size_t i = 0; names && names[i]; i++)
		offer(prefix, names[i], NULL);
}

static void offer_subs(const char *prefix, const struct cli_command *group)
{
	for (const struct cli_command *c = group->subs; c->name; c++) {
		if (!c->is_hidden)
			offer(prefix, c->name, c->summary);
	}
}

static void offer_options(const char *prefix, const struct cli_command *cmd)
{
	for (const struct cli_option *o = cmd->options; o && o->kind != CLI_END; o++) {
		char word[64];

		(void)str_format(word, sizeof(word), "--%s", o->name);
		if (o->kind != CLI_REFUSED && o->kind != CLI_IGNORED)
			offer(prefix, word, o->help);
	}
	offer(prefix, "--help", "Show help");
}

/* The values of an option, by what its help calls them. */
static void offer_values(const char *prefix, const struct cli_option *o)
{
	static const char *const formats[] = { "table", "json", "yaml" };
	static const char *const themes[] = { "auto", "dark", "light" };
	static const char *const backends[] = { "auto", "seccomp", "ptrace", "preload" };

	if (str_eq(o->arg, "FILE") || str_eq(o->arg, "PATH"))
		(void)puts(":files");
	else if (str_eq(o->arg, "DIR"))
		(void)puts(":dirs");
	else if (str_eq(o->arg, "NAME"))
		offer_sandboxes(prefix);
	for (size_t i = 0; str_eq(o->arg, "FORMAT") && i < ARRAY_SIZE(formats); i++)
		offer(prefix, formats[i], NULL);
	for (size_t i = 0; str_eq(o->arg, "THEME") && i < ARRAY_SIZE(themes); i++)
		offer(prefix, themes[i], NULL);
	for (size_t i = 0; str_eq(o->arg, "BACKEND") && i < ARRAY_SIZE(backends); i++)
		offer(prefix, backends[i], NULL);
}

/* "bash|zsh|fish" */
static void offer_words(const char *prefix, const char *words)
{
	while (*words) {
		auto_free char *word = strndup(words, strcspn(words, "|"));

		if (word)
			offer(prefix, word, NULL);
		words += strcspn(words, "|");
		words += *words == '|';
	}
}

/* The option of @cmd that @word is and whose value the next word would be, or NULL. */
static const struct cli_option *awaits_value(const struct cli_command *cmd, const char *word)
{
	for (const struct cli_option *o = cmd->options; o && o->kind != CLI_END; o++) {
		bool is_long = str_starts(word, "--") && str_eq(word + 2, o->name);
		bool is_short = o->letter && word[0] == '-' && word[1] == o->letter && !word[2];

		if ((is_long || is_short) && o->arg && o->kind != CLI_REFUSED)
			return o;
	}
	return NULL;
}

/* The last of @words is the one being typed. */
int cmd_complete(int argc, char **argv)
{
	const struct cli_command *cmd = &cli_root;
	const struct cli_option *waiting = NULL;
	const char *typed = argc > 1 ? argv[argc - 1] : "";

	for (int i = 1; i < argc - 1; i++) {
		const struct cli_command *sub = cmd->subs ? cli_find(cmd, argv[i]) : NULL;

		if (str_eq(argv[i], "--")) {
			(void)puts(":files");
			return CLI_OK;
		}
		waiting = waiting ? NULL : awaits_value(cmd, argv[i]);
		cmd = sub ? sub : cmd;
	}
	if (waiting)
		offer_values(typed, waiting);
	else if (cmd->subs)
		offer_subs(typed, cmd);
	else if (typed[0] == '-')
		offer_options(typed, cmd);
	else if (cmd->names_first)
		offer_sandboxes(typed);
	else if (cmd->args && strchr(cmd->args, '|'))
		offer_words(typed, cmd->args);
	else
		(void)puts(":files");
	return CLI_OK;
}
