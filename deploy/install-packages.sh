#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what deploy/packages.txt names and is missing. Changes nothing when all is there.
# usage: deploy/install-packages.sh [--no-tests] [--list]
#   --no-tests  not what the tests alone need;  --list  only say what is missing
set -euo pipefail
cd "$(dirname "$0")"

command -v dpkg-query >/dev/null || {
	echo "install-packages: no Debian packages on this system; install what deploy/packages.txt names yourself" >&2
	exit 3
}
list=false leave=''
for option in "$@"; do
	case $option in
	--list) list=true ;;
	--no-tests) leave=tests ;;
	*)
		echo "install-packages: unknown option $option" >&2
		exit 2
		;;
	esac
done
mapfile -t wanted < <(sed 's/#.*//' packages.txt | awk -v leave="$leave" 'NF && !(leave != "" && $2 == leave) { print $1 }')
mapfile -t missing < <(
	comm -13 <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n 's/ installed$//p' | sort -u) \
		<(printf '%s\n' "${wanted[@]}" | sort -u)
)
[ ${#missing[@]} -gt 0 ] || exit 0
if $list; then
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
# Only the programs of PostgreSQL are wanted: no server that runs on this machine from now on.
no_server=/etc/postgresql-common/createcluster.d/opsd-no-server.conf
if [[ " ${missing[*]} " == *" postgresql "* ]]; then
	echo 'create_main_cluster = false' | "${as_root[@]}" install -D -m 644 /dev/stdin "$no_server"
	trap '"${as_root[@]}" rm -f "$no_server"' EXIT
fi
{
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
} >&2 || {
	echo "install-packages: apt-get failed; what it said is above. Needed: ${missing[*]}" >&2
	exit 3
}
