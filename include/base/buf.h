/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a growing byte buffer with a ceiling given at birth.
 *
 * What would pass the ceiling is not appended at all and sets overflow; the caller checks once, at
 * the end.  data is always NUL-terminated (len does not count the NUL) once something was appended.
 */
#ifndef OPSD_BASE_BUF_H
#define OPSD_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NULL until the first append */
	size_t len, cap, max;
	bool overflow;
};

void buf_init(struct buf *buf, size_t max);
void buf_finish(struct buf *buf);
void buf_reset(struct buf *buf); /* empties, keeps the memory */
bool buf_append(struct buf *buf, const void *data, size_t len);
bool buf_puts(struct buf *buf, const char *s);
bool buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *buf, size_t len); /* drops from the front */
char *buf_take(struct buf *buf);               /* the caller's now; "" when empty */
const char *buf_text(const struct buf *buf);   /* never NULL */

#endif
