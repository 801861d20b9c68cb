#!/bin/bash
# Agents: found where people install them, with their own installation read-only and their own
# settings; those that come as npm packages are installed and started as far as they go without an
# account. OPENSHELL_TEST_AGENTS names a directory where they are installed already (npm's --prefix).
. "$(dirname "$0")/../support/tap.sh"

need_sandbox
cd "$T/work" || exit 1
script() { # PATH INTERPRETER-LINE TEXT
	user sh -c 'mkdir -p "$(dirname "$1")" && printf "%s\n%s\n" "$2" "$3" >"$1" && chmod 0755 "$1"' - "$@"
}

run openshell profile list
for name in claude codex gemini opencode copilot aider; do
	like "$out" "^$name " "profile list: $name"
	run openshell profile show "$name" -o json
	is "$(jq -r .name <<<"$out")" "$name" "profile show $name"
	sed '/^profile:/,/^version:/{/^version:/!d}; s/\${[a-z]*}/\/usr\/bin\/x/' "$T_BIN/profiles/$name.yaml" >"$T/tmp/$name.yaml"
	chmod 0644 "$T/tmp/$name.yaml"
	run openshell policy check "$T/tmp/$name.yaml"
	is "$status" 0 "its policy is valid"
	run openshell profile list
done
run openshell profile show nonesuch
one_line_error "no profile 'nonesuch'" 'a profile that does not exist'

# Where people install things: npm's prefix (a link into lib/node_modules), nvm with a node of its
# own, ~/.local/bin, pipx with its venv.
script "$T/home/.npm-global/lib/node_modules/@acme/claude-code/cli.sh" '#!/bin/sh' \
	'echo "npm $*"; ls "$(dirname "$0")" >/dev/null; cat "$HOME/.claude/token"; echo x >>"$HOME/.claude/history"; touch "$(readlink -f "$0")" || echo ro'
user mkdir -p "$T/home/.npm-global/bin" "$T/home/.claude" "$T/home/secret"
user ln -s ../lib/node_modules/@acme/claude-code/cli.sh "$T/home/.npm-global/bin/claude"
user sh -c 'echo mytoken >"$HOME/.claude/token"; echo "{}" >"$HOME/.claude/settings.json"; echo "[user] name = me" >"$HOME/.gitconfig"'
run openshell sandbox create -- claude --version
is "$status" 0 'claude of the npm prefix runs'
like "$out" '^npm --version$' 'with its arguments'
like "$out" '^mytoken$' 'and sees its own settings'
like "$out" '^ro$' 'its installation is read-only'
is "$(cat "$T/home/.claude/history")" x 'its settings are not'
like "$err" '^openshell: profile claude: .*@acme/claude-code .*~/\.claude.*not granted: ' 'what it got and did not get is said in one line'
run openshell sandbox create --profile claude -- sh -c 'ls -A ~; cat ~/.gitconfig'
one_line_error . 'the profile of one agent for another command'
script "$T/home/.npm-global/lib/node_modules/@acme/claude-code/cli.sh" '#!/bin/sh' \
	'for f in settings.json settings.local.json hooks/x commands/x agents/x; do mkdir -p "$HOME/.claude/$(dirname $f)"; echo evil >>"$HOME/.claude/$f" && echo "wrote $f"; done 2>/dev/null
cat "$HOME/.gitconfig"; echo evil >>"$HOME/.gitconfig" && echo "wrote gitconfig"; ls '"$T"'/home; echo "$PATH"'
run openshell sandbox create -- claude
unlike "$out" wrote 'what it would obey outside as well cannot be written'
like "$out" 'name = me' "git's settings are there"
unlike "$out" secret "the caller's home is not"
is "$(cd "$T/home/.claude" && echo *)" 'history settings.json token' 'and no stub is left in its settings'
run openshell sandbox create --no-profile -- claude
is "$status" 127 '--no-profile finds nothing'

script "$T/home/.nvm/versions/node/v22.1.0/bin/node" '#!/bin/sh' 'echo "nvm node $(basename "$1") $2"'
script "$T/home/.nvm/versions/node/v22.1.0/lib/node_modules/@openai/codex/bin/codex.js" '#!/usr/bin/env node' '0'
user ln -s ../lib/node_modules/@openai/codex/bin/codex.js "$T/home/.nvm/versions/node/v22.1.0/bin/codex"
run openshell sandbox create -- codex --help
like "$out" '^nvm node codex(.js)? --help$' 'nvm: the package with the node beside it'
script "$T/home/.local/bin/copilot" '#!/bin/sh' 'echo "local $*"; ls -A '"$T"'/home/.local/bin'
script "$T/home/.local/bin/other" '#!/bin/sh' 'true'
run openshell sandbox create -- copilot hi
is "$out" 'local hi
copilot' '.local/bin: the program, not its neighbours'
user python3 -m venv --without-pip "$T/home/.local/share/pipx/venvs/aider-chat" 2>/dev/null || user mkdir -p "$T/home/.local/share/pipx/venvs/aider-chat/bin"
if [ -e "$T/home/.local/share/pipx/venvs/aider-chat/bin/python3" ]; then
	script "$T/home/.local/share/pipx/venvs/aider-chat/bin/aider" "#!$T/home/.local/share/pipx/venvs/aider-chat/bin/python3" 'import sys; print("pipx", sys.prefix)'
	user ln -s ../share/pipx/venvs/aider-chat/bin/aider "$T/home/.local/bin/aider"
	run openshell sandbox create -- aider
	like "$out" '^pipx .*/aider-chat$' 'pipx: the program with its environment'
else
	skip 'pipx: the program with its environment' 'no python venv here'
fi

# Homebrew: links from its bin into a Cellar, with an interpreter of its own there.
brew=$T/home/.linuxbrew
script "$brew/Cellar/node/24.0.0/bin/node" '#!/bin/sh' 'echo "brew node $2"; ls -d '"$brew"'/Cellar/*'
script "$brew/Cellar/gemini-cli/1.2.3/libexec/lib/node_modules/@google/gemini-cli/bin/gemini.js" "#!$brew/Cellar/node/24.0.0/bin/node" '0'
user sh -c 'mkdir -p "$1/bin" && ln -s ../Cellar/gemini-cli/1.2.3/libexec/lib/node_modules/@google/gemini-cli/bin/gemini.js "$1/bin/gemini"' - "$brew"
T_PATH=$brew/bin:$T_BIN:/usr/bin:/bin run openshell sandbox create -- gemini --help
like "$out" '^brew node --help$' 'Homebrew: the program with the interpreter that its first line names'

# The user's own profile wins; a broken one is named.
user sh -c 'mkdir -p "$XDG_CONFIG_HOME/openshell/profiles" && sed s/api.githubcopilot.com/copilot.test/ "$1/profiles/copilot.yaml" >"$XDG_CONFIG_HOME/openshell/profiles/copilot.yaml"' - "$T_BIN"
run openshell sandbox create --name own --keep -- copilot
run openshell policy get own
like "$out" copilot.test "the user's own profile"
run openshell sandbox delete own
user sh -c 'echo "profile: { name: copilot, wrong: 1 }" >"$XDG_CONFIG_HOME/openshell/profiles/copilot.yaml"'
run openshell sandbox create -- copilot
is "$status" 125 'a broken profile starts nothing'
one_line_error 'profiles/copilot.yaml.*' 'and is named'
user rm "$T/config/openshell/profiles/copilot.yaml"

# The real ones.
agents=${OPENSHELL_TEST_AGENTS:-$T/agents}
export T_TIMEOUT=240
install_agent() { # PACKAGE COMMAND
	[ -x "$agents/bin/$2" ] && return
	command -v npm >/dev/null || return
	mkdir -p "$agents"
	[ "$(id -u)" != 0 ] || chown "$T_UID" "$agents"
	user npm install -g --prefix "$agents" --no-audit --no-fund --loglevel=error --fetch-retries 0 "$1" >"$T/tmp/npm.log" 2>&1
}
cat >"$T/work/closed.yaml" <<EOS
version: 1
filesystem_policy:
  include_workdir: true
  read_only: [/usr, /lib, /etc]
  read_write: [/sandbox, /tmp]
network_policies: {}
EOS
chmod 0644 "$T/work/closed.yaml"
agent() { # PACKAGE COMMAND HOST ARGUMENTS...
	local package=$1 command=$2 host=$3 tries=0

	shift 3
	if ! install_agent "$package" "$command"; then
		skip "$command: real" "$package cannot be installed here: $(tail -1 "$T/tmp/npm.log" 2>/dev/null)"
		return
	fi
	T_PATH="$agents/bin:$T_BIN:/usr/local/bin:/usr/bin:/bin"
	run openshell sandbox create -- "$command" --version
	is "$status" 0 "$command --version"
	like "$out" '[0-9]+\.[0-9]+\.[0-9]+' "$command: says its version"
	run openshell sandbox create -- "$command" --help
	is "$status" 0 "$command --help"
	T_TIMEOUT=20 run openshell sandbox create --name "real-$command" --no-keep --policy closed.yaml --no-credential-warnings \
		--env ANTHROPIC_API_KEY=sk-ant-fake --env OPENAI_API_KEY=sk-fake --env GEMINI_API_KEY=fake \
		--env "GH_TOKEN=github_pat_$(printf 'f%.0s' {1..82})" -- "$command" "$@"
	run openshell logs "real-$command" -n 1000
	like "$out" "action=deny dst_host=$host .*binary=.*deny_reason=\"no matching network policy\"" "$command: its first API call is refused, and why is in the log"
	unset T_PATH
}
agent @anthropic-ai/claude-code claude api.anthropic.com -p hi
agent @openai/codex codex api.openai.com exec --skip-git-repo-check hi
agent @google/gemini-cli gemini generativelanguage.googleapis.com --skip-trust -p hi
agent opencode-ai opencode '(api.anthropic.com|models.dev|(models.)?opencode.ai)' run -m anthropic/claude-sonnet-4-5 hi
agent @github/copilot copilot api.github.com -p hi
unset T_TIMEOUT
settled
is "$(leftovers)" '' 'nothing is left'
done_testing
