#!/bin/bash
# `make install` puts everything in place, and an installed copy works from there.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
dest=$T/tmp/dest
run make -s -C "$T_TOP" install DESTDIR="$dest" PREFIX=/usr/local VARIANT="${VARIANT:-release}"
is "$status" 0 'make install'
chmod -R a+rX "$T/tmp/dest"
for file in bin/openshell libexec/openshell/openshell-tracer libexec/openshell/openshell-proxy libexec/openshell/openshell-init \
	libexec/openshell/openshell-term \
	share/openshell/examples/sandbox-policy-quickstart/policy.yaml share/bash-completion/completions/openshell \
	share/zsh/site-functions/_openshell share/fish/vendor_completions.d/openshell.fish; do
	ok "$file" test -s "$dest/usr/local/$file"
done
for page in "$T_TOP"/*/*.[1-9]; do
	[ -e "$page" ] || continue
	ok "$(basename "$page")" test -s "$dest/usr/local/share/man/man${page##*.}/$(basename "$page")"
done

# It is not at the place it was built for (DESTDIR), so it is told where its helpers are.
T_ENV+=("OPENSHELL_LIBEXEC=$dest/usr/local/libexec/openshell")
T_PATH=$dest/usr/local/bin:/usr/bin:/bin run openshell sandbox create --no-auto-providers -- echo installed
is "$out" installed 'the installed copy works'
is "$(leftovers)" '' 'nothing is left'

run make -s -C "$T_TOP" uninstall DESTDIR="$dest" PREFIX=/usr/local
is "$(find "$dest" ! -type d)" '' 'make uninstall leaves no file'
done_testing
