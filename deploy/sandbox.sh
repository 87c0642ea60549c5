#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole thing on this machine: installs what is missing, builds into build/, starts PostgreSQL, the stand-ins and
# opsd on 127.0.0.1, prints one URL, and ends with Ctrl-C. Options: tests/sandbox/run.py --help
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "sandbox: $1" >&2
	exit 3
}

case " $* " in *" --help "* | *" -h "*) exec /usr/bin/python3 tests/sandbox/run.py --help ;; esac
deploy/install-packages.sh --no-tests || exit $?
build=$(realpath -m "${BUILD:-build}")
if [ -z "${OPSD:-}" ] && [[ " $* " != *" --no-opsd "* ]]; then
	mkdir -p "$build"
	if [ ! -f "$build/build.ninja" ]; then
		meson setup "$build" >"$build/setup.log" 2>&1 ||
			fail "meson setup failed: $(tail -n 5 "$build/setup.log")"
	fi
	echo "building into $build/" >&2
	ninja -C "$build" --quiet opsd >"$build/sandbox-build.log" 2>&1 || {
		grep -E 'error|FAILED' "$build/sandbox-build.log" | head -n 20 >&2
		fail "the build failed; all of its output is in $build/sandbox-build.log"
	}
fi
exec env BUILD="$build" /usr/bin/python3 tests/sandbox/run.py "$@"
