/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - kinds and sentences.  A sentence that is too long is cut at a character, never inside
 * one. */
#include "base/err.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* Ends text before the character that does not fit whole, if vsnprintf() cut one. */
static void cut_at_character(char *text)
{
	size_t len = strlen(text), at = len;
	uint32_t cp;

	while (at > 0 && len - at < 4 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
		at--;
	if (at > 0 && (unsigned char)text[at - 1] >= 0xc0 &&
	    str_utf8_next(text + at - 1, len - at + 1, &cp) == 0)
		text[at - 1] = '\0';
}

void err_vset(struct err *err, enum err_kind kind, const char *fmt, va_list ap)
{
	int n;

	assert(err != NULL && kind != ERR_NONE);
	err->kind = kind;
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	if (n < 0)
		err->msg[0] = '\0';
	else if ((size_t)n >= sizeof(err->msg))
		cut_at_character(err->msg);
}

void err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, kind, fmt, ap);
	va_end(ap);
}

void err_prefix(struct err *err, const char *fmt, ...)
{
	char old[ERR_MSG_MAX];
	size_t len, room;
	va_list ap;

	assert(err != NULL && err->kind != ERR_NONE);
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	err_vset(err, err->kind, fmt, ap);
	va_end(ap);
	len = strlen(err->msg);
	room = sizeof(err->msg) - len;
	if ((size_t)snprintf(err->msg + len, room, ": %s", old) >= room)
		cut_at_character(err->msg);
}

const char *err_kind_name(enum err_kind kind)
{
	switch (kind) {
	case ERR_NONE:
		return "none";
	case ERR_INVALID:
		return "invalid";
	case ERR_DENIED:
		return "denied";
	case ERR_RETRY:
		return "retry";
	case ERR_TIMEOUT:
		return "timeout";
	case ERR_UNCERTAIN:
		return "uncertain";
	case ERR_INTERNAL:
		return "internal";
	}
	return "unknown";
}
