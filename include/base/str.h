/* SPDX-License-Identifier: Apache-2.0 */
/* str - small text questions; no allocation, ASCII rules, no locale. */
#ifndef OPSD_BASE_STR_H
#define OPSD_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_ieq(const char *a, const char *b);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_empty(const char *s);                  /* NULL or "" */
bool str_to_i64(const char *s, int64_t *ret_n); /* whole text, decimal, optional sign */

/* Edits needed to turn a into b (insert, delete, replace, swap of neighbours), for did-you-mean. */
size_t str_distance(const char *a, const char *b);

/* The nearest of n names within max(1, strlen(s)/3) edits, or NULL. */
const char *str_nearest(const char *s, const char *const *names, size_t n);

/* UTF-8: one sequence at s of at most n bytes; 0 at the end or on a bad sequence (ret_cp
 * untouched). */
size_t str_utf8_next(const char *s, size_t n, uint32_t *ret_cp);
bool str_utf8_valid(const char *s, size_t n);
size_t str_utf8_prefix(const char *s, size_t max);    /* bytes of the longest prefix within max */
size_t str_utf16_len(const char *s);                  /* UTF-16 units, as Slack counts text */
size_t str_utf16_prefix(const char *s, size_t units); /* bytes of the longest prefix within units */

#endif
