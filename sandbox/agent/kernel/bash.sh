# The bash kernel: runs cells of code for the agent, and keeps their state.
#
# The agent speaks over descriptor 3: "run ID SIZE\n" and that many bytes of
# code; the answers are "ready VERSION\n" once and "done ID STATUS[ interrupted]\n".
# bash -c evaluates this file and then the loop that is in Command (driver.go),
# which waits in __sandwarden_next and evaluates a cell.
#
# The control channel is kept from what cells start: the loop closes 3, and the
# copy that bash sets aside to restore it closes on exec. Its number is the
# first free one from 10 on.
#
# An exit in a cell, be it by set -e or by SIGINT, comes to the EXIT trap. A
# shell cannot turn back there, so it writes down its state and becomes a new
# one, with the same process id, which reads it. Lost are jobs (the processes
# go on), and traps. Only exec by a cell, and a signal, end a kernel.

# __sandwarden_find sets the number of the control channel. It is called just
# before the loop sets it aside.
__sandwarden_find() {
	__sandwarden_control=10
	while [[ -e /proc/$$/fd/$__sandwarden_control ]]; do
		__sandwarden_control=$((__sandwarden_control + 1))
	done
}

# __sandwarden_next says that the cell before is done, if there was one, and
# waits for the next. Its errors are not for the user: it runs without stderr.
__sandwarden_next() {
	local status=$? flags=$-
	builtin set +euxvfCaET
	builtin trap : INT
	if [[ -n $__sandwarden_restored ]]; then # the cell before ran in an earlier shell
		__sandwarden_restored=
	else
		__sandwarden_status=$status __sandwarden_flags=$flags
	fi
	__sandwarden_arguments=("$@")
	local IFS=$' \t\n' LC_ALL=C
	__sandwarden_answer
	local line part='' rest size
	line=
	until IFS= builtin read -r -u "$__sandwarden_control" part; do
		status=$?
		line+=$part
		((status > 128)) || __sandwarden_end # a trap interrupts a read
	done
	line+=$part rest=${line#* }
	size=${rest#* }
	__sandwarden_code= __sandwarden_interrupted=
	while ((${#__sandwarden_code} < size)); do
		IFS= builtin read -r -N $((size - ${#__sandwarden_code})) -u "$__sandwarden_control" part
		status=$?
		__sandwarden_code+=$part
		((status == 0 || status > 128)) || __sandwarden_end
	done
	builtin trap '{ __sandwarden_interrupted=" interrupted"; } 2>/dev/null; builtin exit 130' INT
	builtin trap '{ __sandwarden_status=$? __sandwarden_flags=$-; builtin set +euxvfCaET; } 2>/dev/null; __sandwarden_exit "$@"' EXIT
	__sandwarden_id=${rest%% *}
	# -x comes with the code, so that the eval itself is not shown.
	[[ $__sandwarden_flags != *x* ]] || __sandwarden_code="builtin set -x;$__sandwarden_code"
	__sandwarden_flags=${__sandwarden_flags//[!eufCaET]/}
	[[ -z $__sandwarden_flags ]] || builtin set -"$__sandwarden_flags"
}

__sandwarden_answer() {
	[[ -n $__sandwarden_id ]] || return 0
	builtin printf 'done %s %s%s\n' "$__sandwarden_id" "$__sandwarden_status" "$__sandwarden_interrupted" \
		>&"$__sandwarden_control"
	__sandwarden_id=
}

# __sandwarden_end is for when the agent has hung up.
__sandwarden_end() {
	builtin trap - EXIT
	builtin exit 0
}

# __sandwarden_exit goes on after an exit. Its arguments are the shell's.
__sandwarden_exit() {
	builtin trap : INT
	if [[ -n $__sandwarden_trap ]]; then
		__sandwarden_code=$__sandwarden_trap __sandwarden_trap=
		exit() { __sandwarden_status=${1-$__sandwarden_status}; } # the shell is exiting already
		__sandwarden_return "$__sandwarden_status"
		eval "$__sandwarden_code"
		unset -f exit
	fi
	__sandwarden_code= __sandwarden_state=
	__sandwarden_state=$({
		shopt -p
		alias -p
		builtin set +o
		builtin declare -f
		builtin declare -p
	} 2>/dev/null)
	# Bash may have left the loop, and so put the channel back to 3, or not. It
	# travels as stdin, since a copy of what closes on exec does so too, but for
	# 0 to 2. Not builtin exec: that would undo what it redirects.
	[[ -S /proc/$$/fd/$__sandwarden_control ]] || __sandwarden_control=3
	exec 198<&0 0<&"$__sandwarden_control" 199< <(builtin printf '%s' "$__sandwarden_state")
	((${#FUNCNAME[@]} == 1)) || set -- "${__sandwarden_arguments[@]}" # those of a function are not the shell's
	__SANDWARDEN_RESTORE=1 exec "$BASH" --noprofile --norc -c "$BASH_EXECUTION_STRING" bash "$__sandwarden_driver" "$@"
}

__sandwarden_return() { return "$1"; }

# trap keeps the EXIT trap of the user apart from the kernel's. It is run when
# a cell exits.
trap() {
	if (($# == 1)) && [[ $1 != -* ]]; then
		set -- - "$1"
	fi
	if [[ $1 == -- ]]; then
		shift
	fi
	if [[ $BASHPID != "$$" || $1 == -?* || $# -lt 2 ]]; then
		builtin trap "$@"
		return
	fi
	local __sandwarden_action=$1 __sandwarden_signal __sandwarden_others=()
	shift
	for __sandwarden_signal; do
		case ${__sandwarden_signal^^} in
		EXIT | SIGEXIT | 0)
			__sandwarden_trap=$__sandwarden_action
			[[ $__sandwarden_action != - ]] || __sandwarden_trap=
			;;
		*) __sandwarden_others+=("$__sandwarden_signal") ;;
		esac
	done
	if ((${#__sandwarden_others[@]} > 0)); then
		builtin trap -- "$__sandwarden_action" "${__sandwarden_others[@]}"
	fi
}

__sandwarden_code= __sandwarden_id= __sandwarden_trap= __sandwarden_interrupted=
__sandwarden_status=0 __sandwarden_flags= __sandwarden_restored=
if [[ -v __SANDWARDEN_RESTORE ]]; then
	unset __SANDWARDEN_RESTORE
	IFS= builtin read -r -d '' __sandwarden_state <&199
	exec 3<&0 0<&198 198<&- 199<&-
	eval "$__sandwarden_state" 2>/dev/null
	unset __sandwarden_state
	__sandwarden_restored=1
else
	builtin printf 'ready %s\n' "${BASH_VERSION%%(*}" >&3
fi
shopt -s execfail # a cell whose exec fails shall not end the kernel
__sandwarden_find
