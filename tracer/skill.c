#include "tracer/skill.h"

#include <string.h>

#include "lib/fd.h"
#include "tracer/mounts.h"

__asm__(".pushsection .rodata\nskill_text: .incbin \"tracer/policy_advisor.md\"\n.byte "
	"0\n.popsection\n");
extern const char skill_text[] __attribute__((visibility("hidden")));

int skill_add(struct mounts *m)
{
	int fd = fd_memfile("skill", skill_text, strlen(skill_text));

	return fd < 0 ? fd : mounts_add(m, MOUNT_DATA, NULL, SKILL_FILE, fd, true);
}
