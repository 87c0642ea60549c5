/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_test.c - the declarations' own tests: parser, grants, guards, approval rules; no
 * database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "catalog_internal.h"
#include "core/args.h"
#include "core/policy.h"

enum { GOT_LEN = 600 };

struct testing {
	const json_t *grants; /* NULL: no policy, so grants are not judged */
	json_t *rows;
};

static int64_t needed(const json_t *wanted)
{
	int64_t n = 0;
	json_t *rule;
	size_t i;

	json_array_foreach(wanted, i, rule) n += jget_int(rule, "need", 0);
	return n;
}

/* What would happen to these arguments: "allow", "deny …", "approval 2"; why in got. */
static const char *decide(const struct testing *testing, const struct command *command,
			  const struct command_test *test, const json_t *args, char got[GOT_LEN])
{
	struct policy_ask ask = { .groups = test->groups,
				  .n_groups = test->n_groups,
				  .can = "request",
				  .action = command->action };
	json_t *scope = args_scope(command, args), *wanted;
	const char *key = NULL, *deny;
	struct err err;
	bool failed, allowed;
	int64_t n;

	ask.scope = scope;
	allowed = testing->grants == NULL || policy_allows(testing->grants, &ask, &key);
	json_decref(scope);
	if (!allowed) {
		(void)snprintf(got, GOT_LEN, "%s%s", key != NULL ? "grant " : "no grant fits",
			       key != NULL ? key : "");
		return "deny";
	}
	deny = args_guard(command, args, &failed);
	if (failed || deny != NULL) {
		(void)snprintf(got, GOT_LEN, "%s", failed ? "a guard cannot be evaluated" : deny);
		return "deny";
	}
	wanted = args_approvals(command, args, NULL, &err);
	if (wanted == NULL) {
		(void)snprintf(got, GOT_LEN, "%s", err.msg);
		return "deny";
	}
	n = needed(wanted);
	json_decref(wanted);
	(void)snprintf(got, GOT_LEN, "%lld", (long long)n);
	return n > 0 ? "approval" : "allow";
}

static void run_test(struct testing *testing, const struct command *command,
		     const struct command_test *test)
{
	struct args_problems problems;
	json_t *args = args_from_text(command, test->text, &problems);
	char got[GOT_LEN] = "", says[GOT_LEN + 100];
	const char *outcome = "invalid";
	bool good;

	if (args == NULL)
		(void)snprintf(got, sizeof(got), "%s", problems.items[0].text);
	else
		outcome = decide(testing, command, test, args, got);
	json_decref(args);
	/* Without a policy nobody is refused for want of a grant. */
	good = str_eq(outcome, test->expect) ||
	       (testing->grants == NULL && str_eq(test->expect, "deny"));
	if (str_eq(outcome, "approval") && good)
		good = strtoll(got, NULL, 10) == test->approvals;
	(void)snprintf(says, sizeof(says), "%s%s%s", outcome, str_eq(outcome, "allow") ? "" : ": ",
		       str_eq(outcome, "allow") ? "" : got);
	json_array_append_new(testing->rows,
			      json_pack("{s:b, s:s, s:s, s:i, s:s, s:s, s:s}", "good", good,
					"command", command->title, "file", command->file, "line",
					test->line, "text", test->text, "expect", test->expect,
					"got", says));
}

json_t *catalog_test(const struct catalog *catalog, const json_t *grants)
{
	struct testing testing = { .grants = grants, .rows = json_array() };

	for (size_t i = 0; i < catalog->n_commands; i++) {
		const struct command *command = &catalog->commands[i];

		for (size_t j = 0; j < command->n_tests; j++)
			run_test(&testing, command, &command->tests[j]);
	}
	return testing.rows;
}
