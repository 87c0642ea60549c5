/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args_redact.c - a typed line for the record, without the secrets that should not be on it.
 *
 * Secrets have their field in the form; who types one all the same is refused, and the record of
 * the refusal must not keep it.  Any word that begins with the name of a secret hides what follows,
 * up to the next "key=" of another parameter: rather too much than too little.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "args_internal.h"
#include "base/buf.h"
#include "core/command.h"

static bool is_secret(const struct command *command, const char *name, size_t len)
{
	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];

		if (param->secret && strlen(param->name) == len &&
		    strncasecmp(param->name, name, len) == 0)
			return true;
	}
	return false;
}

/* Bytes of a word that stay when it names a secret: "token=", "--token", "token"; else 0. */
static size_t kept(const struct command *command, const struct args_word *word)
{
	const char *name = word->start + strspn(word->start, "-");
	size_t len = strcspn(name, "=: \t\r\n\"'");

	if (!is_secret(command, name, len))
		return 0;
	if (word->key == word->start)
		len++; /* its "=" */
	return (size_t)(name - word->start) + len;
}

static bool ends_secret(const struct command *command, const struct args_word *word)
{
	for (size_t i = 0; word->key != NULL && i < command->n_params; i++) {
		const struct param *param = &command->params[i];

		if (!param->secret && strlen(param->name) == word->key_len &&
		    strncasecmp(param->name, word->key, word->key_len) == 0)
			return true;
	}
	return false;
}

char *args_redact(const struct command *command, const char *rest)
{
	const char *p = rest, *from = rest, *next;
	struct args_word word;
	struct buf buf;

	buf_init(&buf, strlen(rest) * 4 + 8);
	while (args_word_next(&p, &word)) {
		size_t stays = kept(command, &word);

		if (stays == 0)
			continue;
		buf_append(&buf, from, (size_t)(word.start - from) + stays);
		buf_puts(&buf, word.start[stays - 1] == '=' ? "***" : " ***");
		for (next = p; args_word_next(&next, &word) && !ends_secret(command, &word);)
			p = next;
		from = p;
	}
	buf_puts(&buf, from);
	return buf_take(&buf);
}
