#!/bin/bash
# What it costs that writes to protected paths are noticed: files by the thousand, inside and outside.
. "$(dirname "$0")/bench.sh"

files=5000 rounds=${OPENSHELL_BENCH_ROUNDS:-7} T_TIMEOUT=120
cat >"$T/work/make.sh" <<'EOS'
set -e
mkdir tree && cd tree && git init -q . && git config user.name x && git config user.email x@x
git commit -q --allow-empty -m empty && git branch empty
for d in $(seq 50); do mkdir "d$d"; done
for i in $(seq "$1"); do printf '%2000s' "$i" >"d$((i % 50 + 1))/f$i"; done
git add -A && git commit -qm full && tar cf ../tree.tar d*
EOS
# Microseconds of each kind of work.
cat >"$T/work/once.sh" <<'EOS'
took() { # NAME COMMAND...
	local name=$1 from=$EPOCHREALTIME

	shift
	"$@"
	echo "$name $((${EPOCHREALTIME/./} - ${from/./}))"
}
rewrite() {
	/usr/bin/python3 - <<'PY'
import os
for root, _, names in os.walk("out"):
    for name in names:
        with open(os.path.join(root, name), "w") as f:
            f.write("x" * 2000)
PY
}
rm -rf out && mkdir out
git -C tree checkout -q empty
took tar tar xf tree.tar -C out
took git git -C tree checkout -q -
took rewrite rewrite
took rm rm -rf out
EOS
chmod 0644 "$T/work/"*.sh
user bash make.sh "$files" || exit 1
openshell sandbox create --name writes --keep --no-auto-providers -- true || exit 1
for i in $(seq "$rounds"); do
	user bash once.sh >>"$T/tmp/outside"
	openshell sandbox exec -n writes -- bash once.sh >>"$T/tmp/inside"
done
of() { sed -n "s/^$2 //p" "$T/tmp/$1" | median; }
for what in tar git rewrite rm; do
	case $what in
	tar) budget='<=1.1x' note="tar x of $files files" ;;
	git) budget='<=1.1x' note="git checkout of $files files" ;;
	rewrite) budget=- note="open(2) with O_TRUNC, write and close of $files files, in Python: each is looked at" ;;
	rm) budget='<=1.1x' note="rm -rf of $files files" ;;
	esac
	bench "writes_$what" "$(ms "$(of inside $what)")" ms "$(ms "$(of outside $what)")" "$budget" "$note, against the same outside"
done
openshell sandbox delete writes >/dev/null
