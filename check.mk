# `make check`: set-up, build, every test, every linter. The steps that build are a second make, for
# the first one read the Makefile before set-up had installed what it looks for.

E2E     := $(wildcard tests/e2e/*.t)
SCRIPTS := .ci/run $(wildcard tests/support/*.sh tests/e2e/*.t tests/bench/*.sh examples/*/*.sh) tests/support/setup tests/support/vm tests/support/autos \
           tests/support/demo tests/bench/run
MANS    := $(wildcard */*.[1-9])
JOBS    ?= 2

check: setup-$(if $(CI),ci,check)	## set-up, build, all tests and linters
	@$(MAKE) --no-print-directory -j$(JOBS) all unit-build support
	@$(MAKE) --no-print-directory headers autos shellcheck mandoc
	@$(MAKE) --no-print-directory prove

prove:
	CMOCKA_MESSAGE_OUTPUT=TAP prove --timer -e '' $(UNIT) $(E2E)

e2e: all support	## end-to-end tests alone; E2E='tests/e2e/x.t' for one
	prove -v -e '' $(E2E)

# KERNEL: a kernel package of a distribution, unpacked (dpkg-deb -x). Emulated where there is no KVM: start with
# one E2E file. Wants qemu-system-x86, busybox-static, kmod and cpio.
kernel: all support unit-build	## end-to-end tests under another kernel: KERNEL=DIR E2E='tests/e2e/x.t'
	tests/support/vm '$(KERNEL)' prove --timer -e '' $(E2E)

support: $(SUPPORT) $(REPLAY)

autos:	## locals that own, released before they are set
	@tests/support/autos $(wildcard */*.c tests/*/*.c)

shellcheck:	## shell scripts
	@shellcheck -x -s bash $(wildcard $(SCRIPTS))

mandoc:	## manual pages
	@$(if $(MANS),mandoc -Tlint -Wwarning $(MANS))

demo: setup-demo	## the walkthrough against a stand-in; LIVE=1: against the real api.github.com
	@$(MAKE) --no-print-directory -s -j$(JOBS) all $(O)/support/origin $(O)/support/subreap
	@tests/support/demo

failalloc:	## every allocation of parsers and engines failing in turn, with AddressSanitizer
	@$(MAKE) --no-print-directory -s VARIANT=asan -j$(JOBS) build/asan/tests/test_failalloc
	@build/asan/tests/test_failalloc

# The supervisor has threads (tracer/filehash.c, resolver.c, watchman.c) and nobody else of ours.
THREADED := $(patsubst %,build/tsan/tests/test_%,filehash resolver watchman owner notify stale)
sanitize: sanitize-asan sanitize-tsan	## the suite with ASan, UBSan and LeakSanitizer, what has threads with TSan

sanitize-asan:
	@$(MAKE) --no-print-directory -s VARIANT=asan -j$(JOBS) all unit-build support
	@$(MAKE) --no-print-directory VARIANT=asan prove

sanitize-tsan:
	@$(MAKE) --no-print-directory -s VARIANT=tsan -j$(JOBS) $(THREADED)
	TSAN_OPTIONS=halt_on_error=1 CMOCKA_MESSAGE_OUTPUT=TAP prove --timer -e '' $(THREADED)

SOAK_SECONDS ?= 3600
soak: all support	## mixed traffic over a thousand connections for SOAK_SECONDS, with a new policy every second
	@SOAK_SECONDS=$(SOAK_SECONDS) prove -v -e '' tests/support/soak.sh

# Seeds: what tests/fuzz/seeds makes of the vectors, and what was a finding once (tests/fuzz/corpus).
FUZZ_SECONDS ?= 30
FUZZ_TARGETS ?= $(notdir $(FUZZ))
fuzz:	## every fuzz target for FUZZ_SECONDS each (docs/fuzzing.md)
	$(MAKE) VARIANT=fuzz -j$(JOBS) fuzz-build
	@tests/fuzz/seeds build/seeds
	@for f in $(FUZZ_TARGETS); do \
		mkdir -p build/corpus/$$f; \
		build/fuzz/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -artifact_prefix=build/corpus/$$f- \
			-print_final_stats=1 build/corpus/$$f $$(ls -d build/seeds/$$f tests/fuzz/corpus/$$f 2>/dev/null) \
			>build/corpus/$$f.log 2>&1 || \
			{ tail -30 build/corpus/$$f.log; exit 1; }; \
		echo "$$f: $$(sed -n 's/^stat::number_of_executed_units: *//p' build/corpus/$$f.log) runs, no finding"; \
	done

fuzz-build: $(FUZZ)

CHECKED := $(filter-out tracer/init.c,$(wildcard lib/*.c tracer/*.c proxy/*.c launcher/*.c preload/*.c))
# The paths through a function are -fanalyzer's to follow: clang's analyser takes ten times as long as all the
# rest and finds the same. Of bugprone: parameters of one type are no bug, nor are products of small constants,
# characters as numbers, arrays of pointers, macros that take a member's name, states with the same answer
# listed one by one, bytes with a length beside them.
TIDY_CHECKS := -*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-implicit-widening-of-multiplication-result
TIDY_CHECKS := $(TIDY_CHECKS),-bugprone-narrowing-conversions,-bugprone-sizeof-expression,-bugprone-macro-parentheses
TIDY_CHECKS := $(TIDY_CHECKS),-bugprone-branch-clone,-bugprone-not-null-terminated-result,-bugprone-suspicious-string-compare
tidy:	## clang-tidy
	@printf '%s\n' $(CHECKED) | xargs -P$(JOBS) -I{} clang-tidy --quiet --warnings-as-errors='*' --checks='$(TIDY_CHECKS)' {} -- \
		$(ALL_CPPFLAGS) -std=gnu17 2>/dev/null

QUEUE_H = $(lastword $(wildcard /usr/include/sys/queue.h /usr/include/$(shell $(CC) -print-multiarch)/sys/queue.h))
cppcheck:	## cppcheck (the same: no leak check)
	@cppcheck --quiet --enable=warning,portability --inline-suppr --suppressions-list=tests/support/cppcheck.suppress \
		--error-exitcode=1 --std=c17 -j2 -I. -D_GNU_SOURCE -D__x86_64__ --include=$(QUEUE_H) $(CHECKED)

analyze:	## gcc -fanalyzer
	@printf '%s\n' $(CHECKED) | xargs -P$(JOBS) -I{} $(CC) $(ALL_CPPFLAGS) -std=gnu17 -O2 -fanalyzer -Werror -c -o /dev/null {}

cov:	## line coverage by file of all tests (docs/coverage.md)
	$(MAKE) VARIANT=cov -j$(JOBS) all unit-build support
	@find build/cov -name '*.gcda' -delete; chmod -R a+rwX build/cov
	-umask 0; $(MAKE) VARIANT=cov prove
	@tests/support/coverage build/cov

.PHONY: check sanitize sanitize-asan sanitize-tsan soak failalloc prove e2e kernel support autos shellcheck mandoc demo fuzz fuzz-build tidy cppcheck analyze cov
