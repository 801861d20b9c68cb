#!/bin/bash
# Java trusts the sandbox's CA, though it reads neither the bundle nor the variables: the host's key stores are
# over-mounted by one that is additive, as the bundle is.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
command -v java keytool >/dev/null || skip_all 'no java'
java=$(readlink -f "$(command -v java)")
store=$(readlink -f "$(dirname "$java")/../lib/security/cacerts")
case $store in
/etc/ssl/certs/*/cacerts | /etc/pki/*cacerts | /var/lib/ca-certificates/java-cacerts) ;;
*) skip_all "this Java has a store of its own: $store" ;;
esac
start_origin
policy_for "$java" /usr/bin/curl >"$T/work/policy.yaml"
cat >"$T/work/Get.java" <<'JAVA'
import java.net.*;
import java.net.http.*;

public class Get {
	public static void main(String[] args) throws Exception {
		URI proxy = URI.create(System.getenv("https_proxy"));
		HttpClient c = HttpClient.newBuilder()
			.proxy(ProxySelector.of(new InetSocketAddress(proxy.getHost(), proxy.getPort()))).build();
		System.out.println(c.send(HttpRequest.newBuilder(URI.create(args[0])).build(), HttpResponse.BodyHandlers.ofString()).body());
	}
}
JAVA
cp "$store" "$T/work/host.jks"
chmod 0644 "$T/work/Get.java" "$T/work/host.jks"
host=$(keytool -list -storepass changeit -keystore "$store" 2>/dev/null | grep -c trustedCertEntry)
before=$(sha256sum <"$store")
ok 'a sandbox' sandbox java --policy "$T/work/policy.yaml"

T_TIMEOUT=60 run inside java "keytool -list -storepass changeit -keystore '$store' 2>&1"
is "$status" 0 'keytool reads the store, its digest is good'
inside_count=$(grep -c trustedCertEntry <<<"$out")
at_most "$((host * 9 / 10))" "$inside_count" "it holds what the host trusts; entries, at least"
T_TIMEOUT=60 run inside java "keytool -exportcert -rfc -storepass changeit -keystore '$store' -alias sandbox-$((inside_count - 1)) | openssl x509 -noout -fingerprint; tac /run/openshell/ca.pem | sed '/BEGIN CERT/q' | tac | openssl x509 -noout -fingerprint"
is "$(grep -c Fingerprint <<<"$out") $(sort -u <<<"$out" | grep -c Fingerprint)" '2 1' "and the sandbox's CA"

T_TIMEOUT=60 run openshell sandbox exec -n java -- "$java" "$T/work/Get.java" https://api.github.com/zen
like "$out" Anything "Java's client is served through the proxy"
T_TIMEOUT=60 run openshell sandbox exec -n java -- "$java" -Djavax.net.ssl.trustStore="$T/work/host.jks" "$T/work/Get.java" https://api.github.com/zen
unlike "$out" Anything "control: with the host's store it is not"
is "$(sha256sum <"$store")" "$before" "the host's store is what it was"
run openshell sandbox delete java
is "$(leftovers)" '' 'nothing is left'
done_testing
