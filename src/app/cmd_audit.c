/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_audit.c - opsd audit list: search the log from a terminal; audit verify: prove it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/once.h"
#include "app/options.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/signing.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "store/audit.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 10000, PEM_MAX = 64 * 1024 };

struct audit_question {
	json_t *filter;
	unsigned limit;
};

static struct call *ask(struct db *db, void *data,
			void (*answer)(void *data, const json_t *value, const struct err *err),
			void *answer_data)
{
	struct audit_question *question = data;

	return store_audit_list(db, question->filter, question->limit, answer, answer_data);
}

static int print(const json_t *value, bool json, void *data)
{
	size_t i;
	json_t *entry;

	(void)data;
	json_array_foreach(value, i, entry)
	{
		char *text = json_text(entry);

		if (json)
			(void)puts(text);
		else
			(void)printf(
				"%s  %-16s %-20s %-22s %s\n", jget_str_or(entry, "at", ""),
				jget_str_or(entry, "request", ""), jget_str_or(entry, "event", ""),
				jget_str_or(entry, "action", ""), jget_str_or(entry, "actor", ""));
		free(text);
	}
	return APP_GOOD;
}

static bool take_word(struct audit_question *question, const char *word)
{
	static const char *const names[] = { "request", "person", "action", "outcome", "since" };
	const char *equals = strchr(word, '=');
	int64_t limit;

	if (str_starts(word, "limit=")) {
		if (!str_to_i64(word + strlen("limit="), &limit) || limit < 1 || limit > LIMIT_MAX)
			return false;
		question->limit = (unsigned)limit;
		return true;
	}
	for (size_t i = 0; equals != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == (size_t)(equals - word) && str_starts(word, names[i])) {
			json_object_set_new(question->filter, names[i], json_string(equals + 1));
			return true;
		}
	}
	return false;
}

static int list(struct app_options *options)
{
	struct audit_question question = { .filter = json_object(), .limit = LIMIT_DEFAULT };
	const struct once once = {
		.url_setting = "database.url", .ask = ask, .print = print, .data = &question
	};
	int code = APP_GOOD;

	for (int i = 1; i < options->argc && code == APP_GOOD; i++)
		if (!take_word(&question, options->argv[i]))
			code = app_fail(APP_USAGE, "\"%s\" is no filter of audit list",
					options->argv[i]);
	if (code == APP_GOOD)
		code = once_run(options, &once);
	json_decref(question.filter);
	return code;
}

/* verify */

static struct call *ask_verify(struct db *db, void *data,
			       void (*answer)(void *data, const json_t *value,
					      const struct err *err),
			       void *answer_data)
{
	return store_audit_verify(db, data, answer, answer_data);
}

static int print_verified(const json_t *value, bool json, void *data)
{
	const struct store_verify *noted = data;
	bool good = jget_bool(value, "good", false);

	if (json) {
		char *text = json_text(value);

		(void)puts(text);
		free(text);
		return good ? APP_GOOD : APP_FINDING;
	}
	(void)printf("%s: %" PRId64 " entries under %" PRId64 " seals, %" PRId64
		     " not sealed yet\n",
		     good ? "Good" : "NOT GOOD", jget_int(value, "entries", 0),
		     jget_int(value, "seals", 0), jget_int(value, "unsealed", 0));
	if (noted->keys != NULL)
		(void)printf("%" PRId64 " seals are signed by the given key\n",
			     jget_int(value, "signed", 0));
	if (!good)
		(void)printf("%s\n", jget_str_or(value, "problem", ""));
	else if (jget_int(value, "seals", 0) > 0)
		(void)printf("Newest seal %" PRId64 ":%s%s\n", jget_int(value, "seals", 0),
			     jget_str_or(value, "hash", ""),
			     noted->expect_no > 0
				     ? ""
				     : ". Only a seal noted outside the database shows that "
				       "none were cut off: audit verify NUMBER:HASH");
	if (good && noted->expect_no > 0)
		(void)printf("Seal %" PRId64 " is in the chain%s\n", noted->expect_no,
			     noted->expect_key == NULL ? ""
			     : noted->keys != NULL
				     ? ", and signed by the key that was noted"
				     : "; --public-key FILE shows whether it is signed by the key");
	return good ? APP_GOOD : APP_FINDING;
}

static struct signing_key *read_public(const char *path, int *ret_code)
{
	struct signing_key *key = NULL;
	struct err err;
	size_t len;
	char *pem = file_read(path, PEM_MAX, &len, &err);

	if (pem != NULL)
		key = signing_public(pem, &err);
	if (key == NULL)
		*ret_code = app_fail(APP_COULD_NOT, "%s: %s", path, err.msg);
	free(pem);
	return key;
}

static bool is_hex(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

/* NUMBER:HASH, and :KEY when it is signed: as the audit channel and the log have it. */
static bool read_seal(char *text, struct store_verify *what)
{
	char *hash = strchr(text, ':'), *key = hash != NULL ? strchr(hash + 1, ':') : NULL;

	if (hash == NULL)
		return false;
	*hash++ = '\0';
	if (key != NULL)
		*key++ = '\0';
	what->expect_hash = hash;
	what->expect_key = key;
	return str_to_i64(text, &what->expect_no) && what->expect_no > 0 &&
	       is_hex(hash, DIGEST_HEX_LEN - 1) && (key == NULL || is_hex(key, SIGNING_ID_LEN - 1));
}

/* A seal and --public-key FILE, in any order. */
static int read_words(struct app_options *options, struct store_verify *what,
		      struct signing_key **ret_key)
{
	int code = APP_GOOD;

	for (int i = 1; i < options->argc && code == APP_GOOD; i++) {
		if (str_eq(options->argv[i], "--public-key") && i + 1 < options->argc &&
		    *ret_key == NULL) {
			*ret_key = read_public(options->argv[++i], &code);
		} else if (what->expect_hash != NULL || !read_seal(options->argv[i], what)) {
			code = app_fail(APP_USAGE,
					"audit verify [NUMBER:HASH[:KEY]] [--public-key FILE]; the "
					"first is a whole seal as the audit channel shows it, or "
					"the log line \"audit log sealed\"");
		}
	}
	return code;
}

static int verify(struct app_options *options)
{
	struct store_verify what = { 0 };
	struct signing_key *key = NULL;
	const struct once once = { .url_setting = "database.url",
				   .ask = ask_verify,
				   .print = print_verified,
				   .data = &what };
	int code = read_words(options, &what, &key);

	what.keys = key;
	if (code == APP_GOOD)
		code = once_run(options, &once);
	signing_free(key);
	return code;
}

int cmd_audit(struct app_options *options)
{
	if (options->argc > 0 && str_eq(options->argv[0], "list"))
		return list(options);
	if (options->argc > 0 && str_eq(options->argv[0], "verify"))
		return verify(options);
	return app_fail(APP_USAGE,
			"audit list [request=… person=… action=… outcome=… since=…] "
			"[limit=N], or audit verify [NUMBER:HASH[:KEY]] [--public-key FILE]");
}
