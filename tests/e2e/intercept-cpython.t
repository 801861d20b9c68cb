#!/bin/bash
# CPython's own tests of its network modules give inside what they give under bare bubblewrap without
# network. UDP-Lite, which some of test_socket wants, is refused inside on purpose.
#
# LONG=1 adds those that take minutes.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
user /usr/bin/python3 -c 'import test.test_socket' 2>/dev/null || skip_all "CPython's test suite is not installed (libpython3-testsuite)"
modules='test_socket test_httplib test_smtplib'
[ -z "${LONG:-}" ] || modules+=' test_selectors test_ftplib test_ssl test_asyncio'

bare() {
	user bwrap --unshare-all --hostname cpython --ro-bind /usr /usr --ro-bind /etc /etc --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
		--symlink usr/bin /bin --proc /proc --dev /dev --tmpfs /tmp --bind "$T/work" "$T/work" --chdir "$T/work" \
		--setenv HOME "$T/work" "$@"
}
ours() {
	user openshell sandbox create --name cpython --no-keep --no-auto-providers -- /usr/bin/env -u http_proxy -u https_proxy -u HTTP_PROXY \
		-u HTTPS_PROXY -u ALL_PROXY -u all_proxy -u no_proxy -u NO_PROXY -u SSL_CERT_FILE -u SSL_CERT_DIR "$@"
}
# The tests that failed, by name.
failed() {
	sed -n -E 's/^(FAIL|ERROR): ([^ ]+ \([^ ]+\)).*/\1 \2/p' <<<"$out$err" | sort -u
}

for module in $modules; do
	T_TIMEOUT=280 run bare /usr/bin/python3 -m test -v --timeout 100 -i '*UDPLITE*' "$module"
	outside=$status$(failed)
	T_TIMEOUT=280 run ours /usr/bin/python3 -m test -v --timeout 100 -i '*UDPLITE*' "$module"
	is "$status$(failed)" "$outside" "$module"
done
is "$(leftovers)" '' 'nothing is left'
done_testing
