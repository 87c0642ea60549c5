#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The C sources are as clang-format 14 lays them out.
set -u
cd "$(dirname "$0")/../.." || exit 2
command -v clang-format-14 >/dev/null || {
	echo "clang-format-14 is not installed"
	exit 77 # meson: skipped
}
failed=0
for file in $({ git ls-files src include tests 2>/dev/null || find src include tests -type f; } |
	grep '\.[ch]$'); do
	[ -f "$file" ] || continue
	clang-format-14 "$file" | cmp -s - "$file" || {
		echo "$file: run clang-format-14 -i on it"
		failed=1
	}
done
exit $failed
