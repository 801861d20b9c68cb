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
	libexec/openshell/openshell-unwinder libexec/openshell/libopenshell-preload.so \
	share/openshell/examples/sandbox-policy-quickstart/policy.yaml share/bash-completion/completions/openshell \
	share/zsh/site-functions/_openshell share/fish/vendor_completions.d/openshell.fish; do
	ok "$file" test -s "$dest/usr/local/$file"
done
for page in "$T_TOP"/*/*.[1-9]; do
	[ -e "$page" ] || continue
	ok "$(basename "$page")" test -s "$dest/usr/local/share/man/man${page##*.}/$(basename "$page")"
done

# It is not at the place it was built for (DESTDIR), and then it is moved; links lead to it as well.
mv "$dest" "$T/tmp/moved" && dest=$T/tmp/moved
T_PATH=$dest/usr/local/bin:/usr/bin:/bin run openshell sandbox create --no-auto-providers -- echo installed
is "$out" installed 'the installed copy works'
user mkdir "$T/tmp/links"
user ln -s "$dest/usr/local/bin/openshell" "$T/tmp/links/openshell"
T_PATH=$T/tmp/links:/usr/bin:/bin run openshell sandbox create --no-auto-providers -- echo linked
is "$out" linked 'through a link, too'
T_PATH=$T/tmp/links:/usr/bin:/bin run openshell profile show claude
is "$status" 0 'with its profiles'
mv "$dest/usr/local/libexec" "$T/tmp/libexec"
T_PATH=$dest/usr/local/bin:/usr/bin:/bin run openshell sandbox create --no-auto-providers -- echo installed
if [ -e /usr/local/libexec/openshell ]; then
	skip 'without its helpers it starts nothing' 'this host has some, at the place it was built for'
else
	is "$status" 125 'without its helpers it starts nothing'
	one_line_error 'supervisor .* is not installed' 'and says what is missing'
fi
T_PATH=$dest/usr/local/bin:/usr/bin:/bin run user env OPENSHELL_LIBEXEC="$T/tmp/libexec/openshell" openshell sandbox create --no-auto-providers -- echo told
is "$out" told 'OPENSHELL_LIBEXEC says where they are'
mv "$T/tmp/libexec" "$dest/usr/local/libexec"
# shellcheck disable=SC2016 # inside
T_PATH=$dest/usr/local/bin:/usr/bin:/bin run openshell sandbox create --no-auto-providers --stacks -- \
	bash -c 'grep -c libopenshell-preload /proc/$$/maps >/dev/null && echo loaded'
is "$out" loaded 'and finds its library'
is "$(leftovers)" '' 'nothing is left'

run make -s -C "$T_TOP" uninstall DESTDIR="$dest" PREFIX=/usr/local
is "$(find "$dest" ! -type d)" '' 'make uninstall leaves no file'
done_testing
