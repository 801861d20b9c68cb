# shellcheck shell=bash
# bench.sh - what the benchmark scripts share: env.sh and one way to print a result.
#
# A result is one line, `BENCH name value unit yardstick ratio budget verdict note`; "-" stands for
# what does not apply. Budgets are those of the design: "<=1.6x" and ">=0.8x" compare the ratio
# value/yardstick, "<=30ms" the value. tests/bench/run makes the table and the JSON from them.

# shellcheck source=tests/support/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../support/env.sh"
T_BENCH=$T_BUILD/bench
if ! as_user test -x "$T_BENCH/pairs"; then
	cp -r "$T_BENCH" "$T/dist/bench" && chown -R "$T_UID" "$T/dist/bench"
	T_BENCH=$T/dist/bench
fi
cd "$T/work" || exit 1

# bench NAME VALUE UNIT YARDSTICK BUDGET NOTE...
bench() {
	local name=$1 value=${2:--} unit=$3 yardstick=${4:--} budget=$5

	shift 5
	[ "$value" != - ] || set -- 'failed:' "$@"
	awk -v name="$name" -v value="$value" -v unit="$unit" -v yard="$yardstick" -v budget="$budget" -v note="$*" 'BEGIN {
		ratio = yard != "-" && yard > 0 ? value / yard : "-"
		verdict = "info"
		if (value == "-") verdict = budget == "-" ? "info" : "miss"
		else if (budget != "-") {
			limit = substr(budget, 3) + 0
			got = budget ~ /x$/ ? ratio : value
			verdict = got != "-" && (budget ~ /^<=/ ? got <= limit : got >= limit) ? "pass" : "miss"
		}
		printf "BENCH %s %s %s %s %s %s %s %s\n", name, value, unit, yard,
			ratio == "-" ? "-" : sprintf("%.2fx", ratio), budget, verdict, note
	}'
}

# A benchmark that could not be run says so in the table.
bench_absent() {
	bench "$1" - - - - "not run: $2"
}

median() {
	sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

ms() {
	awk -v us="$1" 'BEGIN { if (us !~ /^[0-9]/) print "-"; else printf "%.2f", us / 1000 }'
}

# helper VARIABLE COMMAND...: a server that prints its port, as the user, until the script's end.
helper() {
	local helper_name=$1 helper_port

	shift
	exec 7< <(T_EXEC="exec" t_env "${T_DROP[@]}" "$@")
	t_cleanup_pid $!
	read -r -t 10 helper_port <&7
	printf -v "$helper_name" %s "$helper_port"
}
