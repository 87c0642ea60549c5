#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A short run of one target over its seeds; what it finds new goes to a scratch directory.
# usage: run.sh TARGET SEEDS; FUZZ_SECONDS makes it longer.
# A find ends with 1: libFuzzer's own 77 is meson's word for a test that was left out.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/new"
"$1" -runs="${FUZZ_RUNS:-20000}" -seed=1 -max_total_time="${FUZZ_SECONDS:-60}" -timeout=120 \
	-error_exitcode=1 -timeout_exitcode=1 \
	-artifact_prefix="${FUZZ_ARTIFACTS:-$PWD}/" -verbosity=0 "$scratch/new" "$2"
