/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_check.c - opsd check: everything that can be known before it is needed at night. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "action/env.h"
#include "app/check.h"
#include "app/config.h"
#include "app/options.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/signing.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/catalog.h"
#include "core/grants.h"
#include "directory/source.h"

enum { PRINT_MAX = 64 * 1024, SAYS_MAX = 1000 };

void check_line(struct check *check, bool good, const char *what, const char *fmt, ...)
{
	char says[SAYS_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(says, sizeof(says), fmt, ap);
	va_end(ap);
	check->bad += !good;
	json_array_append_new(check->rows, json_pack("{s:b, s:s, s:s}", "good", good, "what", what,
						     "says", says));
}

static void take_diags(struct check *check, const char *what, struct diags *diags)
{
	for (size_t i = 0; i < diags->n; i++)
		check_line(check, false, what, "%s", diag_text(&diags->items[i]));
	if (diags->total > diags->n)
		check_line(check, false, what, "and %zu more mistakes", diags->total - diags->n);
	diags_finish(diags);
	diags_init(diags);
}

static void check_secrets(struct check *check, const struct config *config)
{
	static const char *const names[] = { "database.url",          "database.owner_url",
					     "database.sync_url",     "database.grants_url",
					     "slack.app_token",       "slack.bot_token",
					     "identity.client_secret" };
	struct err err;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *secret;

		if (!config_has(config, names[i]))
			continue;
		secret = config_secret(config, names[i], &err);
		if (secret == NULL)
			check_line(check, false, names[i], "%s", err.msg);
		else if (str_eq(names[i], "slack.app_token") && !str_starts(secret, "xapp-"))
			check_line(check, false, names[i],
				   "This is not an app-level token: those start with xapp-.");
		else if (str_eq(names[i], "slack.bot_token") && !str_starts(secret, "xox"))
			check_line(check, false, names[i],
				   "This is not a bot token: those start with xoxb-.");
		else
			check_line(check, true, names[i], "readable");
		secret_free(secret);
	}
}

static void check_signing_key(struct check *check, const struct config *config)
{
	static const char what[] = "audit.signing_key";
	struct signing_key *key;
	struct err err;
	char *pem;

	if (!config_has(config, what))
		return;
	pem = config_secret(config, what, &err);
	key = pem != NULL ? signing_private(pem, &err) : NULL;
	if (key != NULL)
		check_line(check, true, what, "signs the audit log as %s", signing_id(key));
	else
		check_line(check, false, what, "%s", err.msg);
	signing_free(key);
	secret_free(pem);
}

/* The declarations' own tests, judged by the grants file where there is one. */
static void check_tests(struct check *check, const struct config *config,
			const struct catalog *catalog)
{
	char *file = config_file(config, "grants");
	json_t *actions = catalog_actions(catalog), *grants = NULL, *rows, *row;
	struct diags diags;
	size_t i, bad = 0;

	diags_init(&diags);
	if (file != NULL) {
		grants = grants_load(file, actions, &diags);
		take_diags(check, "grants", &diags);
	}
	if (grants != NULL)
		check_line(check, true, "grants", "%zu rows in %s", json_array_size(grants), file);
	rows = catalog_test(catalog, grants);
	json_array_foreach(rows, i, row)
	{
		if (jget_bool(row, "good", false))
			continue;
		bad++;
		check_line(check, false, "command tests", "%s:%d: %s %s: expected %s, got %s",
			   jget_str_or(row, "file", "?"), (int)jget_int(row, "line", 0),
			   jget_str_or(row, "command", "?"), jget_str_or(row, "text", ""),
			   jget_str_or(row, "expect", "?"), jget_str_or(row, "got", "?"));
	}
	if (bad == 0)
		check_line(check, true, "command tests", "%zu good%s", json_array_size(rows),
			   grants == NULL
				   ? "; no grants file, so whether somebody may is not judged"
				   : "");
	json_decref(rows);
	json_decref(grants);
	json_decref(actions);
	diags_finish(&diags);
	free(file);
}

static void check_catalog(struct check *check, const struct config *config, bool policy)
{
	struct diags diags;
	struct action_env *env;
	struct catalog *catalog;
	char *dir = config_file(config, "catalog");

	diags_init(&diags);
	env = action_env_create(NULL, config_node(config, "clusters"), config_node(config, "apis"),
				config_dir(config), &diags);
	take_diags(check, "clusters and apis", &diags);
	catalog = catalog_load(dir, action_kinds, env, &diags);
	take_diags(check, "catalog", &diags);
	if (catalog != NULL)
		check_line(check, true, "catalog", "%zu commands in %zu prefixes, policy %.12s",
			   catalog_commands(catalog), catalog_prefixes(catalog),
			   catalog_digest(catalog));
	if (catalog != NULL)
		check_tests(check, config, catalog);
	if (catalog != NULL && policy)
		check_policy(check, config, catalog);
	catalog_unref(catalog);
	action_env_destroy(env);
	diags_finish(&diags);
	free(dir);
}

/* Settings of the directory's sources; nobody is asked anything. */
static void check_sources(struct check *check, const struct config *config)
{
	json_t *sources = jget(config_node(config, "directory"), "sources");
	const char *name;
	json_t *node;

	json_object_foreach(sources, name, node)
	{
		const struct source_config own = { .name = name,
						   .node = node,
						   .dir = config_dir(config) };
		struct err err;
		struct source *source = source_open(&own, &err);
		char *what = xasprintf("directory %s", name);

		check_line(check, source != NULL, what, "%s",
			   source != NULL ? source_kind(source) : err.msg);
		source_close(source);
		free(what);
	}
}

static int report(struct check *check, bool json)
{
	size_t i;
	json_t *row;

	if (json) {
		(void)json_dumpf(check->rows, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
	} else {
		json_array_foreach(check->rows, i, row)(void)
			printf("%-4s %-22s %s\n", jget_bool(row, "good", false) ? "ok" : "BAD",
			       jget_str_or(row, "what", ""), jget_str_or(row, "says", ""));
		if (check->bad > 0)
			(void)printf("%u of %zu checks found something.\n", check->bad,
				     json_array_size(check->rows));
	}
	json_decref(check->rows);
	return check->bad > 0 ? APP_FINDING : APP_GOOD;
}

static void print_settings(const struct config *config)
{
	struct buf buf;

	buf_init(&buf, PRINT_MAX);
	config_print(config, &buf);
	(void)fputs(buf_text(&buf), stdout);
	buf_finish(&buf);
}

int cmd_check(struct app_options *options)
{
	struct check check = { .rows = json_array() };
	bool online = false, policy = false, print = false;
	struct config *config;
	struct diags diags;

	for (int i = 0; i < options->argc; i++) {
		online |= str_eq(options->argv[i], "--online");
		policy |= str_eq(options->argv[i], "--policy");
		print |= str_eq(options->argv[i], "--print");
		if (!str_eq(options->argv[i], "--online") &&
		    !str_eq(options->argv[i], "--policy") && !str_eq(options->argv[i], "--print")) {
			json_decref(check.rows);
			return app_fail(
				APP_USAGE,
				"check [--online] [--policy] [--print]: \"%s\" is none of them",
				options->argv[i]);
		}
	}
	diags_init(&diags);
	config = config_load(options->config, &diags);
	take_diags(&check, "configuration", &diags);
	diags_finish(&diags);
	if (config != NULL && print) {
		print_settings(config);
		json_decref(check.rows);
		config_destroy(config);
		return APP_GOOD;
	}
	if (config != NULL) {
		check_line(&check, true, "configuration", "%s", config_path(config));
		check_secrets(&check, config);
		check_signing_key(&check, config);
		check_sources(&check, config);
		check_catalog(&check, config, policy || online);
		if (online)
			check_online(&check, config);
	}
	config_destroy(config);
	return report(&check, options->json);
}
