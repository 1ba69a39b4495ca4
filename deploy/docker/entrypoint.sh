#!/bin/sh
# What a container of the image starts: a subcommand of sandwarden, by its name;
# another program, by its; and else the daemon, which the arguments are flags of.
#
# It runs as any user. The daemon becomes process 1 and ends its sessions with
# the container.
set -eu

case "${1-}" in
serve) shift ;;
config | doctor | exec | run | logs | cp | sessions | executions | bench | purge | token | keygen | completion | version | help | --version) exec sandwarden "$@" ;;
'' | -*) ;;
*) exec "$@" ;;
esac

# place prints the first of some directories that this user can have alone.
place() {
	for dir in "$@"; do
		mkdir -m 0700 "$dir" 2>/dev/null || true
		if [ -d "$dir" ] && [ -O "$dir" ] && [ -w "$dir" ]; then
			echo "$dir"
			return
		fi
	done
	echo "sandwarden: user $(id -u) can write to none of: $*" >&2
	exit 1
}

user=$(id -u)
base=${TMPDIR:-/tmp}/sandwarden-$user
SANDWARDEN_STATE_DIR=${SANDWARDEN_STATE_DIR:-$(place "/var/lib/sandwarden/$user" "$base-state")}
SANDWARDEN_RUNTIME_DIR=${SANDWARDEN_RUNTIME_DIR:-$(place "/run/sandwarden/$user" "$base-run")}
export SANDWARDEN_STATE_DIR SANDWARDEN_RUNTIME_DIR

# Engines mount control groups read-only, also for a container that has the
# rights to change that: it sees its own part of them alone.
if [ "$user" = 0 ]; then
	while read -r _ place kind options _; do
		case $kind,$options in
		cgroup,ro,* | cgroup2,ro,*) mount -o remount,bind,rw "$place" 2>/dev/null || true ;;
		esac
	done </proc/mounts
fi

# trusted reports whether the operator wants no authentication.
trusted() {
	case ${SANDWARDEN_INSECURE_LISTEN:-} in
	1 | [Tt][Rr][Uu][Ee] | [Yy][Ee][Ss] | [Oo][Nn] | [Ee][Nn][Aa][Bb][Ll][Ee][Dd]) return 0 ;;
	esac
	case " $* " in *' --insecure-listen '* | *' --insecure-listen=true '*) return 0 ;; esac
	return 1
}

# Other machines reach the daemon, so it wants tokens. The first start makes one.
tokens=${SANDWARDEN_TOKENS_FILE:-$SANDWARDEN_STATE_DIR/tokens}
if ! trusted "$@"; then
	export SANDWARDEN_TOKENS_FILE="$tokens"
	if [ ! -e "$tokens" ]; then
		token=$(sandwarden token new container)
		cat >&2 <<END
sandwarden: a token was made for the clients of this container. It is shown this once:

  $token

try: curl -s http://localhost:${MCP_SERVER_PORT:-8775}/mcp -H 'Authorization: Bearer $token' -H 'Content-Type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"print(6*7)"}}}'

END
	fi
fi

exec mcp_server "$@"
