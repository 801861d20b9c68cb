/*
 * The commands: one file each (or one for a few that belong together). They return the status to
 * exit with.
 */
#pragma once

#include "launcher/cli.h"

extern const struct cli_option cmd_create_options[];
extern const struct cli_option cmd_exec_options[];
extern const struct cli_option cmd_connect_options[];
extern const struct cli_option cmd_list_options[];
extern const struct cli_option cmd_get_options[];
extern const struct cli_option cmd_delete_options[];
extern const struct cli_option cmd_policy_set_options[];
extern const struct cli_option cmd_policy_get_options[];
extern const struct cli_option cmd_policy_update_options[];
extern const struct cli_option cmd_policy_diff_options[];
extern const struct cli_option cmd_policy_learn_options[];
extern const struct cli_option cmd_policy_list_options[];
extern const struct cli_option cmd_policy_coverage_options[];
extern const struct cli_option cmd_rule_get_options[];
extern const struct cli_option cmd_rule_approve_options[];
extern const struct cli_option cmd_rule_approve_all_options[];
extern const struct cli_option cmd_rule_reject_options[];
extern const struct cli_option cmd_provider_create_options[];
extern const struct cli_option cmd_provider_list_options[];
extern const struct cli_option cmd_provider_update_options[];
extern const struct cli_option cmd_inference_set_options[];
extern const struct cli_option cmd_settings_get_options[];
extern const struct cli_option cmd_settings_set_options[];
extern const struct cli_option cmd_settings_delete_options[];
extern const struct cli_option cmd_format_options[];
extern const struct cli_option cmd_logs_options[];
extern const struct cli_option cmd_term_options[];
extern const struct cli_option cmd_forward_start_options[];
extern const struct cli_option cmd_upload_options[];
extern const struct cli_option cmd_ssh_proxy_options[];

int cmd_create(const struct cli_command *cmd, int argc, char **argv);
int cmd_exec(const struct cli_command *cmd, int argc, char **argv);
int cmd_connect(const struct cli_command *cmd, int argc, char **argv);
int cmd_list(const struct cli_command *cmd, int argc, char **argv);
int cmd_get(const struct cli_command *cmd, int argc, char **argv);
int cmd_delete(const struct cli_command *cmd, int argc, char **argv);
int cmd_stop(const struct cli_command *cmd, int argc, char **argv);
int cmd_start(const struct cli_command *cmd, int argc, char **argv);
int cmd_trust(const struct cli_command *cmd, int argc, char **argv);

int cmd_upload(const struct cli_command *cmd, int argc, char **argv);
int cmd_download(const struct cli_command *cmd, int argc, char **argv);
int cmd_ssh_config(const struct cli_command *cmd, int argc, char **argv);
int cmd_ssh_proxy(const struct cli_command *cmd, int argc, char **argv);

int cmd_policy_set(const struct cli_command *cmd, int argc, char **argv);
int cmd_policy_update(const struct cli_command *cmd, int argc, char **argv);
int cmd_policy_diff(const struct cli_command *cmd, int argc, char **argv);
int cmd_policy_learn(const struct cli_command *cmd, int argc, char **argv);
int cmd_policy_get(const struct cli_command *cmd, int argc, char **argv);
int cmd_policy_list(const struct cli_command *cmd, int argc, char **argv);

int cmd_policy_coverage(const struct cli_command *cmd, int argc, char **argv);

int cmd_rule_get(const struct cli_command *cmd, int argc, char **argv);
int cmd_rule_approve(const struct cli_command *cmd, int argc, char **argv);
int cmd_rule_approve_all(const struct cli_command *cmd, int argc, char **argv);
int cmd_rule_reject(const struct cli_command *cmd, int argc, char **argv);
int cmd_rule_clear(const struct cli_command *cmd, int argc, char **argv);
int cmd_rule_history(const struct cli_command *cmd, int argc, char **argv);

int cmd_provider_create(const struct cli_command *cmd, int argc, char **argv);
int cmd_provider_update(const struct cli_command *cmd, int argc, char **argv);
int cmd_provider_delete(const struct cli_command *cmd, int argc, char **argv);
int cmd_provider_get(const struct cli_command *cmd, int argc, char **argv);
int cmd_provider_list(const struct cli_command *cmd, int argc, char **argv);
int cmd_provider_profiles(const struct cli_command *cmd, int argc, char **argv);
int cmd_inference_set(const struct cli_command *cmd, int argc, char **argv);
int cmd_inference_update(const struct cli_command *cmd, int argc, char **argv);
int cmd_inference_get(const struct cli_command *cmd, int argc, char **argv);
int cmd_inference_delete(const struct cli_command *cmd, int argc, char **argv);
int cmd_sandbox_provider_list(const struct cli_command *cmd, int argc, char **argv);
int cmd_sandbox_provider_attach(const struct cli_command *cmd, int argc, char **argv);
int cmd_sandbox_provider_detach(const struct cli_command *cmd, int argc, char **argv);

int cmd_settings_get(const struct cli_command *cmd, int argc, char **argv);
int cmd_settings_set(const struct cli_command *cmd, int argc, char **argv);
int cmd_settings_delete(const struct cli_command *cmd, int argc, char **argv);

int cmd_forward_start(const struct cli_command *cmd, int argc, char **argv);
int cmd_forward_stop(const struct cli_command *cmd, int argc, char **argv);
int cmd_forward_list(const struct cli_command *cmd, int argc, char **argv);

int cmd_gateway_start(const struct cli_command *cmd, int argc, char **argv);
int cmd_gateway_stop(const struct cli_command *cmd, int argc, char **argv);
int cmd_gateway_list(const struct cli_command *cmd, int argc, char **argv);
int cmd_gateway_select(const struct cli_command *cmd, int argc, char **argv);
int cmd_gateway_info(const struct cli_command *cmd, int argc, char **argv);
int cmd_status(const struct cli_command *cmd, int argc, char **argv);
int cmd_doctor(const struct cli_command *cmd, int argc, char **argv);
int cmd_completions(const struct cli_command *cmd, int argc, char **argv);
int cmd_complete(int argc, char **argv);

int cmd_profile_list(const struct cli_command *cmd, int argc, char **argv);
int cmd_profile_show(const struct cli_command *cmd, int argc, char **argv);

int cmd_logs(const struct cli_command *cmd, int argc, char **argv);
int cmd_term(const struct cli_command *cmd, int argc, char **argv);
