#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What no file may hold: marks of unfinished work and paths of one machine.  And what each begins with.
set -u
cd "$(dirname "$0")/../.." || exit 2

files=$(git ls-files 2>/dev/null) ||
	files=$(find . -path './build*' -prune -o -path ./.git -prune -o -type f -print | sed 's|^\./||')
failed=0

found=$(printf '%s\n' "$files" | grep -v '^tests/lint/words\.sh$' | tr '\n' '\0' |
	xargs -0 -r grep -nIE -e '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b' -e '(^|[^[:alnum:]_.*])/(home|root|work|Users)/[a-z]' /dev/null)
if [ -n "$found" ]; then
	printf '%s\n' "$found" | sed 's|$|   <- unfinished, or a path of one machine|'
	failed=1
fi

for file in $(printf '%s\n' "$files" |
	grep -E '\.(c|h|py|sh|sql|yaml|yml|go|js|css)$|(^|/)meson\.build$|^\.ci/run$'); do
	[ -s "$file" ] || continue
	case $(head -n 2 "$file" | tr '\n' ' ') in
	*SPDX-License-Identifier:\ Apache-2.0*) ;;
	*)
		echo "$file:1: no SPDX line"
		failed=1
		;;
	esac
done
exit $failed
