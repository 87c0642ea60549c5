#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The kill harness against the opsd of $BUILD, which must have failpoints; arguments as `python3 -m kill --help` says.
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILD=${BUILD:-$PWD/../build-fp}
export OPSD=${OPSD:-$BUILD/opsd}
exec /usr/bin/python3 -B -m kill "$@"
