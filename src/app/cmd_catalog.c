/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_catalog.c - opsd catalog test|docs|kinds|schema: the declarations alone, without a database.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "action/env.h"
#include "action/rbac.h"
#include "app/config.h"
#include "app/options.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/catalog.h"
#include "core/expr.h"
#include "core/grants.h"

enum { DOCS_MAX = 4 * 1024 * 1024, SPACES_MAX = 1000 };

static const char usage[] = "catalog test [--grants FILE] | docs [--check FILE] | "
			    "kinds [--check FILE] | schema | rbac --cluster NAME [--account "
			    "NAMESPACE/NAME] [--namespace NAME …] [--bare]; each with [--dir DIR]";

struct catalog_options {
	const char *what, *dir, *grants, *check;
	struct rbac_wish rbac;
	const char *spaces[SPACES_MAX];
	char *account; /* "namespace" NUL "name" */
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
	char *grants;     /* path, or NULL */
	bool impersonate; /* on the cluster of rbac */
	char *argo_cd, *flux;
};

/* What the settings say of the cluster, where there are any. */
static void read_cluster(struct source *source, const json_t *clusters, const char *name,
			 struct diags *diags)
{
	json_t *node = json_deep_copy(json_object_get(clusters, name));
	struct err err;

	if (node == NULL)
		node = json_object();
	source->impersonate = jget_bool(node, "impersonate", false);
	if (!action_env_spaces(node, &source->argo_cd, &source->flux, &err))
		diag_add(diags, NULL, 0, 0, "clusters.%s: %s", name, err.msg);
	json_decref(node);
}

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
	if (own->rbac.cluster != NULL)
		read_cluster(source, config == NULL ? NULL : config_node(config, "clusters"),
			     own->rbac.cluster, &diags);
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

static int report(const json_t *rows, bool judged, bool json)
{
	size_t i, bad = 0;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		bool good = jget_bool(row, "good", false);

		bad += !good;
		if (json)
			continue;
		(void)printf("%-4s %s:%lld: %s (%s) -> %s\n", good ? "ok" : "BAD",
			     jget_str_or(row, "file", ""), (long long)jget_int(row, "line", 0),
			     jget_str_or(row, "command", ""), jget_str_or(row, "text", ""),
			     jget_str_or(row, "got", ""));
		if (!good)
			(void)printf("     expected %s\n", jget_str_or(row, "expect", ""));
	}
	if (json) {
		(void)json_dumpf(rows, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
	} else {
		(void)printf("%zu tests, %zu bad%s\n", json_array_size(rows), bad,
			     judged ? ""
				    : "; no grants file, so whether somebody may is not judged");
	}
	return bad > 0 ? APP_FINDING : APP_GOOD;
}

static int test(const struct source *source, bool json)
{
	json_t *grants = NULL, *actions = catalog_actions(source->catalog), *rows;
	struct diags diags;
	int code;

	diags_init(&diags);
	if (source->grants != NULL)
		grants = grants_load(source->grants, actions, &diags);
	print_diags(&diags);
	rows = catalog_test(source->catalog, grants);
	code = diags.total > 0 ? APP_FINDING : report(rows, grants != NULL, json);
	diags_finish(&diags);
	json_decref(rows);
	json_decref(grants);
	json_decref(actions);
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

static int rbac(const struct source *source, struct catalog_options *own)
{
	char *text;
	struct err err;

	own->rbac.impersonate = source->impersonate;
	own->rbac.argo_cd = source->argo_cd;
	own->rbac.flux = source->flux;
	text = action_rbac(source->catalog, &own->rbac, &err);
	if (text == NULL)
		return app_fail(APP_FINDING, "%s", err.msg);
	return page(text, own);
}

/* --cluster, --account, --namespace; false: none of them, or wrong. */
static bool parse_rbac(struct catalog_options *own, const char *option, const char *value)
{
	const char *slash = strchr(value, '/');

	if (str_eq(option, "--cluster")) {
		own->rbac.cluster = value;
	} else if (str_eq(option, "--namespace") && own->rbac.n_spaces < SPACES_MAX) {
		own->spaces[own->rbac.n_spaces++] = value;
	} else if (str_eq(option, "--account") && slash != NULL && own->account == NULL) {
		own->account = xstrdup(value);
		own->account[slash - value] = '\0';
		own->rbac.account_space = own->account;
		own->rbac.account = own->account + (slash - value) + 1;
	} else {
		return false;
	}
	return true;
}

static bool parse(const struct app_options *options, struct catalog_options *own)
{
	own->what = options->argc > 0 ? options->argv[0] : "";
	own->rbac.account = own->rbac.account_space = "opsd";
	own->rbac.spaces = own->spaces;
	for (int i = 1; i < options->argc; i += 2) {
		const char *value = i + 1 < options->argc ? options->argv[i + 1] : NULL;

		if (str_eq(options->argv[i], "--bare")) {
			own->rbac.bare = true;
			i--;
		} else if (value != NULL && parse_rbac(own, options->argv[i], value))
			;
		else if (value != NULL && str_eq(options->argv[i], "--dir"))
			own->dir = value;
		else if (value != NULL && str_eq(options->argv[i], "--grants"))
			own->grants = value;
		else if (value != NULL && str_eq(options->argv[i], "--check"))
			own->check = value;
		else
			return false;
	}
	if (str_eq(own->what, "rbac"))
		return own->rbac.cluster != NULL;
	return str_eq(own->what, "test") || str_eq(own->what, "docs") ||
	       str_eq(own->what, "kinds") || str_eq(own->what, "schema");
}

int cmd_catalog(struct app_options *options)
{
	struct catalog_options own = { 0 };
	struct source source = { 0 };
	int code;

	if (!parse(options, &own)) {
		free(own.account);
		return app_fail(APP_USAGE, "%s", usage);
	}
	if (str_eq(own.what, "schema"))
		return schema();
	if (str_eq(own.what, "kinds"))
		return page(catalog_kinds(action_kinds), &own);
	if (!load(options, &own, &source))
		code = APP_FINDING;
	else if (str_eq(own.what, "rbac"))
		code = rbac(&source, &own);
	else if (str_eq(own.what, "docs"))
		code = page(catalog_docs(source.catalog), &own);
	else
		code = test(&source, options->json);
	catalog_unref(source.catalog);
	expr_forget();
	free(source.grants);
	free(source.argo_cd);
	free(source.flux);
	free(own.account);
	return code;
}
