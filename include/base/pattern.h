/* SPDX-License-Identifier: Apache-2.0 */
/* pattern - a regular expression that must match the whole text (PCRE2, UTF, with match, depth and
 * heap limits). */
#ifndef OPSD_BASE_PATTERN_H
#define OPSD_BASE_PATTERN_H

#include <stdbool.h>

struct err;
struct pattern;

enum { PATTERN_MAX = 512 }; /* bytes of source */

struct pattern *pattern_create(const char *source,
			       struct err *err); /* NULL: err says where and why */
void pattern_destroy(struct pattern *pattern);
bool pattern_matches(const struct pattern *pattern,
		     const char *text); /* a limit hit counts as no match */

#endif
