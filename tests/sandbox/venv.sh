#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes $BUILD/venv (default: build/venv) with the official Slack client, pinned, for the check that the
# stand-in speaks to a client that was not written with it. Prints the interpreter's path.
# Needs a Python package index; without one, and without an earlier run, it fails.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../../build}
venv=$build/venv
pin="slack_sdk==3.43.0"

mkdir -p "$build"
if [ "$(cat "$venv/pin" 2>/dev/null || true)" != "$pin" ]; then
	/usr/bin/python3 -m venv --system-site-packages "$venv" >&2
	"$venv/bin/pip" install --quiet --disable-pip-version-check "$pin" >&2
	echo "$pin" > "$venv/pin"
fi
echo "$venv/bin/python3"
