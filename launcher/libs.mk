# The completion scripts are part of the binary.
.DEFAULT_GOAL := all
$(O)/launcher/cmd_completions.o: $(wildcard launcher/completions/*)
