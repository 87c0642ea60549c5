#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Functions and marks that the C sources do without.
set -u
cd "$(dirname "$0")/../.." || exit 2

sources() { # of the folders given
	git ls-files "$@" 2>/dev/null | grep '\.[ch]$' || find "$@" -name '*.[ch]'
}

failed=0
refuse() { # why, pattern, files on stdin
	found=$(xargs -r grep -nE -e "$2" /dev/null) || return 0
	printf '%s\n' "$found" | sed "s|\$|   <- $1|"
	failed=1
}

all=$(sources src include tests)
src=$(sources src include)

printf '%s\n' "$all" | refuse "no ceiling: use snprintf, buf or xasprintf" \
	'\b(strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|stpcpy)\('
printf '%s\n' "$all" | refuse "the stack has no ceiling: use an arena" '\balloca\('
printf '%s\n' "$src" | refuse "hidden state or no error: use str_to_i64, strspn" \
	'\b(strtok|atoi|atol|atoll|setlocale)\('
printf '%s\n' "$src" | refuse "starts a shell" '\b(system|popen)\('
printf '%s\n' "$src" | refuse "the loop never waits" '\b(sleep|usleep|nanosleep)\('
printf '%s\n' "$src" | refuse "blocks on name resolution" '\b(gethostbyname|PQconnectdb|PQexec|curl_easy_perform)\('
printf '%s\n' "$src" | grep -v '^src/app/' | refuse "output belongs to src/app; use log" \
	'\b(printf|fprintf|puts|fputs|putchar|perror)\('
printf '%s\n' "$src" | grep -v '^src/base/xalloc\.c$' | refuse "use xalloc" \
	'(^|[^_>.[:alnum:]])(malloc|calloc|realloc|strdup|strndup|asprintf)\('
printf '%s\n' "$all" | refuse "a comment is /* */" '(^|[^:"])//[^"]*$'
exit $failed
