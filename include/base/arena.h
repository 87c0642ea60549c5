/* SPDX-License-Identifier: Apache-2.0 */
/* arena - everything of one request, freed at once.  Aligned for any type; grows by blocks of 2
 * KiB. */
#ifndef OPSD_BASE_ARENA_H
#define OPSD_BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_create(void);
void arena_destroy(struct arena *arena); /* NULL is fine */

void *arena_alloc(struct arena *arena, size_t size);    /* zeroed */
char *arena_strdup(struct arena *arena, const char *s); /* NULL stays NULL */
char *arena_strndup(struct arena *arena, const char *s, size_t n);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
