# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Debian packages that building, showing and testing need; installs those that are missing. To be sourced, or run:
#
#   bash deps.sh LOG GROUP...    e.g. bash deps.sh apt.log build run test

# Groups; used by name.
# shellcheck disable=SC2034
deps_build=(gcc libc6-dev make autoconf automake pkgconf libfuse3-dev libglib2.0-dev libconfig-dev libssl-dev
	libjson-c-dev)
# Nice to have: another way exists without them.
# shellcheck disable=SC2034
deps_build_optional=(libisal-dev)
# shellcheck disable=SC2034
deps_run=(fuse3)
# shellcheck disable=SC2034
deps_demo=(tgt)
# shellcheck disable=SC2034
deps_test=(python3 libcunit1-dev tgt istgt fuse3 mount e2fsprogs xfsprogs btrfs-progs fdisk fio libiscsi-bin
	sg3-utils mandoc xz-utils binutils iproute2 open-isns-server open-isns-utils)
# shellcheck disable=SC2034
deps_fuzz=(clang libclang-rt-dev)

deps_say()
{
	printf '%s\n' "$*" >&2
}

# Names of those that are not installed.
deps_missing()
{
	local p
	for p; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || printf '%s\n' "$p"
	done
}

# Run as root, through sudo when this user is not root.
deps_as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

# Targets come with a service that would listen on port 3260 of every interface from now on. We only want the program.
deps_policy=/usr/sbin/policy-rc.d

deps_apt()
{
	deps_as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y -o Dpkg::Use-Pty=0 \
		-o DPkg::Lock::Timeout=300 "$@"
}

# In a shell of its own, so that the policy file goes again however this ends.
deps_install_quietly()
(
	if [ ! -e "$deps_policy" ]; then
		trap 'deps_as_root rm -f "$deps_policy"' EXIT
		trap 'exit 1' INT TERM HUP
		# shellcheck disable=SC2016 # for that shell
		deps_as_root sh -c 'printf "#!/bin/sh\n# of iscsifs, while it installs packages\nexit 101\n" > "$1" &&
			chmod 755 "$1"' sh "$deps_policy" || exit
	fi
	deps_apt install --no-install-recommends "$@" ||
		{ deps_apt update && deps_apt install --no-install-recommends "$@"; } || exit
	command -v systemctl >/dev/null || exit 0
	for service; do
		case $service in
		tgt | istgt) deps_as_root systemctl --quiet disable "$service" || : ;;
		esac
	done
)

# deps_install LOG GROUP...: see to it that they are there. Non-zero, with a message that says what to do, when they are not.
deps_install()
{
	local log=$1 missing group wanted=()
	shift
	for group; do
		local -n packages=deps_$group
		wanted+=("${packages[@]}")
	done
	set -- "${wanted[@]}"
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		deps_say "This is no Debian: these packages of Debian 12 (or what is the same here) are needed: $*"
		return 1
	fi
	mapfile -t missing < <(deps_missing "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		deps_say "Packages are missing. As root: apt-get install ${missing[*]}"
		return 1
	fi
	deps_say "Installing: ${missing[*]}"
	deps_install_quietly "${missing[@]}" >"$log" 2>&1 && return 0
	deps_say "This did not work; the end of $log:"
	tail -n 15 "$log" >&2
	deps_say "Try by hand: apt-get update && apt-get install ${missing[*]}"
	return 1
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	deps_install "$@"
fi
