#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures opsd, and beside it the same job done by a Go program, one after the other under the same
# load. README.md says what each line means; --help lists the options.
#
#   OPSD     the program (default: build/opsd)
#   PEER_GO  folder of the peer's source (default: a folder peer-go beside the repository, or one below)
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(cd .. && pwd)

if [ -z "${PEER_GO:-}" ]; then
	for folder in "$root"/../peer-go "$root"/../*/peer-go; do
		if [ -f "$folder/main.go" ]; then
			PEER_GO=$folder
			break
		fi
	done
fi
export PEER_GO=${PEER_GO:-} OPSD=${OPSD:-$root/build/opsd} PYTHONDONTWRITEBYTECODE=1
case ${1:-} in
--directory | --rights)
	module=bench.${1#--}
	shift
	exec /usr/bin/python3 -m "$module" "$@"
	;;
esac
exec /usr/bin/python3 -m bench "$@"
