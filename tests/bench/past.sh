#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a year of past requests costs the next one; arguments as `python3 -m bench.past --help` says.
set -euo pipefail
cd "$(dirname "$0")/.."
export OPSD=${OPSD:-$PWD/../build/opsd}
exec /usr/bin/python3 -B -m bench.past "$@"
