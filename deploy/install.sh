#!/bin/sh
# Installs the program with its service, and takes it away again.
#
#   install.sh install|uninstall
#
# PREFIX, DESTDIR, SYSCONFDIR, LOGDIR choose the places. With DESTDIR only files
# are laid out: nothing that runs is touched. What was installed stands in a list,
# and uninstall removes what is in it, nothing else. KEEP_STATE=1 makes uninstall
# leave the state of the daemon, its log and its settings.
set -eu

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
SYSCONFDIR=${SYSCONFDIR:-/etc}
LOGDIR=${LOGDIR:-/var/log/mcp-server}
UNITDIR=${UNITDIR:-$PREFIX/lib/systemd/system}
KEEP_STATE=${KEEP_STATE:-}

here=$(cd "$(dirname "$0")" && pwd)
program=${PROGRAM:-$here/../bin/sandwarden}
settings=$SYSCONFDIR/mcp-server/environment
installed=$SYSCONFDIR/mcp-server/installed # names without DESTDIR, one a line
list=$(mktemp)
trap 'rm -f "$list"' EXIT

say() { echo "sandwarden: $*" >&2; }

# record notes what was made.
record() { echo "$1" >>"$list"; }

# directory makes one with those above it, and notes those that were not there.
directory() {
	[ ! -d "$DESTDIR$1" ] || return 0
	directory "$(dirname "$1")"
	mkdir "$DESTDIR$1"
	chmod "${2:-0755}" "$DESTDIR$1"
	record "$1"
}

# was reports whether an earlier installation made it.
was() { grep -qxF -e "$1" "$DESTDIR$installed" 2>/dev/null; }

# put MODE TARGET installs standard input, in place of what was there. The
# program may run meanwhile.
put() {
	directory "$(dirname "$2")"
	cat >"$DESTDIR$2.new"
	chmod "$1" "$DESTDIR$2.new"
	mv -f "$DESTDIR$2.new" "$DESTDIR$2"
	record "$2"
}

# keep is put for a file that its owner may have changed, or made.
keep() {
	if [ -e "$DESTDIR$2" ]; then
		cat >/dev/null
		if was "$2"; then record "$2"; fi
		return
	fi
	put "$1" "$2"
}

# placed is a file of ours with the places that were chosen.
placed() {
	sed -e "s|/usr/local/bin|$PREFIX/bin|g" -e "s|/etc/mcp-server|$SYSCONFDIR/mcp-server|g" -e "s|/var/log/mcp-server|$LOGDIR|g" "$here/$1"
}

systemd_runs() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

# served reports whether the service that systemd knows is the one of this place.
served() {
	systemd_runs && [ "$(systemctl show -p FragmentPath --value mcp-server.service)" = "$UNITDIR/mcp-server.service" ]
}

install_all() {
	[ -x "$program" ] || { say "there is no $program: run make build"; exit 1; }
	put 0755 "$PREFIX/bin/sandwarden" <"$program"
	for name in mcp-server mcp_server; do
		link=$PREFIX/bin/$name
		if [ -e "$DESTDIR$link" ] && ! was "$link" && [ "$(readlink "$DESTDIR$link")" != sandwarden ]; then
			say "$link is another program's and stays"
			continue
		fi
		ln -sfn sandwarden "$DESTDIR$link"
		record "$link"
	done
	placed systemd/mcp-server.service | put 0644 "$UNITDIR/mcp-server.service"
	placed systemd/sandwarden.slice | put 0644 "$UNITDIR/sandwarden.slice"
	keep 0640 "$settings" <"$here/environment"
	placed logrotate/mcp-server | keep 0644 "$SYSCONFDIR/logrotate.d/mcp-server"
	directory "$LOGDIR" 0750
	completion bash "$PREFIX/share/bash-completion/completions/sandwarden"
	for name in mcp-server mcp_server; do # bash looks for the name that was typed
		ln -sfn sandwarden "$DESTDIR$PREFIX/share/bash-completion/completions/$name"
		record "$PREFIX/share/bash-completion/completions/$name"
	done
	completion zsh "$PREFIX/share/zsh/site-functions/_sandwarden"
	completion fish "$PREFIX/share/fish/vendor_completions.d/sandwarden.fish"
	directory "$(dirname "$installed")"
	record "$installed"
	# What an earlier one made and this one found is ours still.
	if [ -f "$DESTDIR$installed" ]; then cat "$DESTDIR$installed" >>"$list"; fi
	sort -u "$list" >"$DESTDIR$installed.new"
	mv "$DESTDIR$installed.new" "$DESTDIR$installed"
	if systemd_runs; then
		systemctl daemon-reload
		say "installed; start it by: systemctl enable --now mcp-server"
	elif [ -z "$DESTDIR" ]; then
		say "installed; systemd does not run here, so start it by: $PREFIX/bin/mcp_server"
	fi
}

# completion SHELL TARGET asks the program, which may be one for another machine.
completion() {
	if text=$("${COMPLETER:-$program}" completion "$1" 2>/dev/null); then
		printf '%s\n' "$text" | put 0644 "$2"
	elif [ -f "$here/../completion/$1" ]; then
		put 0644 "$2" <"$here/../completion/$1"
	fi
}

# as_service runs a program with the environment of the service: what the unit
# sets, and then its file. They are read as they are, no shell looks at them.
as_service() {
	(
		sed -n 's/^Environment=//p' "$UNITDIR/mcp-server.service" 2>/dev/null | cat - "$settings" 2>/dev/null >"$list" || true
		while IFS= read -r line; do
			name=${line%%=*} value=${line#*=}
			case $name in '' | *[!A-Z0-9_]*) continue ;; esac
			case $value in
			\"*\") value=${value#\"} value=${value%\"} ;;
			\'*\') value=${value#\'} value=${value%\'} ;;
			esac
			export "$name=$value"
		done <"$list"
		"$@"
	)
}

# value prints one setting of the service, as the program itself reads it.
value() {
	as_service "$PREFIX/bin/sandwarden" config 2>/dev/null | sed -n "s/^$1  *\([^ ].*[^ ]\)   *[a-z].*/\1/p"
}

# forget removes a directory that a daemon of ours made, which has its lock in it.
forget() {
	case $1 in
	/*/*) ;;
	*) return 0 ;;
	esac
	[ ! -f "$1/lock" ] || rm -rf "$1"
	rmdir "$1" 2>/dev/null || true # as systemd made it
}

# end ends what runs: the service, and sandboxes that it left.
end() {
	if served; then
		systemctl disable --now mcp-server.service || true
	fi
	state=$(value state_dir) runtime=$(value runtime_dir) groups=$(value cgroup_parent)
	if ! as_service "$PREFIX/bin/sandwarden" purge; then
		say "the daemon must be stopped first; systemd does not run here, or it was not started as its service"
		exit 1
	fi
	if served; then
		systemctl stop sandwarden.slice || true
	fi
	case $groups in # a slice that systemd does not have is ours alone
	/*.slice) rmdir "/sys/fs/cgroup$groups" /sys/fs/cgroup/*"$groups" 2>/dev/null || true ;;
	esac
	if [ -z "$KEEP_STATE" ]; then
		forget "$state"
		forget "$runtime"
	fi
}

uninstall_all() {
	[ -f "$DESTDIR$installed" ] || { say "nothing is installed in $DESTDIR$PREFIX"; exit 1; }
	if [ -z "$DESTDIR" ] && [ -x "$PREFIX/bin/sandwarden" ]; then
		end
	fi
	if [ -z "$KEEP_STATE" ] && was "$LOGDIR"; then
		rm -f "$DESTDIR$LOGDIR"/mcp-server.log*
	fi
	# The longest names first, so that directories are empty when they come.
	sort -r "$DESTDIR$installed" >"$list"
	while read -r name; do
		case $name in
		"$SYSCONFDIR"/* | "$SYSCONFDIR" | "$LOGDIR") [ -z "$KEEP_STATE" ] || continue ;;
		esac
		if [ -d "$DESTDIR$name" ] && [ ! -L "$DESTDIR$name" ]; then
			rmdir "$DESTDIR$name" 2>/dev/null || true # somebody else has files in it
		else
			rm -f "$DESTDIR$name"
		fi
	done <"$list"
	if [ -n "$KEEP_STATE" ]; then # so that a later one knows what is left
		while read -r name; do
			[ ! -e "$DESTDIR$name" ] || echo "$name"
		done <"$list" | sort -u >"$DESTDIR$installed.new"
		mv "$DESTDIR$installed.new" "$DESTDIR$installed"
	fi
	if systemd_runs; then
		systemctl daemon-reload
	fi
}

case "${1-}" in
install) install_all ;;
uninstall) uninstall_all ;;
*)
	echo "usage: [PREFIX=…] [DESTDIR=…] [KEEP_STATE=1] $0 install|uninstall" >&2
	exit 2
	;;
esac
