#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Proves what the architecture promises of the sources:
#   - includes go downwards only: base <- {iscsi, scsi} <- core <- fuse, and iscsi and scsi do
#     not know each other; the command line tool (cli) knows base only;
#   - only fuse/ includes headers of libfuse;
#   - no source file has more than 1,100 lines;
#   - every C file begins with its license;
#   - Makefile.am names every source file, so that make dist forgets none.
# Prints each violation; exit status 1 when there is one.

LC_ALL=C
export LC_ALL
cd "${srcdir:-$(dirname "$0")/..}" || exit 99

max_lines=1100
tmp=$(mktemp) || exit 99
trap 'rm -f "$tmp"' EXIT

sources=$(find src fuse tests -name '*.[ch]' | sort)
scripts=$(find src fuse tests \( -name '*.py' -o -name '*.sh' \) | sort)

# "FILE:LINE:HEADER" for each #include "HEADER" (or <HEADER>) of the files given
includes()
{
	grep -nHE '^[[:space:]]*#[[:space:]]*include' "$@" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*/\1:/'
}

# may_include DIRECTORY ALLOWED...: headers of ours in DIRECTORY come from these only
may_include()
{
	dir=$1
	shift
	allowed=$(echo "$*" | tr ' ' '|')
	files=$(find "$dir" -name '*.[ch]' 2>/dev/null)
	[ -n "$files" ] || return 0
	# shellcheck disable=SC2086
	includes $files | grep -E ':"' |
		grep -vE ":\"(($allowed)/[a-z0-9_]+|config)\.h\"" |
		sed -E "s#^([^:]*:[0-9]+):(.*)#\1: $dir must not include \2#" >>"$tmp"
}

# <base/loop.h> would go around the rules above.
check_brackets()
{
	# shellcheck disable=SC2086
	includes $sources | sed -nE 's/^([^:]*:[0-9]+):<([^>]*)>.*/\1 \2/p' |
		while read -r where header; do
			if [ -e "src/$header" ] || [ -e "$header" ]; then
				echo "$where: <$header> is ours: include it with quotes" >>"$tmp"
			fi
		done
}

check_includes()
{
	may_include src/base base
	may_include src/iscsi base iscsi
	may_include src/scsi base scsi
	may_include src/core base iscsi scsi core
	may_include src/cli base cli
	may_include fuse base iscsi scsi core fuse
}

check_libfuse()
{
	# shellcheck disable=SC2046
	includes $(find src -name '*.[ch]') |
		grep -E ':["<](fuse3?/)?(fuse|cuse)[a-z0-9_]*\.h' |
		sed -E 's#(.*:[0-9]+):(.*)#\1: only fuse/ may include \2#' >>"$tmp"
}

check_file()
{
	lines=$(wc -l <"$1")
	if [ "$lines" -gt "$max_lines" ]; then
		echo "$1: $lines lines; the most is $max_lines: split it" >>"$tmp"
	fi
	case $1 in
	*.[ch])
		if [ "$(head -n 1 "$1")" != '/* SPDX-License-Identifier: BSD-2-Clause */' ]; then
			echo "$1:1: the first line must be the SPDX line" >>"$tmp"
		fi
		;;
	esac
}

# Programs of tests/ are named without .c: automake finds their source.
check_listed()
{
	name=$1
	case $name in
	tests/unit/*.c | tests/fuzz/*.c) name=${name%.c} ;;
	esac
	if ! tr -s '[:blank:]' '\n' <Makefile.am | grep -qxF -e "$name"; then
		echo "$1: not named in Makefile.am" >>"$tmp"
	fi
}

if [ -z "$sources" ] || [ ! -f Makefile.am ]; then
	echo "layering: no sources in $(pwd)"
	exit 99
fi
check_includes
check_brackets
check_libfuse
for file in $sources; do
	check_file "$file"
	check_listed "$file"
done
for file in $scripts; do
	check_file "$file"
	check_listed "$file"
done

if [ -s "$tmp" ]; then
	cat "$tmp"
	exit 1
fi
echo "$(echo "$sources" | wc -l) source files keep the rules"
