/* SPDX-License-Identifier: Apache-2.0 */
/* xalloc - allocation that cannot fail: aborts with a log line.  Sound because outside sizes are
 * capped first. */
#ifndef OPSD_BASE_XALLOC_H
#define OPSD_BASE_XALLOC_H

#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), malloc, returns_nonnull));

/* strdup that keeps NULL. */
char *xstrdup_null(const char *s);

#endif
