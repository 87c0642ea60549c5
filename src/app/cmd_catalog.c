/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_catalog.c - opsd catalog test|docs|kinds|schema: the declarations alone, without a database.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "action/env.h"
#include "app/config.h"
#include "app/options.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/expr.h"
#include "core/grants.h"
#include "core/policy.h"

enum { GOT_LEN = 600, DOCS_MAX = 4 * 1024 * 1024 };

static const char usage[] = "catalog test [--grants FILE] | docs [--check FILE] | "
			    "kinds [--check FILE] | schema; each with [--dir DIR]";

struct catalog_options {
	const char *what, *dir, *grants, *check;
};

/* --- sources --- */

static void print_diags(const struct diags *diags)
{
	for (size_t i = 0; i < diags->n; i++)
		(void)fprintf(stderr, "%s\n", diag_text(&diags->items[i]));
	if (diags->total > diags->n)
		(void)fprintf(stderr, "and %zu more mistakes\n", diags->total - diags->n);
}

/* The configuration is asked only when there is one and the folder was not named. */
static struct config *find_config(const struct app_options *options,
				  const struct catalog_options *own, struct diags *diags)
{
	bool named = options->config != NULL;

	if (own->dir != NULL && !named)
		return NULL;
	if (!named && access("opsd.yaml", R_OK) != 0 && access("/etc/opsd/opsd.yaml", R_OK) != 0)
		return NULL;
	return config_load(options->config, diags);
}

struct source {
	struct catalog *catalog;
	char *grants; /* path, or NULL */
};

static bool load(const struct app_options *options, const struct catalog_options *own,
		 struct source *source)
{
	struct action_env *env = NULL;
	struct diags diags;
	struct config *config;
	char *dir;

	diags_init(&diags);
	config = find_config(options, own, &diags);
	if (config != NULL)
		env = action_env_create(NULL, config_node(config, "clusters"),
					config_node(config, "apis"), config_dir(config), &diags);
	dir = own->dir == NULL && config != NULL
		      ? config_file(config, "catalog")
		      : xstrdup(own->dir != NULL ? own->dir : "commands");
	if (own->grants != NULL)
		source->grants = xstrdup(own->grants);
	else if (config != NULL && config_has(config, "grants"))
		source->grants = config_file(config, "grants");
	if (diags.total == 0)
		source->catalog = catalog_load(dir, action_kinds, env, &diags);
	print_diags(&diags);
	diags_finish(&diags);
	free(dir);
	action_env_destroy(env);
	config_destroy(config);
	return source->catalog != NULL;
}

/* --- test --- */

struct testing {
	const json_t *grants; /* NULL: no policy, so grants are not judged */
	json_t *rows;
	size_t bad;
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
	testing->bad += !good;
	json_array_append_new(testing->rows,
			      json_pack("{s:b, s:s, s:s, s:i, s:s, s:s, s:s}", "good", good,
					"command", command->title, "file", command->file, "line",
					test->line, "text", test->text, "expect", test->expect,
					"got", says));
}

static int report(const struct testing *testing, bool json)
{
	json_t *row;
	size_t i;

	if (json) {
		(void)json_dumpf(testing->rows, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
		return testing->bad > 0 ? APP_FINDING : APP_GOOD;
	}
	json_array_foreach(testing->rows, i, row)
	{
		bool good = jget_bool(row, "good", false);

		(void)printf("%-4s %s:%lld: %s (%s) -> %s\n", good ? "ok" : "BAD",
			     jget_str_or(row, "file", ""), (long long)jget_int(row, "line", 0),
			     jget_str_or(row, "command", ""), jget_str_or(row, "text", ""),
			     jget_str_or(row, "got", ""));
		if (!good)
			(void)printf("     expected %s\n", jget_str_or(row, "expect", ""));
	}
	(void)printf("%zu tests, %zu bad%s\n", json_array_size(testing->rows), testing->bad,
		     testing->grants == NULL
			     ? "; no grants file, so whether somebody may is not judged"
			     : "");
	return testing->bad > 0 ? APP_FINDING : APP_GOOD;
}

static int test(const struct source *source, bool json)
{
	struct testing testing = { .rows = json_array() };
	json_t *grants = NULL, *actions = catalog_actions(source->catalog);
	struct diags diags;
	int code;

	diags_init(&diags);
	if (source->grants != NULL)
		grants = grants_load(source->grants, actions, &diags);
	print_diags(&diags);
	testing.grants = grants;
	for (size_t i = 0; i < catalog_commands(source->catalog); i++) {
		const struct command *command = catalog_command(source->catalog, i);

		for (size_t j = 0; j < command->n_tests; j++)
			run_test(&testing, command, &command->tests[j]);
	}
	code = diags.total > 0 ? APP_FINDING : report(&testing, json);
	diags_finish(&diags);
	json_decref(grants);
	json_decref(actions);
	json_decref(testing.rows);
	return code;
}

/* --- pages, schema --- */

/* Prints a page, or says whether the file of it is up to date.  Takes text. */
static int page(char *text, const struct catalog_options *own)
{
	char *there = NULL;
	int code = APP_GOOD;
	size_t len;
	struct err err;

	if (own->check == NULL) {
		(void)fputs(text, stdout);
	} else {
		there = file_read(own->check, DOCS_MAX, &len, &err);
		if (there == NULL)
			code = app_fail(APP_COULD_NOT, "%s", err.msg);
		else if (strcmp(there, text) != 0)
			code = app_fail(APP_FINDING,
					"%s is not what the declarations say; write it anew with "
					"\"opsd catalog %s > %s\"",
					own->check, own->what, own->check);
	}
	free(there);
	free(text);
	return code;
}

static int schema(void)
{
	json_t *value = catalog_schema(action_kinds);

	(void)json_dumpf(value, stdout, JSON_INDENT(2));
	(void)fputc('\n', stdout);
	json_decref(value);
	return APP_GOOD;
}

static bool parse(const struct app_options *options, struct catalog_options *own)
{
	own->what = options->argc > 0 ? options->argv[0] : "";
	for (int i = 1; i < options->argc; i += 2) {
		const char *value = i + 1 < options->argc ? options->argv[i + 1] : NULL;

		if (value != NULL && str_eq(options->argv[i], "--dir"))
			own->dir = value;
		else if (value != NULL && str_eq(options->argv[i], "--grants"))
			own->grants = value;
		else if (value != NULL && str_eq(options->argv[i], "--check"))
			own->check = value;
		else
			return false;
	}
	return str_eq(own->what, "test") || str_eq(own->what, "docs") ||
	       str_eq(own->what, "kinds") || str_eq(own->what, "schema");
}

int cmd_catalog(struct app_options *options)
{
	struct catalog_options own = { 0 };
	struct source source = { 0 };
	int code;

	if (!parse(options, &own))
		return app_fail(APP_USAGE, "%s", usage);
	if (str_eq(own.what, "schema"))
		return schema();
	if (str_eq(own.what, "kinds"))
		return page(catalog_kinds(action_kinds), &own);
	if (!load(options, &own, &source))
		code = APP_FINDING;
	else if (str_eq(own.what, "docs"))
		code = page(catalog_docs(source.catalog), &own);
	else
		code = test(&source, options->json);
	catalog_unref(source.catalog);
	expr_forget();
	free(source.grants);
	return code;
}
