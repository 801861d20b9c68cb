#include "lib/policy.h"

/* openshell-upstream.md section 8, with the home of the sandbox. */
const char policy_default_yaml[] =
	"version: 1\n"
	"filesystem_policy:\n"
	"  include_workdir: true\n"
	"  read_only: [/usr, /lib, /proc, /dev/urandom, /app, /etc, /var/log]\n"
	"  read_write: [/sandbox, /tmp, /dev/null]\n"
	"landlock:\n"
	"  compatibility: best_effort\n"
	"process:\n"
	"  run_as_user: sandbox\n"
	"  run_as_group: sandbox\n"
	"network_policies: {}\n";
