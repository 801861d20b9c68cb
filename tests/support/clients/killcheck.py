"""Every line of ACKS (killwork.py) must be in the log, which comes on standard input as OCSF JSON.

usage: killcheck.py ACKS

Prints "ACKNOWLEDGED EVENTS MISSING", and what is missing on standard error.
"""
import json, sys

seen, events = set(), 0
for line in sys.stdin:
    e = json.loads(line)
    events += 1
    path = e.get("http_request", {}).get("url", {}).get("path", "")
    host = e.get("dst_endpoint", {}).get("domain", "")
    if path.startswith("/k/"):
        seen.add("r " + path[3:])
    elif host.startswith("c") and e["unmapped"].get("decision") == "deny" and e["unmapped"]["adapter"] == "TCP":
        seen.add("c " + host[1:-5])
acked = [line.rstrip("\n") for line in open(sys.argv[1])]
missing = [a for a in acked if a not in seen]
print(len(acked), events, len(missing))
print("\n".join(missing[:20]), file=sys.stderr)
