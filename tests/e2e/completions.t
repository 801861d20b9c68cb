#!/bin/bash
# Completion in the shells themselves: words typed up to a Tab, in bash, zsh and fish; the names of sandboxes
# included. And of every command that completion offers: its help has an example, its group a manual page.
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1
for name in work-one work-two other; do
	openshell sandbox create --name "$name" --keep --no-auto-providers -- true 2>/dev/null
done
run openshell completions tcsh
is "$status" 2 'a shell that has none'

for shell in bash zsh fish; do
	if ! command -v "$shell" >/dev/null; then
		skip "$shell" 'not installed'
		continue
	fi
	run openshell completions "$shell"
	is "$status" 0 "$shell: a script"
	printf '%s\n' "$out" >"$T/tmp/completion.$shell"
	chmod 0644 "$T/tmp/completion.$shell"
done

# offers SHELL LINE WANT: what the shell itself says it would complete the line to.
offers_bash() {
	user bash --norc -c '. "$1"; COMP_WORDS=("${@:3}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _openshell 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' - "$T/tmp/completion.bash" "$@"
}
offers_fish() {
	user fish --no-config -c 'source $argv[1]; complete -C "$argv[2]"' "$T/tmp/completion.fish" "$1" | cut -f1
}
if command -v bash >/dev/null; then
	run offers_bash x openshell sandbox del
	is "$out" delete 'bash: a command'
	run offers_bash x openshell sandbox delete work-
	is "$out" 'work-one
work-two' 'bash: names of sandboxes'
	run offers_bash x openshell sandbox create --wor
	is "$out" --workdir 'bash: an option'
	run offers_bash x openshell policy set other --pol
	is "$out" --policy 'bash: an option of a command in a group'
fi
if command -v fish >/dev/null; then
	run offers_fish 'openshell sandbox del'
	is "$out" delete 'fish: a command'
	run offers_fish 'openshell sandbox delete work-'
	is "$out" 'work-one
work-two' 'fish: names of sandboxes'
	run offers_fish 'openshell logs oth'
	is "$out" other 'fish: of a command without a group'
fi
# zsh tells nobody but its line editor: a terminal it is, and the Tab key; then a print is put before the
# line.
if command -v zsh >/dev/null && command -v tmux >/dev/null; then
	screen=$T/tmp/screen
	tm() { user tmux -S "$T/tmp/tmux" -f /dev/null "$@"; }
	cat >"$T/home/.zshrc" <<-EOS
		PS1='ready> '
		autoload -Uz compinit && compinit -u -D
		. $T/tmp/completion.zsh
	EOS
	: >"$screen"
	chmod 0666 "$screen" "$T/home/.zshrc"
	tm new-session -d -x 200 -y 30 "exec env PATH=$T_BIN:/usr/bin:/bin ZDOTDIR=$T/home zsh -i" \; pipe-pane "exec sed -u 's/\r//g' >>$screen"
	t_cleanup_pid "$(tm display-message -p '#{pid}')"
	zsh_types() { # LINE WANT WHAT
		tm send-keys "$1" Tab C-a "print -r '=>' " Enter
		ok "zsh: $3" wait_line "$screen" "^=> openshell $2 ?\$" 20
	}
	zsh_types 'openshell sandbox del' 'sandbox delete' 'a command'
	zsh_types 'openshell sandbox delete oth' 'sandbox delete other' 'the name of a sandbox'
	zsh_types 'openshell sandbox create --workd' 'sandbox create --workdir' 'an option'
	tm kill-server
fi
openshell sandbox delete --all >/dev/null 2>&1

# Every command there is, as completion walks it.
walk() { # WORDS...
	local word

	openshell __complete "$@" '' | cut -f1 | while read -r word; do
		case $word in
		-* | :* | '') ;;
		*) printf '%s\n' "$* $word" && [ $# -lt 1 ] && walk "$@" "$word" ;;
		esac
	done
}
is "$(walk | grep -c .)" "$(walk | sort -u | grep -c .)" 'no command is there twice'
lacking='' pages=''
while read -r -a words; do
	openshell "${words[@]}" --help 2>&1 | grep -qi '^Example' || lacking="$lacking ${words[*]};"
	ls "$T_TOP"/*/"openshell-${words[0]}.1" >/dev/null 2>&1 || grep -q "^\.\(It\|Ss\|Nm\).*[ ,]${words[0]}\b" "$T_TOP/launcher/openshell.1" || pages="$pages ${words[0]};"
done < <(walk)
is "$lacking" '' 'the help of every command has an example'
is "$pages" '' 'every group has a manual page, or its place in openshell(1)'
settled
is "$(leftovers)" '' 'nothing is left'
done_testing
