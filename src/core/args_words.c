/* SPDX-License-Identifier: Apache-2.0 */
/* args_words.c - a line to words: key=value, "quoted", plain.  Nothing is copied while splitting.
 */
#include <stdlib.h>
#include <string.h>

#include "args_internal.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Letters of any script: what is not a parameter's name is told so, not taken for a value. */
static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || (unsigned char)c >= 0x80;
}

static const char *quoted_end(const char *p, char quote)
{
	while (*p != '\0' && *p != quote)
		p += *p == '\\' && p[1] != '\0' ? 2 : 1;
	return p;
}

static const char *plain_end(const char *p)
{
	while (*p != '\0' && !is_space(*p))
		p++;
	return p;
}

bool args_word_next(const char **p, struct args_word *ret_word)
{
	struct args_word word = { 0 };
	const char *at = *p;

	while (is_space(*at))
		at++;
	if (*at == '\0')
		return false;
	word.start = word.value = at;
	while (is_key_char(*at))
		at++;
	if (*at == '=' && at > word.start) {
		word.key = word.start;
		word.key_len = (size_t)(at - word.start);
		word.value = at + 1;
	}
	if (*word.value == '"' || *word.value == '\'') {
		word.quote = *word.value++;
		word.value_end = quoted_end(word.value, word.quote);
		word.unclosed = *word.value_end == '\0';
		word.end = word.unclosed ? word.value_end : plain_end(word.value_end + 1);
		word.tail = !word.unclosed && word.end > word.value_end + 1;
	} else {
		word.value_end = word.end = plain_end(word.value);
	}
	*p = word.end;
	*ret_word = word;
	return true;
}

char *args_word_value(const struct args_word *word)
{
	size_t len = (size_t)(word->value_end - word->value), n = 0;
	char *text = xmalloc(len + 1);

	for (const char *p = word->value; p < word->value_end; p++) {
		bool escape = word->quote != 0 && *p == '\\' && p + 1 < word->value_end &&
			      (p[1] == '\\' || p[1] == '"' || p[1] == '\'');

		if (escape)
			p++;
		text[n++] = *p;
	}
	text[n] = '\0';
	return text;
}

static bool is_plain(const char *text)
{
	if (*text == '\0' || *text == '-' || strpbrk(text, " \t\r\n\"'") != NULL)
		return false;
	return true;
}

char *args_quote(const char *text)
{
	struct buf buf;

	if (is_plain(text))
		return xstrdup(text);
	buf_init(&buf, strlen(text) * 2 + 3);
	buf_puts(&buf, "\"");
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			buf_puts(&buf, "\\");
		buf_append(&buf, p, 1);
	}
	buf_puts(&buf, "\"");
	return buf_take(&buf);
}
