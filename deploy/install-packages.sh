#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what deploy/packages.txt names and is missing. Changes nothing when all is there.
# usage: deploy/install-packages.sh [--list]     --list: only say what is missing
set -euo pipefail
cd "$(dirname "$0")"

command -v dpkg-query >/dev/null || {
	echo "install-packages: no Debian packages on this system; install what deploy/packages.txt names yourself" >&2
	exit 3
}
mapfile -t wanted < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' packages.txt)
mapfile -t missing < <(
	comm -13 <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n 's/ installed$//p' | sort -u) \
		<(printf '%s\n' "${wanted[@]}" | sort -u)
)
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "${1:-}" = --list ]; then
	printf '%s\n' "${missing[@]}"
	exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "install-packages: these packages are missing: ${missing[*]}" >&2
		echo "install-packages: run this once as root: apt-get install ${missing[*]}" >&2
		exit 3
	fi
	as_root=(sudo)
fi
echo "installing: ${missing[*]}" >&2
{
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
} >&2 || {
	echo "install-packages: apt-get failed; what it said is above. Needed: ${missing[*]}" >&2
	exit 3
}
