# `make bench`: the budgets of the design, each against its yardstick in the same run.

bench: setup-bench	## measures every budget: a table, and build/bench.json; BENCHES='start' for some
	@$(MAKE) --no-print-directory -s -j$(JOBS) all support bench-build
	@tests/bench/run $(BENCHES)

bench-build: $(BENCH) $(O)/bench/openshell-proxy-nolog

# The yardstick for the cost of the log: before lib.a, so that the real one is not linked.
$(O)/bench/openshell-proxy-nolog: $(O)/proxy/main.o $(O)/tests/bench/nolog/log.o $(O)/proxy.a $(O)/lib.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_proxy) $(LIBS_lib) $(LIBS_llhttp)

.PHONY: bench bench-build
