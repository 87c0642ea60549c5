/* SPDX-License-Identifier: Apache-2.0 */
/* array - texts as the text of a PostgreSQL array; private to src/store. */
#ifndef OPSD_STORE_ARRAY_H
#define OPSD_STORE_ARRAY_H

#include <stddef.h>

/* {"a","b"}; the caller frees. */
char *array_text(const char *const *items, size_t n);

#endif
