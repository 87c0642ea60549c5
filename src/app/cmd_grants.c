/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_grants.c - opsd grants plan|apply FILE, grants list: reviewed grants, like a Terraform plan.
 */
#include <stdio.h>
#include <stdlib.h>

#include "action/env.h"
#include "app/config.h"
#include "app/once.h"
#include "app/options.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/str.h"
#include "core/catalog.h"
#include "core/grants.h"
#include "store/grants.h"

enum { REVIEWERS_MAX = 16 };

static const char usage[] = "grants plan FILE; grants approve FILE --plan SHA256; grants apply "
			    "FILE [--plan SHA256 [--accept-brakes]] [--commit ID] "
			    "[--reviewed-by PERSON]…; grants list";

struct granting {
	struct store_grants grants;
	const char *reviewers[REVIEWERS_MAX];
	const char *file;
	bool list;
};

static bool take_value(struct granting *granting, const char *word, const char *value)
{
	struct store_grants *grants = &granting->grants;

	if (str_eq(word, "--plan"))
		grants->plan = value;
	else if (str_eq(word, "--commit"))
		grants->commit = value;
	else if (str_eq(word, "--reviewed-by") && grants->n_reviewed_by < REVIEWERS_MAX)
		granting->reviewers[grants->n_reviewed_by++] = value;
	else
		return false;
	return true;
}

static bool read_options(const struct app_options *options, struct granting *granting)
{
	const char *what = options->argc > 0 ? options->argv[0] : "";

	granting->list = str_eq(what, "list");
	granting->grants.apply = str_eq(what, "apply");
	granting->grants.approve = str_eq(what, "approve");
	granting->grants.reviewed_by = granting->reviewers;
	if (!granting->list && !granting->grants.apply && !granting->grants.approve &&
	    !str_eq(what, "plan"))
		return false;
	for (int i = 1; i < options->argc; i++) {
		const char *word = options->argv[i];

		if (granting->list)
			return false;
		if (str_eq(word, "--accept-brakes")) {
			granting->grants.accept = true;
		} else if (word[0] == '-') {
			if (i + 1 == options->argc ||
			    !take_value(granting, word, options->argv[++i]))
				return false;
		} else if (granting->file == NULL) {
			granting->file = word;
		} else {
			return false;
		}
	}
	return (!granting->grants.accept && !granting->grants.approve) ||
	       granting->grants.plan != NULL;
}

static struct call *ask(struct db *db, void *data,
			void (*answer)(void *data, const json_t *value, const struct err *err),
			void *answer_data)
{
	struct granting *granting = data;

	if (granting->list)
		return store_grants_list(db, answer, answer_data);
	return store_grants_start(db, &granting->grants, answer, answer_data);
}

static void print_movers(const json_t *plan, const char *member, const char *one,
			 const char *several)
{
	size_t i, k;
	json_t *row, *name;

	json_array_foreach(json_object_get(plan, member), i, row)
	{
		const char *scope = jget_str_or(row, "scope", "");
		int64_t people = jget_int(row, "people", 0);

		(void)printf("%lld %s: %s %s%s%s", (long long)people, people == 1 ? one : several,
			     jget_str_or(row, "can", ""), jget_str_or(row, "action", ""),
			     scope[0] != '\0' ? " where " : "", scope);
		json_array_foreach(json_object_get(row, "names"), k, name)
		{
			(void)printf("%s%s", k == 0 ? ": " : ", ", json_string_value(name));
		}
		(void)puts("");
	}
}

/* What takes two people, and whether the second one has spoken. */
static void print_dangerous(const json_t *plan)
{
	const char *by = jget_str(plan, "approved_by");
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(plan, "dangerous"), i, item)
	{
		(void)printf("TWO PEOPLE %s\n", json_string_value(item));
	}
	if (json_array_size(json_object_get(plan, "dangerous")) > 0)
		(void)printf("%s%s\n",
			     by != NULL ? "Approved by "
					: "Not approved yet by a second "
					  "person (another login)",
			     by != NULL ? by : "");
	json_array_foreach(json_object_get(plan, "timed"), i, item)
	{
		(void)printf("not of this file, for a time: %s\n", json_string_value(item));
	}
}

/* What depends on groups of which nobody knows yet who is in them. */
static void print_unread(const json_t *plan)
{
	size_t i;
	json_t *row;

	json_array_foreach(json_object_get(plan, "unread"), i, row)
	{
		const char *scope = jget_str_or(row, "scope", ""), *group = jget_str(row, "group");
		bool comes = str_eq(jget_str(row, "op"), "+");

		(void)printf("The members of %s (%s: %s %s %s%s%s) are ", group,
			     jget_str_or(row, "key", "?"),
			     str_eq(jget_str(row, "effect"), "forbid") ? "must not" : "can",
			     jget_str_or(row, "can", "?"), jget_str_or(row, "action", "?"),
			     scope[0] != '\0' ? " where " : "", scope);
		if (jget_bool(row, "aside", false))
			(void)printf("unknown: the group is set aside");
		else
			(void)printf("%s", comes ? "unknown until the next sync" : "unknown");
		if (comes && str_eq(jget_str(row, "effect"), "forbid"))
			(void)printf(", and until then it is forbidden to everybody");
		else if (comes)
			(void)printf(", and until then nobody gains by it");
		(void)puts("");
	}
	json_array_foreach(json_object_get(plan, "unknown"), i, row)
	{
		(void)printf("Commands want approval by the group %s, and the directory has no "
			     "single group of that name: nobody can give it\n",
			     json_string_value(row));
	}
}

static void print_plan(const json_t *plan)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(plan, "lines"), i, item)
	{
		(void)puts(json_string_value(item));
	}
	print_movers(plan, "gain", "person gains", "people gain");
	print_movers(plan, "lose", "person loses", "people lose");
	print_unread(plan);
	json_array_foreach(json_object_get(plan, "problems"), i, item)
	{
		(void)printf("PROBLEM %s: %s\n", jget_str_or(item, "key", ""),
			     jget_str_or(item, "what", ""));
	}
	json_array_foreach(json_object_get(plan, "brakes"), i, item)
	{
		(void)printf("BRAKE %s: %s\n", jget_str_or(item, "name", ""),
			     jget_str_or(item, "detail", ""));
	}
	print_dangerous(plan);
	(void)printf("%lld grants, %lld changes on revision %lld, plan %s\n",
		     (long long)jget_int(plan, "grants", 0),
		     (long long)jget_int(plan, "changes", 0), (long long)jget_int(plan, "base", 0),
		     jget_str_or(plan, "sha256", ""));
}

static int print_list(const json_t *value)
{
	size_t i;
	json_t *grant;

	json_array_foreach(json_object_get(value, "grants"), i, grant)
	{
		(void)printf("%-40s %-5s %s%s\n", jget_str_or(grant, "key", ""),
			     jget_str_or(grant, "origin", ""), jget_str_or(grant, "text", ""),
			     jget_bool(grant, "ended", false) ? " [ended]" : "");
	}
	(void)printf("revision %lld\n", (long long)jget_int(value, "revision", 0));
	return APP_GOOD;
}

static void print_refused(const struct granting *granting, const json_t *plan)
{
	(void)puts("Refused; nothing was changed.");
	if (json_array_size(json_object_get(plan, "dangerous")) > 0 &&
	    jget_str(plan, "approved_by") == NULL)
		(void)printf(
			"A second person, under a login of their own, runs: opsd grants approve "
			"%s --plan %s\n",
			granting->file, jget_str_or(plan, "sha256", ""));
}

static int print(const json_t *value, bool json, void *data)
{
	const struct granting *granting = data;
	const char *outcome = jget_str_or(value, "outcome", "");
	const json_t *plan = json_object_get(value, "plan");
	bool changes = jget_int(plan, "changes", 0) > 0;

	if (json) {
		char *text = json_text(value);

		(void)puts(text);
		free(text);
	} else if (granting->list) {
		return print_list(value);
	} else {
		print_plan(plan);
		if (str_eq(outcome, "applied"))
			(void)printf(
				"Applied as revision %lld.%s\n",
				(long long)jget_int(value, "revision", 0),
				json_array_size(json_object_get(plan, "unread")) > 0
					? " Run `opsd sync` now: it reads the members of groups "
					  "that are new here."
					: "");
		else if (str_eq(outcome, "approved"))
			(void)puts(
				"Approved. Somebody else can apply exactly this within an hour.");
		else if (str_eq(outcome, "refused"))
			print_refused(granting, plan);
		else if (!changes)
			(void)puts("Nothing to change.");
		else
			(void)printf("To apply exactly this: opsd grants apply %s --plan %s\n",
				     granting->file, jget_str_or(plan, "sha256", ""));
	}
	if (str_eq(outcome, "refused"))
		return APP_FINDING;
	return str_eq(outcome, "planned") && changes ? APP_FINDING : APP_GOOD;
}

static int report(const struct diags *diags)
{
	for (size_t i = 0; i < diags->n; i++)
		(void)fprintf(stderr, "%s\n", diag_text(&diags->items[i]));
	return APP_FINDING;
}

/* The actions that the commands use, and the file checked against them. */
static json_t *read_actions(const struct config *config, struct diags *diags)
{
	char *dir = config_file(config, "catalog");
	struct catalog *catalog = catalog_load(dir, action_kinds, NULL, diags);
	json_t *actions = catalog != NULL ? catalog_actions(catalog) : NULL;

	catalog_unref(catalog);
	free(dir);
	return actions;
}

static int run(struct app_options *options, const struct config *config, struct granting *granting,
	       struct diags *diags)
{
	const struct once once = {
		.url_setting = "database.grants_url", .ask = ask, .print = print, .data = granting
	};
	char *named =
		granting->file == NULL && !granting->list ? config_file(config, "grants") : NULL;
	const char *file = granting->file != NULL ? granting->file : named;
	json_t *actions = NULL, *rows = NULL;
	int code;

	if (granting->list) {
		code = once_run(options, &once);
	} else if (file == NULL) {
		code = app_fail(APP_USAGE, "%s", usage);
	} else {
		granting->file = file;
		actions = read_actions(config, diags);
		rows = actions != NULL ? grants_load(file, actions, diags) : NULL;
		granting->grants.actions = actions;
		granting->grants.rows = rows;
		code = rows != NULL ? once_run(options, &once) : report(diags);
	}
	json_decref(actions);
	json_decref(rows);
	free(named);
	return code;
}

int cmd_grants(struct app_options *options)
{
	struct granting granting = { .file = NULL };
	struct diags diags;
	struct config *config;
	int code;

	if (!read_options(options, &granting))
		return app_fail(APP_USAGE, "%s", usage);
	diags_init(&diags);
	config = config_load(options->config, &diags);
	code = config != NULL ? run(options, config, &granting, &diags) : report(&diags);
	config_destroy(config);
	diags_finish(&diags);
	return config != NULL ? code : APP_COULD_NOT;
}
