/*
 * openshell - the command line.
 *
 * May: read the state of sandboxes, start supervisors and talk to them, remove what dead ones
 * left behind, and write to its own standard output and error.
 * May not: decide anything about a connection, hold state of its own, or write into a sandbox
 * that is alive.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/cmd_policy.h"
#include "launcher/out.h"

static const struct cli_command sandbox_provider_commands[] = {
	{ .name = "list",
		.args = "[NAME]",
		.summary = "Show whose credentials a sandbox may use",
		.examples = "  openshell sandbox provider list demo\n",
		.options = cmd_format_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_sandbox_provider_list },
	{ .name = "attach",
		.args = "NAME PROVIDER",
		.summary = "Let a sandbox use a provider's credentials",
		.examples = "  openshell sandbox provider attach demo my-github\n",
		.min_args = 2,
		.max_args = 2,
		.names_first = true,
		.run = cmd_sandbox_provider_attach },
	{ .name = "detach",
		.args = "NAME PROVIDER",
		.summary = "Take them away, at once",
		.examples = "  openshell sandbox provider detach demo my-github\n",
		.min_args = 2,
		.max_args = 2,
		.names_first = true,
		.run = cmd_sandbox_provider_detach },
	{ 0 },
};

static const struct cli_command sandbox_commands[] = {
	{ .name = "create",
		.args = "[-- CMD...]",
		.summary = "Create a sandbox and run a command (or a shell) in it",
		.examples =
			"  openshell sandbox create -- claude\n"
			"  openshell sandbox create --name demo --keep\n"
			"  openshell sandbox create --policy policy.yaml --ro ~/data -- make test\n"
			"  openshell sandbox create --audit -- npm install\n",
		.options = cmd_create_options,
		.trailing = CLI_COMMAND,
		.run = cmd_create },
	{ .name = "connect",
		.args = "[NAME]",
		.summary = "Attach to a sandbox's main process, or open a shell in it",
		.examples = "  openshell sandbox connect demo\n"
			    "  openshell sandbox connect --editor vscode demo\n"
			    "  echo 'make test' | openshell sandbox connect demo\n",
		.options = cmd_connect_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_connect },
	{ .name = "exec",
		.args = "-- CMD...",
		.summary = "Run a command in a running sandbox",
		.examples = "  openshell sandbox exec -n demo -- make test\n"
			    "  tar c src | openshell sandbox exec -n demo -- tar x -C /sandbox\n"
			    "  openshell sandbox exec -n demo --timeout 30 -- ./slow\n",
		.options = cmd_exec_options,
		.trailing = CLI_COMMAND_HERE,
		.run = cmd_exec },
	{ .name = "list",
		.summary = "List sandboxes",
		.examples = "  openshell sandbox list\n"
			    "  openshell sandbox list --selector team=web -o json\n",
		.options = cmd_list_options,
		.run = cmd_list },
	{ .name = "get",
		.args = "[NAME]",
		.summary = "Show a sandbox and its policy",
		.examples = "  openshell sandbox get demo\n"
			    "  openshell sandbox get demo --policy-only >policy.yaml\n",
		.options = cmd_get_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_get },
	{ .name = "delete",
		.args = "[NAME...]",
		.summary = "End a sandbox and remove its state; its log is kept for a while",
		.examples = "  openshell sandbox delete demo\n"
			    "  openshell sandbox delete --all\n",
		.options = cmd_delete_options,
		.max_args = 4096,
		.names_first = true,
		.run = cmd_delete },
	{ .name = "stop",
		.args = "[NAME]",
		.summary = "End a sandbox's processes and keep its state",
		.examples = "  openshell sandbox stop demo\n",
		.max_args = 1,
		.names_first = true,
		.run = cmd_stop },
	{ .name = "start",
		.args = "[NAME]",
		.summary = "Start a stopped sandbox again",
		.examples = "  openshell sandbox start demo\n",
		.max_args = 1,
		.names_first = true,
		.run = cmd_start },
	{ .name = "provider",
		.summary = "Whose credentials a sandbox may use",
		.examples = "  openshell sandbox provider attach demo my-github\n"
			    "  openshell sandbox provider list demo\n",
		.subs = sandbox_provider_commands },
	{ .name = "trust",
		.args = "NAME PATH",
		.summary = "Accept that a program has changed since the sandbox first saw it",
		.examples = "  openshell sandbox trust demo /home/me/.local/bin/claude\n",
		.min_args = 2,
		.max_args = 2,
		.names_first = true,
		.run = cmd_trust },
	{ .name = "upload",
		.args = "NAME LOCAL [DEST]",
		.summary = "Copy a file or directory into a running sandbox",
		.examples = "  openshell sandbox upload demo ./src /sandbox/src\n"
			    "  openshell sandbox upload demo notes.txt\n",
		.options = cmd_upload_options,
		.min_args = 2,
		.max_args = 3,
		.names_first = true,
		.run = cmd_upload },
	{ .name = "download",
		.args = "NAME PATH [DEST]",
		.summary = "Copy a file or directory out of a running sandbox",
		.examples = "  openshell sandbox download demo /sandbox/report.txt\n"
			    "  openshell sandbox download demo /sandbox/out results\n",
		.min_args = 2,
		.max_args = 3,
		.names_first = true,
		.run = cmd_download },
	{ .name = "ssh-config",
		.args = "[NAME]",
		.summary = "Print a block for ssh_config(5) that reaches a sandbox",
		.examples =
			"  openshell sandbox ssh-config demo >cfg && ssh -F cfg openshell-demo\n"
			"  openshell sandbox ssh-config demo >>~/.ssh/config\n",
		.max_args = 1,
		.names_first = true,
		.run = cmd_ssh_config },
	{ 0 },
};

static const struct cli_command policy_commands[] = {
	{ .name = "set",
		.args = "[NAME] --policy FILE",
		.summary = "Replace the policy of a running sandbox",
		.examples = "  openshell policy set demo --policy policy.yaml --wait\n",
		.options = cmd_policy_set_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_policy_set },
	{ .name = "update",
		.args = "[NAME]",
		.summary = "Change the policy of a running sandbox by small steps",
		.examples = "  openshell policy update demo --add-endpoint "
			    "pkgs.example.com:443:read-only:rest:enforce --binary /usr/bin/pip --wait\n"
			    "  openshell policy update demo --add-allow "
			    "'api.github.com:443:POST:/repos/*/issues'\n"
			    "  openshell policy update demo --remove-rule github_api --dry-run\n",
		.options = cmd_policy_update_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_policy_update },
	{ .name = "get",
		.args = "[NAME]",
		.summary = "Show the policy that decides, or an earlier version",
		.examples = "  openshell policy get demo\n"
			    "  openshell policy get demo --rev 2 -o json\n",
		.options = cmd_policy_get_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_policy_get },
	{ .name = "list",
		.args = "[NAME]",
		.summary = "List the versions of a sandbox's policy",
		.examples = "  openshell policy list demo\n",
		.options = cmd_policy_list_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_policy_list },
	{ .name = "diff",
		.args = "A B",
		.summary = "Say what policy B allows that A did not, and the reverse",
		.examples = "  openshell policy diff old.yaml new.yaml\n"
			    "  openshell policy diff demo@1 demo\n"
			    "  openshell policy diff demo new.yaml -o json\n",
		.options = cmd_policy_diff_options,
		.min_args = 2,
		.max_args = 2,
		.names_first = true,
		.run = cmd_policy_diff },
	{ .name = "coverage",
		.args = "[NAME]",
		.summary = "Show which rules were used, by what, and which never",
		.examples = "  openshell policy coverage demo\n"
			    "  openshell policy coverage demo --unused\n",
		.options = cmd_policy_coverage_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_policy_coverage },
	{ .name = "learn",
		.args = "--from NAME | -- CMD...",
		.summary = "Write the smallest policy that allows what was seen",
		.examples =
			"  openshell policy learn -o policy.yaml -- npm ci\n"
			"  openshell policy learn --from demo\n"
			"  openshell policy learn --from demo --merge policy.yaml -o policy.yaml\n",
		.options = cmd_policy_learn_options,
		.trailing = CLI_COMMAND,
		.run = cmd_policy_learn },
	{ .name = "check",
		.args = "FILE...",
		.summary = "Validate policy files: every error and every surprise",
		.main = cmd_policy_check },
	{ .name = "eval",
		.summary = "Show what a policy would decide, and why",
		.main = cmd_policy_eval },
	{ 0 },
};

static const struct cli_command rule_commands[] = {
	{ .name = "get",
		.args = "[NAME]",
		.summary = "List the denials of a sandbox as proposals, each with its rule",
		.examples = "  openshell rule get demo\n"
			    "  openshell rule get demo --status rejected -o json\n",
		.options = cmd_rule_get_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_rule_get },
	{ .name = "approve",
		.args = "[NAME] ID...",
		.summary = "Add the rules of proposals to the policy, at once",
		.examples = "  openshell rule approve demo 3f9c0a12d4e5\n",
		.options = cmd_rule_approve_options,
		.max_args = 64,
		.names_first = true,
		.run = cmd_rule_approve },
	{ .name = "reject",
		.args = "[NAME] ID...",
		.summary = "Do not list these proposals again",
		.examples = "  openshell rule reject demo 3f9c0a12d4e5 --reason 'telemetry'\n",
		.options = cmd_rule_reject_options,
		.max_args = 64,
		.names_first = true,
		.run = cmd_rule_reject },
	{ .name = "approve-all",
		.args = "[NAME]",
		.summary = "Approve every pending proposal without a security note",
		.examples = "  openshell rule approve-all demo\n",
		.options = cmd_rule_approve_all_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_rule_approve_all },
	{ .name = "clear",
		.args = "[NAME]",
		.summary = "Forget everything that waits for a decision",
		.examples = "  openshell rule clear demo\n",
		.max_args = 1,
		.names_first = true,
		.run = cmd_rule_clear },
	{ .name = "history",
		.args = "[NAME]",
		.summary = "Show what was approved and rejected, when, and why",
		.examples = "  openshell rule history demo\n"
			    "  openshell rule history demo -o json\n",
		.options = cmd_format_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_rule_history },
	{ 0 },
};

static const struct cli_command provider_commands[] = {
	{ .name = "create",
		.args = "--name NAME --type TYPE",
		.summary = "Keep secrets for sandboxes, which never see them",
		.examples = "  openshell provider create --name my-github --type github --from-existing\n"
			    "  openshell provider create --name claude --type claude-code --credential ANTHROPIC_API_KEY\n"
			    "  openshell provider create --name mine --type generic --credential MY_KEY --config endpoints=api.example.com:443\n",
		.options = cmd_provider_create_options,
		.run = cmd_provider_create },
	{ .name = "get",
		.args = "NAME",
		.summary = "Show a provider, without its secrets",
		.examples = "  openshell provider get my-github\n",
		.options = cmd_format_options,
		.min_args = 1,
		.max_args = 1,
		.run = cmd_provider_get },
	{ .name = "list",
		.summary = "List providers",
		.examples = "  openshell provider list\n"
			    "  openshell provider list --names\n",
		.options = cmd_provider_list_options,
		.run = cmd_provider_list },
	{ .name = "list-profiles",
		.summary = "List the types of providers",
		.examples = "  openshell provider list-profiles\n",
		.options = cmd_format_options,
		.run = cmd_provider_profiles },
	{ .name = "update",
		.args = "NAME",
		.summary = "Replace secrets or endpoints; sandboxes that run use them at once",
		.examples = "  openshell provider update my-github --credential GITHUB_TOKEN\n",
		.options = cmd_provider_update_options,
		.min_args = 1,
		.max_args = 1,
		.run = cmd_provider_update },
	{ .name = "delete",
		.args = "NAME...",
		.summary = "Forget a provider and its secrets",
		.examples = "  openshell provider delete my-github\n",
		.min_args = 1,
		.max_args = 64,
		.run = cmd_provider_delete },
	{ 0 },
};

static const struct cli_command inference_commands[] = {
	{ .name = "set",
		.args = "--provider NAME --model MODEL",
		.summary = "Choose the model that https://inference.local reaches",
		.examples = "  openshell inference set --provider my-openai --model gpt-5\n"
			    "  openshell inference set --provider ollama --model qwen3 --timeout 300\n",
		.options = cmd_inference_set_options,
		.run = cmd_inference_set },
	{ .name = "update",
		.summary = "Change some of it; what is not given stays",
		.examples = "  openshell inference update --model gpt-5-mini\n",
		.options = cmd_inference_set_options,
		.run = cmd_inference_update },
	{ .name = "get",
		.summary = "Show the route",
		.examples = "  openshell inference get -o json\n",
		.options = cmd_format_options,
		.run = cmd_inference_get },
	{ .name = "delete",
		.summary = "Close https://inference.local again",
		.examples = "  openshell inference delete\n",
		.run = cmd_inference_delete },
	{ 0 },
};

static const struct cli_command settings_commands[] = {
	{ .name = "get",
		.args = "[NAME]",
		.summary = "Show the settings of a sandbox, and where they come from",
		.examples = "  openshell settings get demo\n"
			    "  openshell settings get --global --json\n",
		.options = cmd_settings_get_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_settings_get },
	{ .name = "set",
		.args = "[NAME] --key KEY --value VALUE",
		.summary = "Change a setting of a sandbox, or of all",
		.examples = "  openshell settings set demo --key agent_policy_proposals_enabled --value true\n"
			    "  openshell settings set --global --key agent_policy_proposals_enabled --value true\n",
		.options = cmd_settings_set_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_settings_set },
	{ .name = "delete",
		.args = "[NAME] --key KEY",
		.summary = "Go back to the default, or to what holds for all",
		.examples = "  openshell settings delete demo --key agent_policy_proposals_enabled\n",
		.options = cmd_settings_delete_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_settings_delete },
	{ 0 },
};

static const struct cli_command profile_commands[] = {
	{ .name = "list",
		.summary = "List the profiles of agents, the user's own and the built-in ones",
		.examples = "  openshell profile list\n",
		.options = cmd_format_options,
		.run = cmd_profile_list },
	{ .name = "show",
		.args = "NAME",
		.summary = "Show a profile: what the agent is granted",
		.examples = "  openshell profile show claude\n"
			    "  openshell profile show claude >~/.config/openshell/profiles/claude.yaml\n",
		.options = cmd_format_options,
		.min_args = 1,
		.max_args = 1,
		.run = cmd_profile_show },
	{ 0 },
};

static const struct cli_command forward_commands[] = {
	{ .name = "start",
		.args = "[BIND:]PORT [NAME]",
		.summary = "Forward a port of the host to the same port in a sandbox",
		.examples = "  openshell forward start 8080 demo\n"
			    "  openshell forward start -d 0.0.0.0:3000 demo\n",
		.options = cmd_forward_start_options,
		.min_args = 1,
		.max_args = 2,
		.run = cmd_forward_start },
	{ .name = "stop",
		.args = "PORT [NAME]",
		.summary = "Stop forwarding a port",
		.examples = "  openshell forward stop 8080 demo\n",
		.min_args = 1,
		.max_args = 2,
		.run = cmd_forward_stop },
	{ .name = "list",
		.summary = "List forwarded ports",
		.examples = "  openshell forward list\n",
		.options = cmd_format_options,
		.run = cmd_forward_list },
	{ 0 },
};

static const struct cli_command gateway_commands[] = {
	{ .name = "start",
		.summary = "Say that there is nothing to start, and check this host",
		.examples = "  openshell gateway start\n",
		.max_args = 1,
		.run = cmd_gateway_start },
	{ .name = "stop",
		.summary = "Say that there is nothing to stop",
		.examples = "  openshell gateway stop\n",
		.max_args = 1,
		.run = cmd_gateway_stop },
	{ .name = "status",
		.summary = "Show that this machine is ready",
		.examples = "  openshell gateway status -o json\n",
		.options = cmd_format_options,
		.run = cmd_status },
	{ .name = "list",
		.summary = "List gateways: there is one, this machine",
		.examples = "  openshell gateway list\n",
		.options = cmd_format_options,
		.run = cmd_gateway_list },
	{ .name = "select",
		.args = "[NAME]",
		.summary = "Select a gateway: there is one",
		.examples = "  openshell gateway select local\n",
		.max_args = 1,
		.run = cmd_gateway_select },
	{ .name = "info",
		.args = "[NAME]",
		.summary = "Show the gateway",
		.examples = "  openshell gateway info\n",
		.options = cmd_format_options,
		.max_args = 1,
		.run = cmd_gateway_info },
	{ 0 },
};

static const struct cli_command commands[] = {
	{ .name = "sandbox",
		.alias = "sb",
		.summary = "Create, use and remove sandboxes",
		.examples = "  openshell sandbox create -- claude\n"
			    "  openshell sandbox create --name demo --keep\n"
			    "  openshell sandbox connect demo\n",
		.subs = sandbox_commands },
	{ .name = "policy",
		.alias = "pol",
		.summary = "What a sandbox may do",
		.examples = "  openshell policy set demo --policy policy.yaml --wait\n"
			    "  openshell policy get demo\n",
		.subs = policy_commands },
	{ .name = "logs",
		.alias = "lg",
		.args = "[NAME]",
		.summary = "Show what a sandbox did and was refused",
		.examples = "  openshell logs demo --since 5m\n"
			    "  openshell logs demo --level warn --tail\n"
			    "  openshell logs demo --format json -n 0 >demo.ocsf.jsonl\n",
		.options = cmd_logs_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_logs },
	{ .name = "term",
		.args = "[NAME]",
		.summary = "Watch sandboxes on a full screen; approve and reject by key",
		.examples = "  openshell term\n"
			    "  openshell term demo\n"
			    "  NO_COLOR=1 openshell term\n",
		.options = cmd_term_options,
		.max_args = 1,
		.names_first = true,
		.run = cmd_term },
	{ .name = "rule",
		.alias = "rl",
		.summary = "Turn denials into rules: look, approve, reject",
		.examples = "  openshell rule get demo\n"
			    "  openshell rule approve demo 3f9c0a12d4e5\n",
		.subs = rule_commands },
	{ .name = "provider",
		.summary = "Secrets that sandboxes can use and never see",
		.examples = "  openshell provider create --name my-github --type github --from-existing\n"
			    "  openshell sandbox create --provider my-github -- gh repo list\n",
		.subs = provider_commands },
	{ .name = "inference",
		.summary = "The model that sandboxes reach at https://inference.local",
		.examples = "  openshell provider create --name my-openai --type openai --from-existing\n"
			    "  openshell inference set --provider my-openai --model gpt-5\n",
		.subs = inference_commands },
	{ .name = "settings",
		.summary = "What agents may ask for, for one sandbox or all",
		.examples = "  openshell settings get demo\n"
			    "  openshell settings set demo --key agent_policy_proposals_enabled --value true\n",
		.subs = settings_commands },
	{ .name = "profile",
		.summary = "What is granted to which agent",
		.examples = "  openshell profile list\n"
			    "  openshell profile show claude\n",
		.subs = profile_commands },
	{ .name = "forward",
		.alias = "fwd",
		.summary = "Reach servers in a sandbox from the host",
		.examples = "  openshell forward start -d 8080 demo\n"
			    "  openshell forward list\n",
		.subs = forward_commands },
	{ .name = "gateway",
		.alias = "gw",
		.summary = "For scripts written for a gateway; there is none to run",
		.examples = "  openshell gateway start\n",
		.subs = gateway_commands },
	{ .name = "status",
		.summary = "Show how many sandboxes there are",
		.examples = "  openshell status\n",
		.options = cmd_format_options,
		.run = cmd_status },
	{ .name = "doctor",
		.alias = "dr",
		.args = "[check]",
		.summary = "Check what this host offers, and how to mend what is missing",
		.examples = "  openshell doctor\n"
			    "  openshell doctor -o json\n",
		.options = cmd_format_options,
		.max_args = 1,
		.run = cmd_doctor },
	{ .name = "completions",
		.args = "bash|zsh|fish",
		.summary = "Print a completion script for a shell",
		.examples =
			"  source <(openshell completions bash)\n"
			"  openshell completions fish >~/.config/fish/completions/openshell.fish\n",
		.min_args = 1,
		.max_args = 1,
		.run = cmd_completions },
	{ .name = "ssh-proxy",
		.args = "[NAME]",
		.summary = "Carry an SSH connection into a sandbox, for ProxyCommand",
		.examples =
			"  ssh -o ProxyCommand='openshell ssh-proxy --name demo' sandbox@demo\n",
		.options = cmd_ssh_proxy_options,
		.max_args = 1,
		.names_first = true,
		.is_hidden = true,
		.run = cmd_ssh_proxy },
	{ .name = "__complete", .summary = "", .is_hidden = true, .main = cmd_complete },
	{ 0 },
};

const struct cli_command cli_root = {
	.name = "openshell",
	.summary = "openshell: sandboxes for programs you would rather not trust",
	.examples = "  openshell sandbox create -- claude\n"
		    "  openshell logs --since 5m\n"
		    "  openshell doctor\n",
	.subs = commands,
};

/* A closed standard descriptor would be taken by the next open(), and handed to a sandbox. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

static void too_large(int sig)
{
	(void)sig;
}

int main(int argc, char **argv)
{
	/* A file that may not grow (ulimit -f) is an error to tell of. Caught, not ignored: execve(2) sets it back. */
	const struct sigaction sa = { .sa_handler = too_large, .sa_flags = SA_RESTART };
	int status;

	(void)sigaction(SIGXFSZ, &sa, NULL);

	if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0 ||
		fcntl(STDERR_FILENO, F_GETFD) < 0)
		fill_standard_descriptors();
	status = cli_run(&cli_root, argc, argv);
	/* A result that nobody received is no success. */
	if (fflush(stdout) != 0 && status == CLI_OK)
		status = out_error(
			CLI_FAILED, "cannot write to standard output: %s", err_name(errno));
	return status;
}
