/* SPDX-License-Identifier: Apache-2.0 */
/* The table of action kinds keeps its contract: sorted, whole, and with needs that a role can be
 * made of. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "action/env.h"
#include "base/str.h"
#include "kube/kind.h"

static bool has_param(const struct action_kind *kind, const char *name)
{
	for (const struct action_param *p = kind->params; p->name != NULL; p++)
		if (str_eq(p->name, name))
			return true;
	return false;
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; action_kinds[i] != NULL; i++) {
		const struct action_kind *kind = action_kinds[i];
		bool reads = kind->effect == ACTION_READ && kind->effect_of == NULL;

		if (i > 0)
			assert_true(strcmp(action_kinds[i - 1]->name, kind->name) < 0);
		assert_non_null(kind->about);
		assert_non_null(kind->apply);
		assert_true((kind->plan == NULL) == reads);
		assert_true((kind->look == NULL) == reads);
		if (reads) {
			assert_null(kind->revert);
			assert_null(kind->follow);
		}
		assert_true((kind->needs != NULL) == str_starts(kind->name, "kube."));
	}
}

static bool verb_known(const char *verb)
{
	static const char *const verbs[] = { "get",    "list",  "watch",      "create",
					     "delete", "patch", "impersonate" };

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (str_eq(verb, verbs[i]))
			return true;
	return false;
}

/* Calls check for each word of text. */
static void each_word(const char *text, void (*check)(const char *word))
{
	char word[80];

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		assert_in_range(len, 1, sizeof(word) - 1);
		(void)snprintf(word, sizeof(word), "%.*s", (int)len, text);
		check(word);
		text += len + strspn(text + len, " ");
	}
}

static void check_verb(const char *word)
{
	assert_true(verb_known(word));
}

static void check_kind(const char *word)
{
	if (!str_eq(word, "*") && kube_kind_find(word) == NULL)
		fail_msg("no kind %s", word);
}

static void test_needs(void **state)
{
	(void)state;
	for (size_t i = 0; action_kinds[i] != NULL; i++) {
		const struct action_kind *kind = action_kinds[i];

		for (const struct action_need *n = kind->needs; n != NULL && n->verbs != NULL;
		     n++) {
			each_word(n->verbs, check_verb);
			each_word(n->kinds, check_kind);
			/* of several the parameter says which, so there must be one */
			if (strchr(n->kinds, ' ') != NULL || strchr(n->kinds, '*') != NULL)
				assert_true(has_param(kind, "kind"));
			if (n->when != NULL)
				assert_true(has_param(kind, n->when));
			if (n->object != NULL)
				assert_true(has_param(kind, n->object));
			/* the server cannot tell by the name who may list or create, but for the
			 * list of one name that a watch of it begins with */
			if (n->object != NULL) {
				if (strstr(n->verbs, "watch") == NULL)
					assert_null(strstr(n->verbs, "list"));
				assert_null(strstr(n->verbs, "create"));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
