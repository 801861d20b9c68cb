/* sandbox upload and sandbox download. */
#include <stddef.h>

#include "launcher/cmd.h"
#include "launcher/sandbox.h"
#include "launcher/session.h"
#include "launcher/transfer.h"

struct upload_options {
	bool is_whole;
};

const struct cli_option cmd_upload_options[] = {
	{ CLI_FLAG, "no-git-ignore", 0, offsetof(struct upload_options, is_whole), 0, NULL,
		"Also copy what git ignores, and .git itself" },
	{ CLI_END, NULL, 0, 0, 0, NULL, NULL },
};

int cmd_upload(const struct cli_command *cmd, int argc, char **argv)
{
	struct upload_options o = { 0 };
	char name[STATE_NAME_MAX + 1];
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, &o, &a);

	if (r < 0)
		r = sandbox_name(a.pos[0], name);
	if (r >= 0)
		return r;
	session_block_signals();
	return transfer_upload(name, a.pos[1], a.pos[2], o.is_whole);
}

int cmd_download(const struct cli_command *cmd, int argc, char **argv)
{
	char name[STATE_NAME_MAX + 1];
	struct cli_args a;
	int r = cli_parse(cmd, argc, argv, NULL, &a);

	if (r < 0)
		r = sandbox_name(a.pos[0], name);
	if (r >= 0)
		return r;
	session_block_signals();
	return transfer_download(name, a.pos[1], a.pos[2] ? a.pos[2] : ".");
}
