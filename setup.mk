# Installs what is missing with the system's package manager. Quick when nothing is.

SETUP ?= build

setup:	## installs what the build (SETUP=check: the tests) lacks
	@tests/support/setup $(SETUP)

setup-%:
	@tests/support/setup $*

.PHONY: setup
