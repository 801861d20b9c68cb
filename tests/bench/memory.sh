#!/bin/bash
# What a sandbox costs in memory while nothing happens, and what each idle connection adds.
. "$(dirname "$0")/bench.sh"

# PSS of the processes of ours in KiB, this sandbox's and no other's. They are not dumpable, so it takes
# root to look.
pss() {
	local pid total=0 one

	for pid in $(pgrep -u "$T_UID"); do
		case $(readlink "/proc/$pid/exe") in
		"$T_BIN"/openshell-*) ;;
		/run/openshell/* | /openshell-init | */openshell-init*) ;;
		*) continue ;;
		esac
		one=$(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup" 2>/dev/null)
		[ -z "${DEBUG:-}" ] || echo "$pid $(readlink "/proc/$pid/exe") $one" >&2
		total=$((total + ${one:-0}))
	done
	[ "$total" -gt 0 ] && echo "$total"
}

helper port "$T_SUPPORT/accept"
cp "$T_BENCH/connect" "$T/work/connect"
cat >"$T/work/policy.yaml" <<EOS
version: 1
network_policies:
  bench:
    endpoints:
      - { host: bench.test, port: 7000 }
    binaries:
      - { path: "$T/work/connect" }
EOS
chmod 0644 "$T/work/policy.yaml"
openshell sandbox create --name idle --keep --no-auto-providers --policy "$T/work/policy.yaml" \
	--connect-to "bench.test:7000:127.0.0.1:$port" -- true || exit 1
if idle=$(pss); then
	bench idle_memory "$(awk -v k="$idle" 'BEGIN { printf "%.1f", k / 1024 }')" MiB - '<=8MiB' 'PSS of supervisor, proxy, init and helpers of one sandbox'
	count=400
	mkfifo "$T/tmp/hold" && chown "$T_UID" "$T/tmp/hold"
	exec 6<>"$T/tmp/hold"
	exec 5< <(T_TIMEOUT=60 openshell sandbox exec -n idle -- "$T/work/connect" bench.test 7000 hold $count <&6)
	read -r said <&5
	if [ "$said" = "held $count" ] && loaded=$(pss); then
		bench idle_connection "$(awk -v a="$idle" -v b="$loaded" -v n=$count 'BEGIN { printf "%.1f", (b - a) / n }')" KiB - '<=48KiB' \
			"PSS of $count idle relayed connections"
	else
		bench_absent idle_connection "the connections could not be held: $said"
	fi
	exec 6>&- 5<&-
else
	bench_absent idle_memory 'only root may read the memory of processes that are not dumpable'
fi
openshell sandbox delete idle >/dev/null
