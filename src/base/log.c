/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - one JSON object a line.
 *
 * A line is built on the stack and written by one write(), so lines of two threads never mix.
 * Secrets are found in the text as it was given, before it is escaped.
 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/xalloc.h"

enum {
	LINE_MAX_BYTES = 8192,
	TAIL_ROOM = 64,       /* for what ends a line that is full */
	VALUE_MAX = 6 * 1024, /* one value may not fill the line */
	MASK_MIN = 6,
	MASKS_MAX = 512, /* the oldest goes first: tokens that are renewed come back for ever */
};

struct mask {
	char *text;
	size_t len;
};

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum log_level least = LOG_INFO;
static int log_fd = 2;
static struct mask masks[MASKS_MAX];
static size_t n_masks;
static size_t first_bytes[256]; /* how many masks begin with this byte */

/* --- what must not be seen --- */

static size_t run_of(const char *s, const char *extra)
{
	size_t n = 0;

	while ((s[n] >= '0' && s[n] <= '9') || (s[n] >= 'A' && s[n] <= 'Z') ||
	       (s[n] >= 'a' && s[n] <= 'z') || (s[n] != '\0' && strchr(extra, s[n]) != NULL))
		n++;
	return n;
}

/* Bytes at s that look like a token, whoever issued it, or 0. */
static size_t token_span(const char *s)
{
	static const char *const prefixes[] = { "xoxb-", "xoxp-", "xapp-", "xoxe.", "xoxe-",
						"xoxa-", "xoxr-", "xoxs-", "xwfp-" };
	size_t head, body;

	if (s[0] == 'x') {
		for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
			body = str_starts(s, prefixes[i]) ? run_of(s + 5, "-._%") : 0;
			if (body >= MASK_MIN)
				return 5 + body;
		}
	} else if (str_starts(s, "hooks.slack.com/")) {
		return strlen("hooks.slack.com/") +
		       run_of(s + strlen("hooks.slack.com/"), "-._~%/");
	} else if (str_starts(s, "eyJ")) { /* a signed web token */
		head = run_of(s, "-_");
		body = s[head] == '.' ? run_of(s + head + 1, "-_.") : 0;
		if (head >= 10 && body >= 10)
			return head + 1 + body;
	}
	return 0;
}

/* Bytes at s that must not be shown, or 0; of several masks the longest. */
static size_t secret_span(const char *s)
{
	size_t span = token_span(s);

	if (first_bytes[(unsigned char)*s] == 0)
		return span;
	for (size_t i = 0; i < n_masks; i++)
		if (masks[i].len > span && strncmp(s, masks[i].text, masks[i].len) == 0)
			span = masks[i].len;
	return span;
}

static void mask_drop(size_t i)
{
	first_bytes[(unsigned char)masks[i].text[0]]--;
	explicit_bzero(masks[i].text, masks[i].len);
	free(masks[i].text);
	memmove(&masks[i], &masks[i + 1], (n_masks - i - 1) * sizeof(masks[0]));
	n_masks--;
}

void log_mask(const char *secret)
{
	size_t len = secret == NULL ? 0 : strlen(secret);

	if (len < MASK_MIN)
		return;
	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_masks; i++) {
		if (masks[i].len == len && memcmp(masks[i].text, secret, len) == 0) {
			mask_drop(i); /* and comes back as the newest */
			break;
		}
	}
	if (n_masks == MASKS_MAX)
		mask_drop(0);
	masks[n_masks++] = (struct mask){ .text = xstrdup(secret), .len = len };
	first_bytes[(unsigned char)secret[0]]++;
	(void)pthread_mutex_unlock(&lock);
}

void log_mask_clear(void)
{
	(void)pthread_mutex_lock(&lock);
	while (n_masks > 0)
		mask_drop(n_masks - 1);
	(void)pthread_mutex_unlock(&lock);
}

void log_redact(char *text)
{
	char *to = text;
	size_t span;

	(void)pthread_mutex_lock(&lock);
	while (*text != '\0') {
		span = secret_span(text);
		if (span > 0) {
			memcpy(to, "***", 3); /* no secret is shorter */
			to += 3;
			text += span;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
	(void)pthread_mutex_unlock(&lock);
}

/* --- the line --- */

static void put(struct line *line, const char *s, size_t n)
{
	if (n <= sizeof(line->text) - line->len) {
		memcpy(line->text + line->len, s, n);
		line->len += n;
	}
}

static void put_str(struct line *line, const char *s)
{
	put(line, s, strlen(s));
}

/* One character of a JSON string; returns the bytes read from s. */
static size_t put_char(struct line *line, const char *s, size_t n)
{
	unsigned char c = (unsigned char)*s;
	char escape[8];
	uint32_t cp;
	size_t len;

	if (c == '"' || c == '\\') {
		escape[0] = '\\';
		escape[1] = (char)c;
		put(line, escape, 2);
		return 1;
	}
	if (c < 0x20 || c == 0x7f) {
		(void)snprintf(escape, sizeof(escape), "\\u%04x", c);
		put(line, escape, 6);
		return 1;
	}
	len = str_utf8_next(s, n, &cp);
	if (len == 0) {
		put_str(line, "\xef\xbf\xbd");
		return 1;
	}
	put(line, s, len);
	return len;
}

/* The text between quotes, secrets masked, cut where the line or the value has no more room. */
static void put_quoted(struct line *line, const char *s)
{
	size_t room = sizeof(line->text) - TAIL_ROOM, n = strlen(s), span;

	if (line->len + VALUE_MAX < room)
		room = line->len + VALUE_MAX;
	put_str(line, "\"");
	while (*s != '\0') {
		if (line->len + 8 > room) {
			put_str(line, "\xe2\x80\xa6");
			break;
		}
		span = secret_span(s);
		if (span > 0)
			put_str(line, "***");
		else
			span = put_char(line, s, n);
		s += span;
		n -= span;
	}
	put_str(line, "\"");
}

static bool put_field(struct line *line, const struct log_field *field)
{
	char number[24];

	if (line->len + strlen(field->key) + sizeof(number) + TAIL_ROOM > sizeof(line->text))
		return false;
	put_str(line, ",\"");
	put_str(line, field->key);
	put_str(line, "\":");
	if (field->str != NULL) {
		put_quoted(line, field->str);
		return true;
	}
	(void)snprintf(number, sizeof(number), "%lld", (long long)field->num);
	put_str(line, number);
	return true;
}

static void write_all(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(log_fd, text, len);

		if (n <= 0)
			return; /* nowhere to say so */
		text += n;
		len -= (size_t)n;
	}
}

void log_write(enum log_level level, const char *msg, ...)
{
	struct line line;
	struct log_field field;
	char now[CLOCK_ISO_LEN];
	va_list ap;

	if (!log_enabled(level))
		return;
	line.len = 0;
	clock_iso(clock_wall_ms(), now);
	put_str(&line, "{\"ts\":\"");
	put_str(&line, now);
	put_str(&line, "\",\"level\":\"");
	put_str(&line, level_names[level]);
	put_str(&line, "\",\"msg\":");
	(void)pthread_mutex_lock(&lock);
	put_quoted(&line, msg);
	va_start(ap, msg);
	for (field = va_arg(ap, struct log_field); field.key != NULL;
	     field = va_arg(ap, struct log_field)) {
		if (!put_field(&line, &field)) {
			put_str(&line, ",\"cut\":true");
			break;
		}
	}
	va_end(ap);
	put_str(&line, "}\n");
	write_all(line.text, line.len);
	(void)pthread_mutex_unlock(&lock);
}

void log_set_level(enum log_level level)
{
	least = level;
}

bool log_enabled(enum log_level level)
{
	return level >= least;
}

void log_set_fd(int fd)
{
	log_fd = fd;
}

bool log_level_from_name(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (str_eq(name, level_names[i])) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}
