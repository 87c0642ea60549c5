/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.c - the folder of commands: read whole, checked whole, then only asked. */
#include "core/catalog.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/conftree.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/pattern.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "catalog_internal.h"
#include "core/expr.h"

enum { FILE_MAX = 1024 * 1024 };

/* --- loading --- */

static int is_yaml(const struct dirent *entry)
{
	const char *name = entry->d_name;

	return name[0] != '.' && (str_ends(name, ".yaml") || str_ends(name, ".yml"));
}

static void load_file(struct loader *loader, struct buf *digests)
{
	struct err err;
	size_t len = 0;
	char *text = file_read(loader->file, FILE_MAX, &len, &err), hex[DIGEST_HEX_LEN];
	struct conftree *tree;

	if (text == NULL) {
		diag_add(loader->diags, loader->file, 0, 0, "%s", err.msg);
		return;
	}
	digest_hex(text, len, hex);
	buf_printf(digests, "%s %s\n", hex, strrchr(loader->file, '/') + 1);
	tree = conftree_parse(loader->file, text, len, loader->diags);
	free(text);
	if (tree == NULL)
		return;
	loader->tree = tree;
	catalog_read_file(loader);
	loader->tree = NULL;
	conftree_destroy(tree);
}

static void load_files(struct loader *loader, const char *dir)
{
	struct catalog *catalog = loader->catalog;
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_yaml, NULL);
	struct buf digests;

	if (n < 0) {
		diag_add(loader->diags, dir, 0, 0, "cannot be read: %s", strerror(errno));
		return;
	}
	if (n == 0)
		diag_add(loader->diags, dir, 0, 0, "holds no *.yaml file, so no commands");
	if (n > CATALOG_FILES_MAX)
		diag_add(loader->diags, dir, 0, 0, "holds more than %d files", CATALOG_FILES_MAX);
	buf_init(&digests, (size_t)512 * CATALOG_FILES_MAX);
	/* By name: the digest must not depend on the file system. */
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && strcmp(entries[j - 1]->d_name, entries[j]->d_name) > 0;
		     j--) {
			struct dirent *swap = entries[j];

			entries[j] = entries[j - 1];
			entries[j - 1] = swap;
		}
	for (int i = 0; i < n; i++) {
		loader->file = arena_printf(catalog->arena, "%s%s%s", dir,
					    str_ends(dir, "/") ? "" : "/", entries[i]->d_name);
		if (i < CATALOG_FILES_MAX)
			load_file(loader, &digests);
		free(entries[i]);
	}
	free(entries);
	digest_hex(buf_text(&digests), digests.len, catalog->digest);
	buf_finish(&digests);
}

static int by_title(const void *a, const void *b)
{
	return strcmp(((const struct command *)a)->title, ((const struct command *)b)->title);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct prefix *)a)->name, ((const struct prefix *)b)->name);
}

struct catalog *catalog_load(const char *dir, const struct action_kind *const *kinds,
			     const struct action_env *env, struct diags *diags)
{
	struct catalog *catalog = xcalloc(1, sizeof(*catalog));
	struct loader loader = { .catalog = catalog, .kinds = kinds, .env = env, .diags = diags };
	size_t before = diags->total;

	catalog->refs = 1;
	catalog->arena = arena_create();
	catalog->kept = json_array();
	loader.scratch = arena_create();
	load_files(&loader, dir);
	arena_destroy(loader.scratch);
	catalog_check_actions(catalog, diags);
	if (diags->total != before) {
		catalog_unref(catalog);
		return NULL;
	}
	qsort(catalog->commands, catalog->n_commands, sizeof(*catalog->commands), by_title);
	qsort(catalog->prefixes, catalog->n_prefixes, sizeof(*catalog->prefixes), by_name);
	return catalog;
}

struct catalog *catalog_ref(struct catalog *catalog)
{
	catalog->refs++;
	return catalog;
}

void catalog_unref(struct catalog *catalog)
{
	if (catalog == NULL)
		return;
	assert(catalog->refs > 0);
	if (--catalog->refs > 0)
		return;
	for (size_t i = 0; i < catalog->n_exprs; i++)
		expr_destroy(catalog->exprs[i]);
	for (size_t i = 0; i < catalog->n_patterns; i++)
		pattern_destroy(catalog->patterns[i]);
	free(catalog->exprs);
	free(catalog->patterns);
	free(catalog->commands);
	free(catalog->prefixes);
	json_decref(catalog->kept);
	arena_destroy(catalog->arena);
	free(catalog);
}

/* --- asking --- */

const char *catalog_digest(const struct catalog *catalog)
{
	return catalog->digest;
}

size_t catalog_prefixes(const struct catalog *catalog)
{
	return catalog->n_prefixes;
}

const char *catalog_prefix(const struct catalog *catalog, size_t i)
{
	return catalog->prefixes[i].name;
}

const char *catalog_prefix_about(const struct catalog *catalog, const char *prefix)
{
	for (size_t i = 0; i < catalog->n_prefixes; i++)
		if (str_eq(catalog->prefixes[i].name, prefix))
			return catalog->prefixes[i].about;
	return NULL;
}

size_t catalog_commands(const struct catalog *catalog)
{
	return catalog->n_commands;
}

const struct command *catalog_command(const struct catalog *catalog, size_t i)
{
	return &catalog->commands[i];
}

const struct command *catalog_find(const struct catalog *catalog, const char *prefix,
				   const char *name)
{
	for (size_t i = 0; i < catalog->n_commands; i++)
		if (str_eq(catalog->commands[i].prefix, prefix) &&
		    str_eq(catalog->commands[i].name, name))
			return &catalog->commands[i];
	return NULL;
}

const struct command *catalog_find_title(const struct catalog *catalog, const char *title)
{
	const struct command key = { .title = title };

	if (title == NULL || catalog->n_commands == 0)
		return NULL;
	return bsearch(&key, catalog->commands, catalog->n_commands, sizeof(key), by_title);
}

/* --- actions --- */

static json_t *scope_json(const struct command *command)
{
	json_t *scope = json_array(), *value;
	const char *name;

	if (command->scope == NULL)
		return scope;
	json_object_foreach((json_t *)command->scope, name, value)
		json_array_append_new(scope, json_pack("{s:s, s:s}", "name", name, "type",
						       catalog_scope_type(command, value)));
	return scope;
}

/* The groups that approve by the command's rules. */
static void add_groups(json_t *action, const struct command *command)
{
	json_t *groups = json_object_get(action, "groups");

	for (size_t i = 0; i < command->n_approvals; i++) {
		if (command->approvals[i].group == NULL)
			continue;
		if (groups == NULL) {
			groups = json_array();
			json_object_set_new(action, "groups", groups);
		}
		json_array_append_new(groups, json_string(command->approvals[i].group));
	}
}

/* Keeps the list sorted; the highest risk of an action's commands is the action's. */
static void add_action(json_t *actions, const struct command *command)
{
	size_t at = 0;
	json_t *action;

	for (; at < json_array_size(actions); at++) {
		int order;

		action = json_array_get(actions, at);
		order = strcmp(jget_str(action, "name"), command->action);

		if (order > 0)
			break;
		if (order < 0)
			continue;
		if (jget_int(action, "risk", 0) < command->risk)
			json_object_set_new(action, "risk", json_integer(command->risk));
		if (!command->kind->last_resort)
			json_object_del(action, "last_resort");
		add_groups(action, command);
		return;
	}
	json_array_insert_new(actions, at,
			      json_pack("{s:s, s:i, s:o}", "name", command->action, "risk",
					command->risk, "scope", scope_json(command)));
	action = json_array_get(actions, at);
	if (command->kind->last_resort)
		json_object_set_new(action, "last_resort", json_true());
	add_groups(action, command);
}

json_t *catalog_actions(const struct catalog *catalog)
{
	json_t *actions = json_array();

	for (size_t i = 0; i < catalog->n_commands; i++)
		add_action(actions, &catalog->commands[i]);
	return actions;
}
