/* SPDX-License-Identifier: Apache-2.0 */
/* array.c - see array.h. */
#include "array.h"

#include "base/buf.h"

enum { ARRAY_MAX = 64 << 10 };

char *array_text(const char *const *items, size_t n)
{
	struct buf buf;

	buf_init(&buf, ARRAY_MAX);
	(void)buf_puts(&buf, "{");
	for (size_t i = 0; i < n; i++) {
		(void)buf_puts(&buf, i == 0 ? "\"" : ",\"");
		for (const char *c = items[i]; *c != '\0'; c++) {
			if (*c == '"' || *c == '\\')
				(void)buf_puts(&buf, "\\");
			(void)buf_append(&buf, c, 1);
		}
		(void)buf_puts(&buf, "\"");
	}
	(void)buf_puts(&buf, "}");
	return buf_take(&buf);
}
