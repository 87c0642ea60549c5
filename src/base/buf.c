/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c - doubles until the ceiling; at the ceiling nothing more goes in and overflow stays set. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

void buf_init(struct buf *buf, size_t max)
{
	assert(max > 0 && max < SIZE_MAX / 4);
	*buf = (struct buf){ .max = max };
}

void buf_finish(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ .max = buf->max };
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->overflow = false;
	if (buf->data != NULL)
		buf->data[0] = '\0';
}

/* Room for len more bytes and the NUL, or overflow. */
static bool reserve(struct buf *buf, size_t len)
{
	size_t cap = buf->cap > 0 ? buf->cap : 64;

	if (buf->overflow || len > buf->max - buf->len) {
		buf->overflow = true;
		return false;
	}
	while (cap < buf->len + len + 1)
		cap *= 2;
	if (cap > buf->max + 1)
		cap = buf->max + 1;
	if (cap > buf->cap) {
		buf->data = xrealloc(buf->data, cap);
		buf->cap = cap;
	}
	return true;
}

bool buf_append(struct buf *buf, const void *data, size_t len)
{
	if (!reserve(buf, len))
		return false;
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return true;
}

bool buf_puts(struct buf *buf, const char *s)
{
	return buf_append(buf, s, strlen(s));
}

bool buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	if (!reserve(buf, (size_t)n))
		return false;
	va_start(ap, fmt);
	(void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
	return true;
}

void buf_consume(struct buf *buf, size_t len)
{
	assert(len <= buf->len);
	if (len == 0)
		return;
	memmove(buf->data, buf->data + len, buf->len - len + 1);
	buf->len -= len;
}

char *buf_take(struct buf *buf)
{
	char *text = buf->data != NULL ? buf->data : xstrdup("");

	*buf = (struct buf){ .max = buf->max };
	return text;
}

const char *buf_text(const struct buf *buf)
{
	return buf->data != NULL ? buf->data : "";
}
