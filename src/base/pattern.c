/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.c - PCRE2, anchored at both ends; the limits end a backtracking bomb as "no match". */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/pattern.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/xalloc.h"

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 1000, HEAP_LIMIT_KIB = 1024 };

struct pattern {
	pcre2_code *code;
	pcre2_match_context *limits;
	pcre2_match_data *match;
};

struct pattern *pattern_create(const char *source, struct err *err)
{
	const uint32_t options = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED |
				 PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
	struct pattern *pattern;
	size_t len = strlen(source), at = 0;
	int code = 0;

	if (len > PATTERN_MAX) {
		err_set(err, ERR_INVALID, "pattern of %zu bytes is longer than the %d allowed", len,
			PATTERN_MAX);
		return NULL;
	}
	pattern = xcalloc(1, sizeof(*pattern));
	pattern->code = pcre2_compile((PCRE2_SPTR)source, len, options, &code, &at, NULL);
	if (pattern->code == NULL) {
		PCRE2_UCHAR why[160];

		(void)pcre2_get_error_message(code, why, sizeof(why));
		err_set(err, ERR_INVALID, "pattern \"%s\" is wrong at character %zu: %s", source,
			at + 1, (const char *)why);
		pattern_destroy(pattern);
		return NULL;
	}
	pattern->limits = pcre2_match_context_create(NULL);
	pattern->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
	if (pattern->limits == NULL || pattern->match == NULL)
		abort();
	(void)pcre2_set_match_limit(pattern->limits, MATCH_LIMIT);
	(void)pcre2_set_depth_limit(pattern->limits, DEPTH_LIMIT);
	(void)pcre2_set_heap_limit(pattern->limits, HEAP_LIMIT_KIB);
	return pattern;
}

void pattern_destroy(struct pattern *pattern)
{
	if (pattern == NULL)
		return;
	pcre2_match_data_free(pattern->match);
	pcre2_match_context_free(pattern->limits);
	pcre2_code_free(pattern->code);
	free(pattern);
}

bool pattern_matches(const struct pattern *pattern, const char *text)
{
	return pcre2_match(pattern->code, (PCRE2_SPTR)text, strlen(text), 0, 0, pattern->match,
			   pattern->limits) >= 0;
}
