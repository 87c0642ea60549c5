/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - text to and from Slack.
 *
 * Inwards the order matters: first what stands in <…>, which only Slack can write, then the
 * entities of the rest.  Somebody who types <@U1> sends &lt;@U1&gt;, and that must stay text.
 */
#include "slack/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"

enum { TEXT_MAX = 1024 * 1024 };

char *slack_text_escape(const char *text)
{
	size_t size = 1;
	char *escaped, *to;

	for (const char *s = text; *s != '\0'; s++)
		size += *s == '&' ? 5 : (*s == '<' || *s == '>' ? 4 : 1);
	escaped = to = xmalloc(size);
	for (const char *s = text; *s != '\0'; s++) {
		const char *entity = *s == '&'   ? "&amp;"
				     : *s == '<' ? "&lt;"
				     : *s == '>' ? "&gt;"
						 : NULL;
		size_t len = entity != NULL ? strlen(entity) : 1;

		memcpy(to, entity != NULL ? entity : s, len);
		to += len;
	}
	*to = '\0';
	return escaped;
}

char *slack_text_cut(const char *text, size_t units)
{
	size_t keep;

	if (str_utf16_len(text) <= units)
		return xstrdup(text);
	if (units == 0)
		return xstrdup("");
	keep = str_utf16_prefix(text, units - 1);
	return xasprintf("%.*s\xe2\x80\xa6", (int)keep, text);
}

/* --- inwards --- */

/* What was read so far; at_word says that the next character begins a word. */
struct out {
	struct buf buf;
	bool at_word;
};

static bool is_space(uint32_t cp)
{
	return cp == ' ' || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
	       cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

/* Of no width, or there only to steer the direction of writing. */
static bool is_invisible(uint32_t cp)
{
	return cp == 0xad || cp == 0x180e || (cp >= 0x200b && cp <= 0x200f) ||
	       (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2060 && cp <= 0x2069) || cp == 0xfeff;
}

/* What a client made of what was typed, turned back; NULL: leave it as it is. */
static const char *plain_form(uint32_t cp, bool at_word)
{
	if (is_space(cp) || (cp < 0x20 && cp != '\n') || (cp >= 0x7f && cp < 0xa0))
		return " ";
	if (is_invisible(cp))
		return "";
	if (cp >= 0x2018 && cp <= 0x201b)
		return "'";
	if (cp >= 0x201c && cp <= 0x201f)
		return "\"";
	if (at_word && (cp == 0x2014 || cp == 0x2015))
		return "--";
	if (at_word && ((cp >= 0x2010 && cp <= 0x2013) || cp == 0x2212))
		return "-";
	return NULL;
}

static void put(struct out *out, const char *s, size_t n)
{
	if (n == 0)
		return;
	(void)buf_append(&out->buf, s, n);
	out->at_word = s[n - 1] == ' ' || s[n - 1] == '\n';
}

/* Bytes of the entity at s, or 0. */
static size_t entity_at(const char *s, size_t n, const char **ret_char)
{
	static const struct {
		const char *name, *is;
	} entities[] = { { "&lt;", "<" }, { "&gt;", ">" }, { "&amp;", "&" } };

	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
		size_t len = strlen(entities[i].name);

		if (n >= len && memcmp(s, entities[i].name, len) == 0) {
			*ret_char = entities[i].is;
			return len;
		}
	}
	return 0;
}

/* Text outside of <…>: entities once, odd characters. */
static void put_text(struct out *out, const char *s, size_t n)
{
	while (n > 0) {
		const char *form = NULL;
		uint32_t cp = 0;
		size_t len = *s == '&' ? entity_at(s, n, &form) : 0;

		if (len == 0) {
			len = str_utf8_next(s, n, &cp);
			if (len == 0) {
				len = 1; /* not UTF-8: JSON does not let it through */
				form = "?";
			} else {
				form = plain_form(cp, out->at_word);
			}
		}
		put(out, form != NULL ? form : s, form != NULL ? strlen(form) : len);
		s += len;
		n -= len;
	}
}

static bool is_id(const char *s, size_t n)
{
	return n > 0 && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") >= n;
}

static bool equals(const char *s, size_t n, const char *word)
{
	return n == strlen(word) && memcmp(s, word, n) == 0;
}

static size_t skip(const char *s, size_t n, const char *prefix)
{
	size_t len = strlen(prefix);

	return n >= len && memcmp(s, prefix, len) == 0 ? len : 0;
}

/* The client made a link of a bare host: http://xyz.example.org|xyz.example.org. */
static bool is_bare(const char *url, size_t n, const char *label, size_t label_len)
{
	size_t scheme = skip(url, n, "http://");

	if (scheme == 0)
		scheme = skip(url, n, "https://");
	url += scheme;
	n -= scheme;
	if (n == label_len + 1 && url[n - 1] == '/')
		n--;
	return scheme > 0 && n == label_len && memcmp(url, label, n) == 0;
}

/* Between "<" and ">": s is what stands before the "|", label what stands after it (or empty). */
static bool put_token(struct out *out, const char *s, size_t n, const char *label, size_t label_len)
{
	size_t len;

	if (n > 1 && (*s == '@' || *s == '#') && is_id(s + 1, n - 1)) {
		put(out, s, n);
		return true;
	}
	len = skip(s, n, "!subteam^");
	if (len > 0 && is_id(s + len, n - len)) {
		put(out, "@", 1);
		put(out, s + len, n - len);
		return true;
	}
	if (equals(s, n, "!here") || equals(s, n, "!channel") || equals(s, n, "!everyone")) {
		put(out, "@", 1);
		put(out, s + 1, n - 1);
		return true;
	}
	if (n > 0 && *s == '!') {
		put_text(out, label, label_len); /* a date: its fallback */
		return label_len > 0;
	}
	len = skip(s, n, "mailto:");
	if (len > 0) {
		put_text(out, s + len, n - len);
		return true;
	}
	if (skip(s, n, "tel:") > 0 || is_bare(s, n, label, label_len)) {
		put_text(out, label, label_len);
		return label_len > 0;
	}
	if (skip(s, n, "http://") > 0 || skip(s, n, "https://") > 0) {
		put_text(out, s, n);
		return true;
	}
	return false;
}

char *slack_text_decode(const char *text)
{
	struct out out = { .at_word = true };

	buf_init(&out.buf, TEXT_MAX);
	while (*text != '\0') {
		size_t n = strcspn(text, "<"), len, name;
		const char *token;

		put_text(&out, text, n);
		text += n;
		if (*text == '\0')
			break;
		token = text + 1;
		len = strcspn(token, "<>");
		if (token[len] != '>') { /* not a token after all */
			put(&out, text, 1);
			text++;
			continue;
		}
		name = strcspn(token, "|>");
		if (!put_token(&out, token, name, token + name + 1,
			       name < len ? len - name - 1 : 0))
			put_text(&out, text, len + 2);
		text = token + len + 1;
	}
	return buf_take(&out.buf);
}
