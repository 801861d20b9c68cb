# `make install PREFIX=… DESTDIR=…`. The launcher finds its helpers in ../libexec/openshell and its
# profiles in ../share/openshell, seen from its own directory, so that what was installed may be moved
# as a whole; and in LIBEXECDIR and DATADIR, which are compiled in, where a distribution has them elsewhere.

MANPAGES     = $(wildcard */*.[1-9])
EXAMPLE_DIRS = $(notdir $(patsubst %/,%,$(wildcard examples/*/)))
HELPERS      = $(filter-out %/openshell,$(PROGRAMS)) $(INIT) $(UNWINDER) $(PRELOAD)

install: all	## programs, library, manual pages, completions, examples
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(LIBEXECDIR)'
	install -m 0755 $(O)/bin/openshell '$(DESTDIR)$(BINDIR)/'
	install -m 0755 $(HELPERS) '$(DESTDIR)$(LIBEXECDIR)/'
	@set -e; for page in $(MANPAGES); do \
		install -d "$(DESTDIR)$(MANDIR)/man$${page##*.}"; \
		install -m 0644 "$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/"; \
	done
	@set -e; for dir in $(EXAMPLE_DIRS); do \
		install -d "$(DESTDIR)$(DATADIR)/examples/$$dir"; \
		cp -r examples/$$dir/. "$(DESTDIR)$(DATADIR)/examples/$$dir/"; \
	done
	install -d '$(DESTDIR)$(DATADIR)/profiles'
	install -m 0644 profiles/*.yaml '$(DESTDIR)$(DATADIR)/profiles/'
	install -d '$(DESTDIR)$(DATADIR)/profiles/providers'
	install -m 0644 profiles/providers/*.yaml '$(DESTDIR)$(DATADIR)/profiles/providers/'
	@set -e; install -d '$(DESTDIR)$(PREFIX)/share/bash-completion/completions' \
		'$(DESTDIR)$(PREFIX)/share/zsh/site-functions' '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d'; \
	$(O)/bin/openshell completions bash >'$(DESTDIR)$(PREFIX)/share/bash-completion/completions/openshell'; \
	$(O)/bin/openshell completions zsh >'$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_openshell'; \
	$(O)/bin/openshell completions fish >'$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/openshell.fish'

uninstall:	## removes what install put there
	rm -f '$(DESTDIR)$(BINDIR)/openshell' $(foreach p,$(MANPAGES),'$(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $p))/$(notdir $p)')
	rm -rf '$(DESTDIR)$(LIBEXECDIR)' '$(DESTDIR)$(DATADIR)'
	rm -f '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/openshell' \
		'$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_openshell' \
		'$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/openshell.fish'

.PHONY: install uninstall
