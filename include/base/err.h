/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - why something failed: a kind for code, a sentence for people.  Held by value.
 *
 * Code branches on kinds only.  The sentence names the thing, the reason and, where there is one,
 * the next step; it never holds a secret.
 */
#ifndef OPSD_BASE_ERR_H
#define OPSD_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

enum err_kind {
	ERR_NONE,
	ERR_INVALID,   /* the asker's mistake: wrong argument, wrong file, wrong state */
	ERR_DENIED,    /* not allowed */
	ERR_RETRY,     /* certainly nothing happened; the same again may work */
	ERR_TIMEOUT,   /* no answer in time; nothing was sent, or it was only a read */
	ERR_UNCERTAIN, /* it may have happened */
	ERR_INTERNAL,  /* our fault */
};

enum { ERR_MSG_MAX = 480 };

struct err {
	enum err_kind kind;
	char msg[ERR_MSG_MAX]; /* UTF-8, cut at a character when too long */
};

void err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void err_vset(struct err *err, enum err_kind kind, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

/* Puts "text: " in front of the sentence. */
void err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "invalid", "denied", ...: for logs and metrics; never changes meaning. */
const char *err_kind_name(enum err_kind kind);

#endif
