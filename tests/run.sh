#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, runs the tests, and ends with one line: N passed, N failed, N skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOF'
usage: tests/run.sh [--quick] [--sanitize] [--scenarios] [--kill] [--bench] [--control-plane] [--cluster]

  (nothing)    all suites, then unit, flow and fuzz again under the sanitizers
  --quick      lint, unit and flow only
  --sanitize   only the sanitizer build: unit, flow and fuzz
  --scenarios  only the scenarios; with --sanitize: those under the sanitizers too
  --kill       only the kill harness, with failpoints, and its longer modes too
  --bench      also what is promised about time
  --control-plane  only the Kubernetes suite, on the stand-in and on a real control plane (built once, ten minutes)
  --cluster    the same suite on the cluster of KUBECONFIG's current context; makes namespaces there and removes them
EOF
}

quick=false sanitize=false scenarios=false bench=false kill=false plane=false named=false
for option in "$@"; do
	case $option in
	--quick) quick=true ;;
	--sanitize) sanitize=true ;;
	--scenarios) scenarios=true ;;
	--bench) bench=true ;;
	--kill) kill=true ;;
	--control-plane) plane=true ;;
	--cluster) named=true ;;
	-h | --help) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
done

logs=()
broken=() # what went wrong outside of a test

install_packages() {
	local missing=()

	if [ -x deploy/install-packages.sh ]; then
		deploy/install-packages.sh
		return
	fi
	[ -r deploy/packages.txt ] || return 0
	while read -r package _; do
		case $package in '' | \#*) continue ;; esac
		dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed$' ||
			missing+=("$package")
	done <deploy/packages.txt
	[ ${#missing[@]} -eq 0 ] && return
	echo "installing: ${missing[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

configure() { # directory, options
	local dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then
		meson setup --reconfigure "$dir" "$@" >"$dir/setup.log" 2>&1 || {
			cat "$dir/setup.log"
			return 1
		}
	else
		mkdir -p "$dir"
		meson setup "$dir" "$@" >"$dir/setup.log" 2>&1 || {
			cat "$dir/setup.log"
			return 1
		}
	fi
}

run_suites() { # directory, suites: their tests together, more of them than processors because most only wait
	local dir=$1 name
	shift
	name=$(IFS=- && echo "run-$*")
	echo "== $* ($dir)"
	rm -f "$dir/meson-logs/$name.json"
	# It builds what these tests need first.
	meson test -C "$dir" "${@/#/--suite=}" --logbase "$name" --num-processes $((2 * $(nproc))) --print-errorlogs ||
		[ -f "$dir/meson-logs/$name.json" ] || broken+=("building $dir or running $*")
	logs+=("$dir/meson-logs/$name.json")
}

with_plain_build() { # suites
	# All of it is built, tested or not.
	configure build --buildtype=debugoptimized && ninja -C build || {
		broken+=("building build")
		return
	}
	run_suites build "$@"
}

with_sanitizers() { # suites
	configure build-asan --buildtype=debugoptimized -Db_sanitize=address,undefined || {
		broken+=("configuring build-asan")
		return
	}
	run_suites build-asan "$@"
}

with_fuzzers() {
	local clang

	clang=$(command -v clang clang-14 | head -n 1)
	if [ -z "$clang" ]; then
		echo "== fuzz: clang is not installed, left out"
		return
	fi
	CC=$clang configure build-fuzz --buildtype=debugoptimized -Dfuzz=true \
		-Db_sanitize=address,undefined -Db_lundef=false || {
		broken+=("configuring build-fuzz")
		return
	}
	run_suites build-fuzz fuzz
}

with_failpoints() { # suites
	configure build-fp --buildtype=debugoptimized -Dfailpoints=true || {
		broken+=("configuring build-fp")
		return
	}
	run_suites build-fp "$@"
}

build_control_plane() {
	# A machine that cannot build it says why here, and its tests are counted as skipped.
	tests/controlplane/build.sh >/dev/null || [ $? -eq 77 ] || broken+=("building the control plane")
}

install_packages
if $plane; then
	build_control_plane
	with_plain_build cluster
elif $named; then
	: "${KUBECONFIG:?--cluster needs KUBECONFIG}"
	CLUSTER=named with_plain_build cluster
elif $sanitize; then
	suites=(unit flow)
	$scenarios && suites+=(scenarios)
	with_sanitizers "${suites[@]}"
	with_fuzzers
elif $kill; then
	with_failpoints kill kill-long
elif $scenarios; then
	with_plain_build scenarios
elif $quick; then
	with_plain_build lint unit flow
else
	build_control_plane
	with_plain_build lint unit flow sql model scenarios page cluster
	with_failpoints kill
	with_sanitizers unit flow
	with_fuzzers
fi
if $bench; then
	build_control_plane
	with_plain_build bench
fi
exec /usr/bin/python3 tests/count.py "${broken[@]/#/--broken=}" "${logs[@]}"
