#!/bin/bash
# AWS Signature Version 4: clients sign with placeholders, the server gets a signature made with the keys. An
# implementation of its own, in Python, says what the signature of what arrived has to be.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
s3=bucket.s3.eu-west-1.amazonaws.com bedrock=bedrock-runtime.us-east-1.amazonaws.com odd=storage.test plain=sts.us-east-1.amazonaws.com
start_origin --name "$s3" --name "$bedrock" --name "$odd" --name "$plain"
T_ENV+=("OPENSHELL_CONNECT_TO=$s3:443:127.0.0.1:$origin $bedrock:443:127.0.0.1:$origin $odd:443:127.0.0.1:$origin $plain:443:127.0.0.1:$origin")
curl=$(readlink -f "$(command -v curl)")
policy() { # MODE SIGNING-OF-STORAGE.TEST
	cat <<END
version: 1
network_policies:
  aws:
    endpoints:
      - { host: "*.s3.eu-west-1.amazonaws.com", port: 443, protocol: rest, enforcement: enforce, access: full, credential_signing: $1, signing_service: s3, credential_binding: { provider: keys } }
      - { host: $bedrock, port: 443, protocol: rest, enforcement: enforce, access: full, credential_signing: $1, signing_service: bedrock, credential_binding: { provider: keys } }
      - { host: $odd, port: 443, protocol: rest, enforcement: enforce, access: full, credential_signing: $1, signing_service: s3, credential_binding: { provider: keys }$2 }
      - { host: $plain, port: 443, credential_signing: $1, signing_service: sts, credential_binding: { provider: keys } }
    binaries: [{ path: "$curl" }]
END
}
policy sigv4 '' >"$T/work/policy.yaml"
cat >"$T/work/verify.py" <<'END'
# SERVICE REGION SECRET [BODY-FILE] < what arrived: "good" when its signature is that of the secret.
import hashlib, hmac, re, sys, urllib.parse
service, region, secret = sys.argv[1:4]
head = sys.stdin.read().replace("\r", "").split("\n\n")[0].split("\n")
while not re.match(r"[A-Z]+ /", head[0]):
    head.pop(0)
method, target, _ = head[0].split(" ")
fields = {}
for line in head[1:]:
    if ":" in line:
        name, value = line.split(":", 1)
        fields.setdefault(name.lower(), []).append(re.sub(" +", " ", value.strip()))
assert all(len(fields[n]) == 1 for n in ("authorization", "x-amz-date", "x-amz-content-sha256")), fields
m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/([^/]+)/aws4_request, SignedHeaders=(\S+), Signature=([0-9a-f]{64})", fields["authorization"][0])
assert m and (m[3], m[4]) == (region, service), fields["authorization"]
stamp, payload = fields["x-amz-date"][0], fields["x-amz-content-sha256"][0]
assert stamp.startswith(m[2])
if len(sys.argv) > 4:
    assert payload == hashlib.sha256(open(sys.argv[4], "rb").read()).hexdigest(), "another body"
path, _, query = target.partition("?")
path = urllib.parse.quote(urllib.parse.unquote(path) if service == "s3" else path, safe="/-_.~")
pairs = sorted((urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~")) for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
names = m[5].split(";")
assert {n for n in fields if n.startswith("x-amz-")} | {"host"} <= set(names), "not all that counts is signed"
canonical = "\n".join([method, path, "&".join("%s=%s" % p for p in pairs)] + ["%s:%s" % (n, ",".join(fields[n])) for n in names] + ["", m[5], payload])
text = "\n".join(["AWS4-HMAC-SHA256", stamp, "/".join(m.group(2, 3, 4)) + "/aws4_request", hashlib.sha256(canonical.encode()).hexdigest()])
key = ("AWS4" + secret).encode()
for part in (m[2], region, service, "aws4_request", text):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
print("good" if key.hex() == m[6] else "bad\n" + canonical)
END

ok 'a provider with keys' openshell provider create --name keys --type aws --credential AWS_ACCESS_KEY_ID=AKIAREALKEY --credential AWS_SECRET_ACCESS_KEY=real/secret+key
ok 'a sandbox' sandbox sign --policy "$T/work/policy.yaml" --provider keys
sh_it() { openshell sandbox exec -n sign -- bash -c "$1"; }
is "$(openshell sandbox exec -n sign -- printenv AWS_SECRET_ACCESS_KEY)" openshell:resolve:env:AWS_SECRET_ACCESS_KEY 'which holds placeholders'
verify() { python3 "$T/work/verify.py" "$@" <<<"$out"; }

run sh_it "curl -sS --http1.1 --aws-sigv4 aws:amz:eu-west-1:s3 -u \$AWS_ACCESS_KEY_ID:\$AWS_SECRET_ACCESS_KEY 'https://$s3/echo?list-type=2&prefix=a%20b/&x'"
is "$(verify s3 eu-west-1 real/secret+key)" good 'what curl signed with them arrives signed with the keys'
is "$(verify s3 eu-west-1 openshell:resolve:env:AWS_SECRET_ACCESS_KEY | head -1)" bad 'and not with the placeholder (a control)'
like "$out" 'Credential=AKIAREALKEY/' 'the key id is the real one'
unlike "$out" 'openshell:resolve' 'no placeholder is left'
run sh_it "curl -sS --aws-sigv4 aws:amz:eu-west-1:s3 -u \$AWS_ACCESS_KEY_ID:\$AWS_SECRET_ACCESS_KEY https://$s3/echo"
is "$(verify s3 eu-west-1 real/secret+key)" good 'over HTTP/2 too'
run sh_it "curl -sS --http1.1 -H 'x-amz-meta-b: two  blanks' -H 'X-Amz-Meta-A: 1' 'https://$bedrock/echo?b=2&a=1+1&a=0'"
is "$(verify bedrock us-east-1 real/secret+key)" good 'a request that nobody signed is signed, for the service of its endpoint'
run sh_it "curl -sS --http1.1 -H 'Authorization: Bearer $(printf x)' -H 'X-Amz-Security-Token: mine' https://$bedrock/echo"
unlike "$out" 'Bearer|mine' 'what it brought along is taken off'
run sh_it "curl -sS --http1.1 https://$plain/echo"
is "$(verify sts us-east-1 real/secret+key)" good 'an endpoint without protocol signs as well'

# Bodies.
printf 'a small body' >"$T/work/small"
run sh_it "curl -sS --http1.1 -X GET -d 'a small body' https://$bedrock/echo"
is "$(verify bedrock us-east-1 real/secret+key "$T/work/small")" good 'the hash of a body is signed'
like "$(verify bedrock us-east-1 real/secret+key /dev/null 2>&1)" 'another body' 'of that body (a control)'
run sh_it "head -c 5000000 /dev/zero | tr '\\0' b >/tmp/big; curl -sS --http1.1 -H Expect: --data-binary @/tmp/big https://$bedrock/invoke"
like "$(cat "$origin_log")" 'request POST /invoke .*body=5000000$' 'a body of 5 MB arrives'
run sh_it "head -c 11000000 /dev/zero >/tmp/huge; curl -sS --http1.1 -H Expect: --data-binary @/tmp/huge https://$bedrock/huge"
is "$(jq -r .error <<<"$out")" invalid_request 'one of 11 MB is refused: its hash had to be known first'
run sh_it "curl -sS --http1.1 -H Expect: -H 'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD' --data-binary @/tmp/huge https://$s3/huge"
like "$(cat "$origin_log")" 'request POST /huge .*body=11000000$' 'unless the client says that it is not signed'
run sh_it "curl -sS --http1.1 -H Expect: -H \"X-Amz-Content-Sha256: \$(sha256sum </tmp/huge | cut -d' ' -f1)\" -T /tmp/huge https://$s3/known"
like "$(cat "$origin_log")" 'request PUT /known .*body=11000000$' 'or what its hash is'
before=$(grep -c '^request' "$origin_log")
run sh_it "curl -sS --http1.1 -H 'X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD' -d x https://$s3/chunks"
like "$(jq -r '.error + .detail' <<<"$out")" 'sigv4:no_body' 'chunks signed one by one are refused, with the remedy'
run sh_it "curl -sS --http1.1 -d openshell:resolve:env:AWS_SECRET_ACCESS_KEY https://$s3/leak"
is "$(jq -r .error <<<"$out")" credential_unavailable 'a placeholder in a body is not filled in'

# What cannot be signed stays here.
run sh_it "curl -sS --http1.1 https://$odd/echo"
like "$(jq -r '.error + .detail' <<<"$out")" 'signing_region' 'a name without a region needs signing_region'
is "$(grep -c '^request' "$origin_log")" "$before" 'none of these reached the server'
policy sigv4 ', signing_region: us-west-2' >"$T/work/region.yaml"
ok 'a policy with it' openshell policy set sign --policy "$T/work/region.yaml" --wait
run sh_it "curl -sS --http1.1 https://$odd/echo"
is "$(verify s3 us-west-2 real/secret+key)" good 'is signed for it'
policy sigv4:no_body '' >"$T/work/nobody.yaml"
ok 'a policy that leaves bodies out' openshell policy set sign --policy "$T/work/nobody.yaml" --wait
run sh_it "curl -sS --http1.1 -T /tmp/big -H Expect: -X GET https://$s3/echo"
like "$out" 'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD' 'says so'
is "$(verify s3 eu-west-1 real/secret+key)" good 'and signs the head'

# Keys that change, and keys that last an hour.
ok 'a session token' openshell provider update keys --credential AWS_SESSION_TOKEN=FwoGZXtoken
run sh_it "curl -sS --http1.1 https://$s3/echo"
like "$out" '^X-Amz-Security-Token: FwoGZXtoken' 'goes with the request'
is "$(verify s3 eu-west-1 real/secret+key)" good 'signed'
ok 'the keys are taken away' openshell sandbox provider detach sign keys
before=$(grep -c '^request' "$origin_log")
run sh_it "curl -sS --http1.1 https://$s3/echo"
is "$(jq -r .error <<<"$out")" credential_unavailable 'and nothing is signed any more'
is "$(grep -c '^request' "$origin_log")" "$before" 'nor sent'
like "$(openshell logs sign -n 0)" 'credentials used: AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY' 'the log says what was used'
unlike "$(openshell logs sign -n 0; openshell logs sign -n 0 --format json)" 'real/secret|FwoGZX|AKIAREAL' 'without the keys'

# Policies that cannot work say so.
sed 's/signing_service: bedrock/signing_service: "a b"/' "$T/work/policy.yaml" >"$T/work/bad.yaml"
run openshell policy check "$T/work/bad.yaml"
like "$out$err" 'signing_service.*must be letters' 'a service that is no word is refused'
run openshell policy check "$T/work/policy.yaml"
like "$out$err" "storage.test' names no region" 'a host without a region is warned of'
ok 'delete' openshell sandbox delete sign
done_testing
