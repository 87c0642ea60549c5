/* SPDX-License-Identifier: Apache-2.0 */
/* email.c - see email.h; the same rules stand in the CHECK of dir.person_email. */
#include "core/email.h"

#include <string.h>

enum { ADDRESS_MAX = 254, LOCAL_MAX = 64, LABEL_MAX = 63 };

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Atoms with single dots between; no quoted part. */
static bool local_ok(const char *text, size_t len)
{
	if (len == 0 || len > LOCAL_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '.') {
			if (i == 0 || i + 1 == len || text[i - 1] == '.')
				return false;
		} else if (!is_alnum(text[i]) && strchr("!#$%&'*+/=?^_`{|}~-", text[i]) == NULL) {
			return false;
		}
	}
	return true;
}

static bool label_ok(const char *text, size_t len)
{
	if (len == 0 || len > LABEL_MAX || text[0] == '-' || text[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(text[i]) && text[i] != '-')
			return false;
	}
	return true;
}

static bool domain_ok(const char *domain)
{
	size_t labels = 0, len = 0;

	for (const char *at = domain;; at += len + 1) {
		len = strcspn(at, ".");
		if (!label_ok(at, len))
			return false;
		labels++;
		if (at[len] == '\0')
			return labels >= 2 && len >= 2;
	}
}

static bool domain_allowed(const char *domain, const char *const *domains, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(domain, domains[i]) == 0)
			return true;
	}
	return domains == NULL;
}

static bool refuse(const char *why, const char **ret_why)
{
	*ret_why = why;
	return false;
}

bool email_key(const char *text, const char *const *domains, size_t n, char ret_key[EMAIL_KEY_LEN],
	       const char **ret_why)
{
	char key[EMAIL_KEY_LEN];
	size_t len = strlen(text);
	const char *at;

	if (len == 0)
		return refuse("is empty", ret_why);
	if (len > ADDRESS_MAX)
		return refuse("is longer than 254 bytes", ret_why);
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (i < len && (c < 0x21 || c > 0x7e))
			return refuse("has a space, control character or byte outside ASCII",
				      ret_why);
		key[i] = lower(text[i]);
	}
	at = strchr(key, '@');
	if (at == NULL || strchr(at + 1, '@') != NULL)
		return refuse("does not have exactly one @", ret_why);
	if (!local_ok(key, (size_t)(at - key)))
		return refuse("has an unusual part before the @", ret_why);
	if (!domain_ok(at + 1))
		return refuse("has no proper domain", ret_why);
	if (!domain_allowed(at + 1, domains, n))
		return refuse("is of a domain that is not allowed here", ret_why);
	memcpy(ret_key, key, len + 1);
	return true;
}
