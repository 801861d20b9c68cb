/*
 * What an agent is told about the sandbox it is in: a file that it can read where agents may
 * propose rules.
 */
#pragma once

struct mounts;

/* As deny bodies of the proxy name it. /etc is the host's and has no room for it. */
#define SKILL_FILE "/run/openshell/skills/policy_advisor.md"

/* 0 or -errno. */
int skill_add(struct mounts *m);
