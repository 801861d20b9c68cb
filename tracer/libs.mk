# The skill file is part of the binary.
.DEFAULT_GOAL := all
$(O)/tracer/skill.o: tracer/policy_advisor.md
