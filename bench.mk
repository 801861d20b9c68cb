# `make bench`: the budgets of the design, each against its yardstick in the same run.

bench: setup-bench	## measures every budget: a table, and build/bench.json; BENCHES='start' for some
	@$(MAKE) --no-print-directory -s -j$(JOBS) all support bench-build
	@tests/bench/run $(BENCHES)

bench-build: $(BENCH)

.PHONY: bench bench-build
